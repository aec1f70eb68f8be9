"""A task and its duplicates in, what is wrong with its data out: each flaw counted, with its rows."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bertbench.data.doubts import suspicious_labels
from bertbench.data.duplicates import KINDS, Duplicates, leaks, normalise, parts_of, within
from bertbench.data.seeing import is_blank, is_nothing, is_wordless
from bertbench.types import Flaw, Split, TaskData

FEW = 5  # training items of a class below which it is rare
NAMED = 5  # classes in a sentence


def splits_of(data: TaskData) -> dict[str, Split]:
    """Return the splits by name, in the order in which a leak counts as one of the earlier."""
    return {"train": data.train, "validation": data.validation, "test": data.test}


def find(data: TaskData, found: Duplicates, *, seed: int) -> list[Flaw]:
    """Look for everything that can be wrong with data of this kind.

    Args:
        data: A whole task.
        found: The duplicates of `splits_of(data)`.
        seed: Decides the folds that wrong labels are looked for with.
    """
    flaws = [empty_texts(data)]
    flaws += [] if data.kind == "token" else [texts_without_words(data)]
    flaws.append(conflicting_labels(data, found))
    flaws += [*repeated(found), *leaked(found)]
    flaws += [check(data) for check in CHECKS.get(data.kind, ())]
    if data.kind == "classification":
        flaws.append(suspicious_labels(data.train, data.classes, seed=seed))
    return flaws


def empty_texts(data: TaskData) -> Flaw:
    """Return the rows that have no text: blank, no text at all, or blank in one of a pair."""
    rows, items = [], _items(data)
    for name, text, _ in items:
        parts = parts_of(text)
        if parts is None or any(map(is_blank, parts)):
            rows.append(name)
    return _flaw("empty texts", rows, len(items), f"of {len(items):,} texts are blank or no text")


def texts_without_words(data: TaskData) -> Flaw:
    """Return the rows whose text, or one of a pair, has no letter or digit, or is an empty cell's word."""
    rows, items = [], _items(data)
    for name, text, _ in items:
        parts = parts_of(text) or ()
        odd = (part for part in parts if is_wordless(part) or is_nothing(part))
        if any(not is_blank(part) for part in odd):
            rows.append(name)
    tail = (
        f"of {len(items):,} texts have no letter or digit, or are a word for nothing such as NULL"
    )
    return _flaw("texts without words", rows, len(items), tail)


def conflicting_labels(data: TaskData, found: Duplicates) -> Flaw:
    """Return the rows whose normalised text has another label elsewhere, in any split."""
    items = _items(data)
    labels = [_label(data.kind, label) for _, _, label in items]
    rows: dict[int, list[int]] = {}
    for row, number in enumerate(found.normal.tolist()):
        if number >= 0:
            rows.setdefault(number, []).append(row)
    clash = [same for same in rows.values() if _disagree([labels[row] for row in same])]
    ids = [items[row][0] for row in sorted(itertools.chain(*clash))]
    tail = (
        f"of {len(items):,} rows have a text that stands elsewhere with another label "
        f"({_many(len(clash), 'text')})"
    )
    return _flaw("conflicting labels", ids, len(items), tail)


def repeated(found: Duplicates) -> list[Flaw]:
    """Return, for each split, the rows that repeat an earlier one of it."""
    flaws = []
    for split, rows in within(found).items():
        ids, total = found.ids[split], len(found.ids[split])
        tail = f"of {total:,} {split} texts repeat an earlier one of their split{_by_kind(rows)}"
        flaws.append(
            _flaw(f"duplicates in {split}", [ids[row] for row, _, _ in rows], total, tail)
        )
    return flaws


def leaked(found: Duplicates) -> list[Flaw]:
    """Return, for each two splits, the rows of the later that the earlier has too."""
    flaws = []
    for (earlier, later), rows in leaks(found).items():
        ids, total = found.ids[later], len(found.ids[later])
        tail = f"of {total:,} {later} texts stand in {earlier} too{_by_kind(rows)}"
        name = f"leak from {earlier} to {later}"
        flaws.append(_flaw(name, [ids[row] for row, _, _ in rows], total, tail))
    return flaws


def memberships(kind: str, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and their classes, an entry a class of a text or a tag of a word: int64, (M,) each."""
    if kind == "multilabel":
        rows, classes = np.nonzero(np.asarray(labels))
        return rows, classes
    if kind == "token":
        rows = np.repeat(np.arange(len(labels)), [len(tags) for tags in labels])
        none = np.zeros(0, dtype=np.int64)
        return rows, np.concatenate([none, *(np.asarray(tags, dtype=np.int64) for tags in labels)])
    return np.arange(len(labels)), np.asarray(labels, dtype=np.int64)


def rare_classes(data: TaskData) -> Flaw:
    """Return the training rows of classes that have few of them."""
    rows, classes = memberships(data.kind, data.train.labels)
    counts = np.bincount(classes, minlength=len(data.classes))
    rare = np.flatnonzero((counts > 0) & (counts < FEW))
    ids = [data.train.ids[row] for row in np.unique(rows[np.isin(classes, rare)])]
    named = _named(f"{data.classes[i]} ({counts[i]})" for i in rare)
    words = (
        f"{len(rare):,} of {_many(len(data.classes), 'class', 'classes')} have fewer than {FEW} training "
        f"{_unit(data.kind)}{named}."
    )
    return Flaw("rare classes", len(rare), len(data.classes), ids, words)


def untrained_classes(data: TaskData) -> Flaw:
    """Return the rows of later splits that have a class which no training row has."""
    trained = np.unique(memberships(data.kind, data.train.labels)[1])
    ids, unseen, total = [], [], 0
    for split in (data.validation, data.test):
        rows, classes = memberships(data.kind, split.labels)
        new = ~np.isin(classes, trained)
        unseen += np.unique(classes[new]).tolist()
        ids += [split.ids[row] for row in np.unique(rows[new])]
        total += len(split.ids)
    named = _named(data.classes[i] for i in sorted({*unseen}))
    tail = f"of {total:,} validation and test rows have a class that no training row has{named}"
    return _flaw("untrained classes", ids, total, tail)


def imbalance(data: TaskData) -> Flaw:
    """Return how many training items the largest class has."""
    counts = np.bincount(
        memberships(data.kind, data.train.labels)[1], minlength=max(1, len(data.classes))
    )
    largest, total = int(counts.argmax()), int(counts.sum())
    words = (
        f"the largest class, {data.classes[largest]}, has {counts[largest]:,} of {total:,} training "
        f"{_unit(data.kind)} ({counts[largest] / max(1, total):.1%}); of {len(data.classes)} alike "
        f"each would have {1 / len(data.classes):.1%}."
    )
    return Flaw("class imbalance", int(counts[largest]), total, [], words[0].upper() + words[1:])


def broken_words(data: TaskData) -> Flaw:
    """Return the sentences without words, with a blank word, or of one word over and over."""
    items = _items(data)
    rows = [
        name
        for name, words, _ in items
        if not words
        or any(is_blank(str(word)) for word in words)
        or (len(words) > 2 and len({*words}) == 1)
    ]
    tail = f"of {len(items):,} sentences have no words, a blank word, or one word over and over"
    return _flaw("broken sentences", rows, len(items), tail)


def broken_tags(data: TaskData) -> Flaw:
    """Return the sentences in which an I- tag continues nothing of its type.

    That is right in IOB1, where a B- tag only parts two spans of one type: a flaw of another name.
    """
    items, first = _items(data), True
    rows = []
    for name, _, numbers in items:
        tags = ["O", *(data.classes[number] for number in numbers)]
        begins = [
            tag[:2]
            for before, tag in itertools.pairwise(tags)
            if tag[:2] in ("B-", "I-") and before not in (f"I-{tag[2:]}", f"B-{tag[2:]}")
        ]
        rows += [name] if "I-" in begins else []
        first = first and "B-" not in begins
    if rows and first:
        tail = (
            f"of {len(items):,} sentences begin a span with I-, as all do here: the tags are IOB1"
        )
        return _flaw("tags in IOB1", rows, len(items), tail)
    tail = f"of {len(items):,} sentences have an I- tag after no B- or I- of its type (right in IOB1 alone)"
    return _flaw("broken tags", rows, len(items), tail)


def ambiguous_answers(data: TaskData) -> Flaw:
    """Return the questions whose answer stands in the context more than once."""
    items = _questions(data)
    rows = [
        name
        for name, (_, context), answers in items
        if any(answer.text and context.count(answer.text) > 1 for answer in answers)
    ]
    tail = f"of {len(items):,} questions have an answer that stands in the context more than once"
    return _flaw("answers that stand twice", rows, len(items), tail)


def unanswered(data: TaskData) -> Flaw:
    """Return the questions without an answer."""
    items = _questions(data)
    rows = [name for name, _, answers in items if not answers]
    tail = f"of {len(items):,} questions have no answer in their context"
    return _flaw("contexts without an answer", rows, len(items), tail)


def asked_twice(data: TaskData) -> Flaw:
    """Return the questions whose words were asked before, of whatever context."""
    items = _questions(data)
    asked = [normalise(question) for _, (question, _), _ in items]
    first = {words: row for row, words in reversed(list(enumerate(asked)))}
    rows = [item[0] for row, item in enumerate(items) if first[asked[row]] < row]
    tail = f"of {len(items):,} questions were asked before, of the same or another context"
    return _flaw("questions asked twice", rows, len(items), tail)


BY_CLASS = (rare_classes, untrained_classes, imbalance)
CHECKS: dict[str, tuple[Callable[[TaskData], Flaw], ...]] = {
    "classification": BY_CLASS,
    "multilabel": BY_CLASS,
    "token": (*BY_CLASS, broken_words, broken_tags),
    "span": (ambiguous_answers, unanswered, asked_twice),
}


def _items(data: TaskData) -> list[tuple[str, Any, Any]]:
    """Return id, text and label of each row, one split after the other."""
    return [
        item
        for split in splits_of(data).values()
        for item in zip(split.ids, split.texts, split.labels, strict=True)
    ]


def _questions(data: TaskData) -> list[tuple[str, tuple[str, str], Any]]:
    """Return the items whose texts are texts."""
    return [item for item in _items(data) if parts_of(item[1]) is not None]


def _label(kind: str, label: Any) -> frozenset[Any] | tuple[Any, ...]:
    """Return a label as something that can be compared: of a question, the set of its answers."""
    if kind == "span":
        return frozenset(normalise(answer.text) for answer in label)
    return tuple(np.atleast_1d(label).tolist())


def _disagree(labels: list[Any]) -> bool:
    """Tell whether two labels differ; sets of answers do where they have none in common."""
    return any(
        not isinstance(one, frozenset) or not one & other
        for one, other in itertools.combinations({*labels}, 2)
    )


def _by_kind(rows: list[tuple[int, int, str]]) -> str:
    counts = Counter(kind for _, _, kind in rows)
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    return f" ({said})" if said else ""


def _unit(kind: str) -> str:
    return "words" if kind == "token" else "labels" if kind == "multilabel" else "items"


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _named(names: Iterable[str]) -> str:
    """Return the first of some names, after a colon; nothing where there are none."""
    shown = list(names)
    more = f" and {len(shown) - NAMED:,} more" if len(shown) > NAMED else ""
    return f": {', '.join(shown[:NAMED])}{more}" if shown else ""


def _flaw(name: str, rows: list[str], of: int, tail: str) -> Flaw:
    return Flaw(name, len(rows), of, rows, f"{len(rows):,} {tail}.")
