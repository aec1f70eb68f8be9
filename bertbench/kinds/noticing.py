"""A task in, what is odd about its labels and can be learned and scored nonetheless out."""

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from bertbench.data.duplicates import normalise
from bertbench.data.flaws import memberships, splits_of
from bertbench.data.seeing import is_nothing
from bertbench.kinds.multilabel import SEPARATOR
from bertbench.scores.rankings import groups_left_out
from bertbench.types import Flaw, TaskData

NAMED = 5  # classes in a sentence
OTHERS = (";", ",")  # what may stand between classes where SEPARATOR should
SEVERAL = 0.2  # share of the classes with such a sign above which it is no part of their names


def noticed(data: TaskData) -> list[Flaw]:
    """Return each odd thing that is there, a sentence for the log in its words.

    Args:
        data: A whole task.
    """
    checks = (_alike, _nothing, _unparted, _untrained, _without_relevant, _shared_groups)
    return list(chain.from_iterable(check(data) for check in checks))


def _alike(data: TaskData) -> Iterator[Flaw]:
    """Name classes that differ by case, width, white space or signs that are not seen (Unicode's Cf)."""
    names: dict[str, list[int]] = {}
    for number, name in enumerate(data.classes):
        seen = "".join(sign for sign in name if unicodedata.category(sign) != "Cf")
        names.setdefault(normalise(seen), []).append(number)
    for alike in names.values():
        if len(alike) > 1:
            said = ", ".join(repr(data.classes[number]) for number in alike)
            words = f"the classes {said} read alike: are they one?"
            yield _flaw("classes that read alike", data, alike, words)


def _nothing(data: TaskData) -> Iterator[Flaw]:
    """Name the classes that are called as an empty cell is written."""
    if data.kind not in ("classification", "multilabel"):
        return
    found = [number for number, name in enumerate(data.classes) if is_nothing(name)]
    if found:
        flaw = _flaw("classes called nothing", data, found, "")
        named = _named(data.classes[number] for number in found)
        words = f"{len(flaw.rows):,} rows have the class {named}: if that says no label, empty these cells"
        yield flaw._replace(words=words)


def _unparted(data: TaskData) -> Iterator[Flaw]:
    """Name the classes that look like several: no text has two, but names have other separators."""
    if data.kind != "multilabel" or any(
        (np.sum(split.labels, axis=1) > 1).any() for split in splits_of(data).values()
    ):
        return
    found = [n for n, name in enumerate(data.classes) if any(sign in name for sign in OTHERS)]
    if len(found) > SEVERAL * len(data.classes):
        words = (
            f"no text has two classes, but {len(found)} of {len(data.classes)} class names have a comma or "
            f"semicolon ({_named(data.classes[n] for n in found)}): if they are several, write "
            f"{SEPARATOR!r} between them"
        )
        yield _flaw("classes that are several", data, found, words)


def _untrained(data: TaskData) -> Iterator[Flaw]:
    """Name the classes of which there is no training text, where `validate` does not refuse them."""
    if data.kind not in ("token", "multilabel"):
        return
    trained = memberships(data.kind, data.train.labels)[1]
    unseen = np.setdiff1d(np.arange(len(data.classes)), trained).tolist()
    if unseen:
        named = _named(data.classes[number] for number in unseen)
        words = f"no training text has the class {named}, so no model can learn it"
        yield _flaw("untrained classes", data, unseen, words)


def _without_relevant(data: TaskData) -> Iterator[Flaw]:
    if data.kind != "ranking":
        return
    for name, split in splits_of(data).items():
        groups = split.groups or []
        count, total = groups_left_out(split.labels, groups), len({*groups})
        if count:
            found = {group for group, label in zip(groups, split.labels, strict=True) if label > 0}
            rows = [
                row for row, group in zip(split.ids, groups, strict=True) if group not in found
            ]
            words = f"{count} of {total} {name} queries have no relevant candidate and count in no score"
            yield Flaw(f"{name} queries without relevant candidate", count, total, rows, words)


def _shared_groups(data: TaskData) -> Iterator[Flaw]:
    """Name the rows of a later split whose query, context or group an earlier split has too."""
    unit = {"ranking": "query", "span": "context"}.get(data.kind, "group")
    known: set[str] = set()
    for name, split in splits_of(data).items():
        names = split.groups or []
        normal = {name: normalise(name) for name in {*names}}  # a context stands in many rows
        ids = [row for row, name in zip(split.ids, names, strict=False) if normal[name] in known]
        known.update(normal.values())
        if ids:
            words = (
                f"{len(ids)} of {len(split.ids)} {name} rows are of a {unit} that an earlier split has too, "
                "so scores on them flatter every model"
            )
            yield Flaw(f"{name} shares groups", len(ids), len(split.ids), ids, words)


def _flaw(name: str, data: TaskData, classes: list[int], words: str) -> Flaw:
    """Return a flaw of classes, with the rows that have one of them."""
    ids = []
    for split in splits_of(data).values():
        rows, found = memberships(data.kind, split.labels)
        ids += [split.ids[row] for row in np.unique(rows[np.isin(found, classes)])]
    return Flaw(name, len(classes), len(data.classes), ids, words)


def _named(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return ", ".join(map(repr, shown[:NAMED])) + more
