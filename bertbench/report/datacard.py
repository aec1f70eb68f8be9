"""What was found in a task's data in, its data card in markdown out: the verdict first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertbench.data.duplicates import KINDS, Duplicates, leaks, within
from bertbench.data.flaws import Flaw, memberships, splits_of
from bertbench.data.lengths import QUANTILES, by_split, quantiles
from bertbench.data.yardsticks import Yardstick
from bertbench.report.markdown import escape, number, table
from bertbench.types import TaskData

SENTENCE = 400  # characters of a flaw's words
EXAMPLES = 5  # rows shown of a flaw, or of a repetition
CLASSES = 30  # rows of the table of classes
# A reader should know of these; all others are to be mended.
TO_KNOW = (
    "class imbalance",
    "suspicious labels",
    "answers that stand twice",
    "contexts without an answer",
    "questions asked twice",
)
UNITS = {"multilabel": "labels", "token": "words", "span": "questions"}  # others count items
NOTES = """\
- Exact: the same text. Normalised: the same but for case, white space and the forms of Unicode. Near: most
  runs of words are the same. Each row is counted once, by the strictest that holds.
- A leak names the later split: its rows are those to remove, for a test must not have been trained on.
- Suspicious labels are hints: read the texts. Where texts are hard, many of them are right as they are.
- A model that is not clearly above the yardsticks has learnt little from the texts."""


class Tokenizing(NamedTuple):
    """What a tokenizer makes of the training texts."""

    lengths: dict[str, float]  # quantiles of tokens a text
    max_length: int  # tokens that are read of a text
    truncated: float  # share of the texts that are longer
    unknown: float  # share of the tokens that are unknown


class Repeat(NamedTuple):
    """The rows of a split that stand in an earlier one, or earlier in the same."""

    split: str
    earlier: str
    kinds: dict[str, int]  # rows by kind
    examples: list[tuple[str, str, str]]  # row, the earlier row, kind


class Card(NamedTuple):
    """A task's data, in plain numbers and words."""

    name: str
    kind: str
    rows: dict[str, int]  # by split
    groups: dict[str, int]  # by split, where rows are of groups: such as queries
    classes: dict[str, dict[str, int]]  # by class and split
    numbers: dict[str, dict[str, float]]  # by split, quantiles of labels that are numbers
    lengths: dict[str, dict[str, dict[str, float]]]  # by split, what is counted, quantile
    tokenizers: dict[str, Tokenizing]
    duplicates: list[Repeat]
    flaws: list[Flaw]
    yardsticks: dict[str, Yardstick]
    samples: dict[str, str]  # texts of the rows that are shown, by id
    notes: list[str]  # of reading the files


def describe(
    data: TaskData,
    found: Duplicates,
    flaws: Sequence[Flaw],
    *,
    yardsticks: Mapping[str, Yardstick],
    tokenizers: Mapping[str, Tokenizing],
    notes: Sequence[str],
) -> Card:
    """Put together what a card says.

    Args:
        data: A whole task.
        found: Its duplicates.
        flaws: What was looked for in it.
        yardsticks: Scores that need no reading.
        tokenizers: By name; none leaves their table out.
        notes: What was noticed while the files were read, a sentence each.
    """
    splits = splits_of(data)
    repeats = _repeats(found)
    shown = {row for flaw in flaws for row in flaw.rows[:EXAMPLES]}
    shown |= {row for repeat in repeats for pair in repeat.examples for row in pair[:2]}
    samples = {
        name: _text(text)
        for split in splits.values()
        for name, text in zip(split.ids, split.texts, strict=True)
        if name in shown
    }
    numeric = data.kind in ("regression", "ranking")
    return Card(
        name=data.name,
        kind=data.kind,
        rows={name: len(split.ids) for name, split in splits.items()},
        groups={name: len({*split.groups}) for name, split in splits.items() if split.groups},
        classes={} if numeric else _classes(data),
        numbers={name: quantiles(s.labels) for name, s in splits.items()} if numeric else {},
        lengths=by_split({name: split.texts for name, split in splits.items()}),
        tokenizers=dict(tokenizers),
        duplicates=repeats,
        flaws=list(flaws),
        yardsticks=dict(yardsticks),
        samples=samples,
        notes=list(notes),
    )


def render(card: Card) -> str:
    """Return the card in markdown, the same bytes for the same card."""
    know = [flaw for flaw in card.flaws if flaw.count and flaw.name in TO_KNOW]
    absent = [flaw.name for flaw in card.flaws if flaw.of and not flaw.count]
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
    lost = any(" left out" in note for note in card.notes)
    noted = " Some rows were left out: see *Notes of reading*." if lost else ""
    if not mend:
        return f"**Nothing to mend before training was found.**{noted}"
    said = "; ".join(escape(flaw.words.rstrip("."), SENTENCE) for flaw in mend)
    things = "1 thing" if len(mend) == 1 else f"{len(mend)} things"
    return f"**{things} to mend before training:** {said}.{noted}"


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


def _repeats(found: Duplicates) -> list[Repeat]:
    """Return leaks, then what repeats within a split; none of those that are empty."""
    pairs = [*leaks(found).items()]
    pairs += [((split, split), rows) for split, rows in within(found).items()]
    repeats = []
    for (earlier, later), rows in pairs:
        counts = Counter(kind for _, _, kind in rows)
        # Near ones first: those are to be judged by eye.
        ordered = sorted(rows, key=lambda row: -KINDS.index(row[2]))[:EXAMPLES]
        examples = [
            (found.ids[later][row], found.ids[earlier][first], kind)
            for row, first, kind in ordered
        ]
        kinds = {kind: counts[kind] for kind in KINDS}
        repeats += [Repeat(later, earlier, kinds, examples)] if rows else []
    return repeats


def _text(text: Any) -> str:
    """Return a text of any kind, or what is none, as one string."""
    if isinstance(text, tuple | list):
        return (" / " if isinstance(text, tuple) else " ").join(map(str, text))
    return text if isinstance(text, str) else repr(text)


def _classes(data: TaskData) -> dict[str, dict[str, int]]:
    """Return how many items each class has, by split, the largest in training first."""
    if data.kind == "span":
        answered = {name: sum(map(bool, s.labels)) for name, s in splits_of(data).items()}
        without = {name: len(s.ids) - answered[name] for name, s in splits_of(data).items()}
        return {"with an answer": answered, "without": without}
    counts = {
        name: np.bincount(memberships(data.kind, split.labels)[1], minlength=len(data.classes))
        for name, split in splits_of(data).items()
    }
    order = np.argsort(-counts["train"], kind="stable").tolist()
    return {
        data.classes[i]: {name: int(found[i]) for name, found in counts.items()} for i in order
    }


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
        ids = ", ".join(map(escape, flaw.rows))
        more = ", …" if flaw.count > len(flaw.rows) and flaw.rows else ""
        lines += [f"- **{escape(flaw.name)}**: {escape(flaw.words, SENTENCE)}"]
        lines += [f"  Rows: {ids}{more}"] if flaw.rows else []
    shown = [(flaw.name, row) for flaw in flaws for row in flaw.rows[:EXAMPLES]]
    rows = [[escape(name), escape(row), escape(card.samples.get(row, ""))] for name, row in shown]
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
