"""A task's data and what was found in it in, the facts of its card out: plain numbers and words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertbench.data.duplicates import KINDS, Duplicates, leaks, within
from bertbench.data.flaws import memberships, splits_of
from bertbench.data.lengths import by_split, quantiles
from bertbench.data.yardsticks import Yardstick
from bertbench.types import Flaw, TaskData

EXAMPLES = 5  # rows shown of a flaw, or of a repetition


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
