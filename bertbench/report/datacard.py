"""The facts of a task's data in, its data card in markdown out: the verdict first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertbench.data.duplicates import KINDS
from bertbench.data.lengths import QUANTILES
from bertbench.report.cardfacts import EXAMPLES, Card
from bertbench.report.markdown import escape, number, table
from bertbench.types import Flaw

SENTENCE = 400  # characters of a flaw's words
SHOWN = 20  # ids named of a flaw; the JSON has all
CLASSES = 30  # rows of the table of classes
# A reader should know of these; all others are to be mended.
TO_KNOW = (
    "class imbalance",
    "suspicious labels",
    "answers that stand twice",
    "contexts without an answer",
    "questions asked twice",
    "texts without words",
    "tags in IOB1",
    "leaks dropped from validation",
    "leaks dropped from test",
)
UNITS = {"multilabel": "labels", "token": "words", "span": "questions"}  # others count items
NOTES = """\
- Exact: the same text. Normalised: the same but for case, white space and the forms of Unicode. Near: most
  runs of words are the same. Each row is counted once, by the strictest that holds.
- A leak names the later split: its rows are those to remove, for a test must not have been trained on.
- Suspicious labels are hints: read the texts. Where texts are hard, many of them are right as they are.
- A model that is not clearly above the yardsticks has learnt little from the texts."""


def render(card: Card) -> str:
    """Return the card in markdown, the same bytes for the same card."""
    know = [flaw for flaw in card.flaws if flaw.count and flaw.name in TO_KNOW]
    present = tuple(flaw.name for flaw in card.flaws if flaw.count)
    absent = [
        flaw.name
        for flaw in card.flaws
        if flaw.of and not flaw.count and f"{flaw.name} left out" not in present
    ]
    unasked = [flaw.words for flaw in card.flaws if not flaw.of]
    lengths = {
        f"{split}, {what}": of
        for split, found in card.lengths.items()
        for what, of in found.items()
    }
    lines = [f"# Data card: {escape(card.name)}", "", verdict(card), "", *_rows(card)]
    for title, flaws in (("To mend", _to_mend(card)), ("To know", know)):
        lines += ["", f"## {title}", "", *_flaws(flaws, card)] if flaws else []
    lines += ["", f"Looked for and not found: {', '.join(map(escape, absent))}."] if absent else []
    lines += [f"\n{escape(words, SENTENCE)}" for words in unasked]
    for title, part in (
        ("Duplicates", _duplicates(card)),
        (f"Classes ({UNITS.get(card.kind, 'items')})", _class_table(card)),
        ("Labels", _quantiles(card.numbers)),
        ("Lengths", _quantiles(lengths)),
        ("Tokenizers", _tokenizers(card)),
        ("Yardsticks on the test split", _yardsticks(card)),
        ("Notes of reading", [f"- {escape(note, SENTENCE)}" for note in card.notes]),
    ):
        lines += ["", f"## {title}", "", *part] if part else []
    return "\n".join([*lines, "", "## How to read this", "", NOTES, ""])


def verdict(card: Card) -> str:
    """Say in a sentence what to mend before training, leaks and conflicts first."""
    mend = _to_mend(card)
    if not mend:
        return "**Nothing to mend before training was found.**"
    said = "; ".join(escape(flaw.words.rstrip("."), SENTENCE) for flaw in mend)
    things = "1 thing" if len(mend) == 1 else f"{len(mend)} things"
    return f"**{things} to mend before training:** {said}."


def as_json(card: Card) -> dict[str, Any]:
    """Return the card as dicts, lists, strings and numbers."""
    return _plain(card) | {"verdict": verdict(card)}


def _to_mend(card: Card) -> list[Flaw]:
    mend = [flaw for flaw in card.flaws if flaw.count and flaw.name not in TO_KNOW]
    return sorted(mend, key=lambda flaw: not flaw.name.startswith(("leak", "conflicting")))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): _plain(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(found) for found in value]
    return value.item() if isinstance(value, np.generic) else value


def _rows(card: Card) -> list[str]:
    grouped = ["queries" if card.kind == "ranking" else "groups"] if card.groups else []
    rows = [
        [name, f"{count:,}", *([f"{card.groups.get(name, 0):,}"] if grouped else [])]
        for name, count in card.rows.items()
    ]
    return [f"Kind: {card.kind}.", "", *table(["split", "rows", *grouped], rows)]


def _flaws(flaws: Sequence[Flaw], card: Card) -> list[str]:
    lines = []
    for flaw in flaws:
        ids = ", ".join(map(escape, flaw.rows[:SHOWN]))
        more = f" and {len(flaw.rows) - SHOWN:,} more" if len(flaw.rows) > SHOWN else ""
        lines += [f"- **{escape(flaw.name)}**: {escape(flaw.words, SENTENCE)}"]
        lines += [f"  Rows: {ids}{more}"] if flaw.rows else []
    shown = [(flaw.name, row) for flaw in flaws for row in flaw.rows[:EXAMPLES]]
    # A row that was left out has no text here.
    rows = [
        [escape(name), escape(row), escape(card.samples[row])]
        for name, row in shown
        if row in card.samples
    ]
    texts = table(["flaw", "row", "text"], rows, words=3)
    return [*lines, "", *texts] if texts else lines


def _duplicates(card: Card) -> list[str]:
    rows = [
        [
            repeat.split,
            "itself, earlier" if repeat.earlier == repeat.split else repeat.earlier,
            *(f"{repeat.kinds[kind]:,}" for kind in KINDS),
        ]
        for repeat in card.duplicates
    ]
    pairs = [
        [kind, *(escape(cell) for row in (late, early) for cell in (row, card.samples[row]))]
        for repeat in card.duplicates
        for late, early, kind in repeat.examples
    ]
    examples = table(["kind", "row", "its text", "earlier row", "its text"], pairs, words=5)
    counts = table(["rows of", "stand in", *KINDS], rows, words=2)
    return [*counts, "", *examples] if rows else []


def _class_table(card: Card) -> list[str]:
    totals = {split: sum(of[split] for of in card.classes.values()) for split in card.rows}
    rows = [
        [escape(name), *(f"{n:,} ({n / max(1, totals[split]):.1%})" for split, n in of.items())]
        for name, of in list(card.classes.items())[:CLASSES]
    ]
    rest = len(card.classes) - CLASSES
    more = ["", f"And {rest:,} more."] if rest > 0 else []
    return [*table(["class", *card.rows], rows), *more]


def _quantiles(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    heads = [*QUANTILES, "mean"]
    rows = [
        [escape(name), *(number(of[key]) for key in heads)] for name, of in found.items() if of
    ]
    return table(["split", *heads], rows)


def _tokenizers(card: Card) -> list[str]:
    heads = ["tokenizer", *QUANTILES, "read", "cut off", "unknown tokens"]
    rows = [
        [
            escape(name),
            *(number(of.lengths.get(key, 0)) for key in QUANTILES),
            f"{of.max_length:,}",
            f"{of.truncated:.1%}",
            f"{of.unknown:.2%}",
        ]
        for name, of in card.tokenizers.items()
    ]
    return table(heads, rows)


def _yardsticks(card: Card) -> list[str]:
    rows = [
        [escape(name), escape(of.words), escape(of.measure), f"{of.value:.3f}"]
        for name, of in card.yardsticks.items()
    ]
    return table(["yardstick", "what it does", "measure", "value"], rows, words=3)
