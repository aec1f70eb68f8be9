"""A task of any kind in; what would train or score to nonsense is refused."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from bertbench.data.seeing import is_blank
from bertbench.errors import UserError
from bertbench.kinds import find
from bertbench.types import Split, TaskData

VARIED = {  # kinds whose training labels must not all be one: what has a label, and what it is
    "multilabel": ("texts", "classes"),
    "regression": ("texts", "number"),
    "ranking": ("candidates", "relevance"),
    "token": ("words", "tag"),
}


def validate(data: TaskData, place: str) -> None:
    """Check what every task must be, whoever made it.

    Args:
        data: The whole task, before any subset is taken.
        place: What the user calls it, for the error.

    Raises:
        UserError: A split is empty or inconsistent, a text is blank or no text, a label is none of the
            classes or is not trained on, all training labels are one, or an id stands twice.
    """
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    kind = find(data.kind, f"the kind of {place}")
    for name, split in splits.items():
        where = f"the {name} split of {place}"
        _check_lengths(split, where)
        _check_texts(split, kind.reading, where)
        kind.check(split, data.classes, where)
    _check_pairs(splits, place)
    _check_names(data, place)
    if data.kind == "classification":
        _check_classes(splits, data.classes, place)
    elif data.kind in VARIED:
        _check_varied(data, place)


def _check_lengths(split: Split, where: str) -> None:
    ids, texts, labels = len(split.ids), len(split.texts), len(split.labels)
    if not ids == texts == labels:
        raise UserError(
            f"{where} has {ids} ids, {texts} texts and {labels} labels: it needs one of each a text"
        )
    if not ids:
        raise UserError(f"{where} is empty: give it texts")
    if split.groups is not None and len(split.groups) != ids:
        raise UserError(
            f"{where} has {ids} ids and {len(split.groups)} groups: it needs one a text, or none"
        )


def _check_texts(split: Split, reading: str, where: str) -> None:
    blank = []
    for name, text in zip(split.ids, split.texts, strict=True):
        parts = _parts(text, reading)
        if parts is None or not all(isinstance(part, str) for part in parts):
            raise UserError(f"{where} has {text!r:.60} under the id {name!r}: make it text")
        if any(map(_is_broken, parts)):
            raise UserError(
                f"{where} has half a character (a lone surrogate) in the text of the id {name!r}: repair it"
            )
        # A word may be without a form: a tagger sees its place.
        empty = str.isspace if reading == "token" else is_blank
        if not parts or any(not part or empty(part) for part in parts):
            blank.append(name)
    if blank:
        raise UserError(
            f"{len(blank)} of {len(split.ids)} texts in {where} are blank, the first with the id "
            f"{blank[0]!r}: fill or remove them"
        )


def _parts(text: Any, reading: str) -> Sequence[Any] | None:
    """Return what a text is made of: itself, two of them, or words; None where it is nothing of that."""
    if reading == "token":
        return text if isinstance(text, list) else None
    if isinstance(text, tuple):
        return text if len(text) == 2 else None
    return [text] if reading == "text" else None


def _check_pairs(splits: dict[str, Split], place: str) -> None:
    """Check that all texts are pairs, or none is: a tokenizer reads a list of the one or the other."""
    first, *_ = splits["training"].texts
    for name, split in splits.items():
        for row, text in zip(split.ids, split.texts, strict=True):
            if isinstance(text, tuple) != isinstance(first, tuple):
                raise UserError(
                    f"the {name} split of {place} has {text!r:.60} under the id {row!r}, but the first "
                    f"training text is {first!r:.60}: make all of them pairs, or none"
                )


def _check_names(data: TaskData, place: str) -> None:
    """Check ids and classes: both name things in files that are written."""
    ids = Counter(chain(data.train.ids, data.validation.ids, data.test.ids))
    name, count = ids.most_common(1)[0]
    if count > 1:
        raise UserError(f"{count} texts of {place} have the id {name!r}: give each its own")
    name, count = next(iter(Counter(data.classes).most_common(1)), ("", 0))
    if count > 1:
        raise UserError(f"{count} classes of {place} have the name {name!r}: give each its own")
    for name in chain(ids, data.classes):
        if not isinstance(name, str) or _is_broken(name):
            raise UserError(f"{place} has {name!r:.60} for an id or a class: make it text")


def _check_classes(splits: dict[str, Split], classes: list[str], place: str) -> None:
    counts = {
        name: np.bincount(split.labels, minlength=len(classes)) for name, split in splits.items()
    }
    trained = counts.pop("training") > 0
    if trained.sum() < 2:
        raise UserError(
            f"all training texts of {place} have the class {classes[int(trained.argmax())]!r}: "
            "give it texts of two classes or more"
        )
    for name, count in counts.items():
        unseen = np.flatnonzero((count > 0) & ~trained)
        if len(unseen):
            which = unseen[0]
            raise UserError(
                f"{count[which]} {name} texts of {place} have the class {classes[which]!r}, which no "
                "training text has: add training texts of it, or remove them"
            )


def _check_varied(data: TaskData, place: str) -> None:
    """Check that there is something to learn: not all training labels are the same."""
    labels = data.train.labels
    values = np.unique(np.concatenate(labels) if data.kind == "token" else labels, axis=0)
    if len(values) == 1:
        items, label = VARIED[data.kind]
        if data.kind == "multilabel":
            shown = repr("|".join(data.classes[i] for i in np.flatnonzero(values[0])))
        else:
            shown = repr(data.classes[values[0]]) if data.kind == "token" else f"{values[0]:g}"
        raise UserError(
            f"all training {items} of {place} have the {label} {shown}: give it texts of two or more"
        )


def _is_broken(text: str) -> bool:
    """Tell whether `text` cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
