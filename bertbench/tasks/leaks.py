"""A task in, the same without leaks out, or a refusal: no text may be learned from and scored on."""

import functools
import logging

import numpy as np

from bertbench.data.duplicates import normalise, parts_of
from bertbench.data.splits import take
from bertbench.errors import UserError
from bertbench.kinds.validate import validate
from bertbench.types import Flaw, Split, TaskData

log = logging.getLogger(__name__)

ORDER = ("train", "validation", "test")  # a text stands in the first; in a later one it is a leak
NAMED = 3  # ids in a sentence
DROPPED = {name: f"leaks dropped from {name}" for name in ORDER}  # what the data card calls them


def sound(data: TaskData, action: str, place: str) -> TaskData:
    """Return a task that is valid and whose leaks were dealt with.

    Args:
        data: A whole task.
        action: See `checked`.
        place: What the user calls it.

    Raises:
        UserError: See `validate` and `checked`.
    """
    validate(data, place)
    found = checked(data, action, place)
    if action == "drop" and found is not data:  # a class may have lost its last text
        validate(found, place)
    return found


def checked(data: TaskData, action: str, place: str) -> TaskData:
    """Look for texts of one split in a later one: the same words but for case, white space, Unicode's forms.

    Args:
        data: A whole task.
        action: `error` refuses it, `warn` says so, `drop` leaves them out of the later split.
        place: What the user calls it.

    Returns:
        The task itself where there are none; else one whose notes say what was found and done, and whose
        flaws name the rows that were dropped.

    Raises:
        UserError: There are leaks, and `action` is `error`, or `drop` would leave nothing of a split.
    """
    known: set[tuple[str, ...]] = set()
    kept = data
    for name in ORDER:
        split: Split = getattr(data, name)
        texts = [_normal(text) for text in split.texts]
        seen = np.array([text in known for text in texts], dtype=bool)
        known.update(texts)
        if not seen.any():
            continue
        rows = np.flatnonzero(seen)
        ids = ", ".join(repr(split.ids[row]) for row in rows[:NAMED])
        said = (
            f"{len(rows)} of {len(texts)} {name} texts of {place} also stand in an earlier split ({ids}"
            f"{' and more' if len(rows) > NAMED else ''})"
        )
        if action == "error":
            raise UserError(
                f"{said}, so scores on them flatter every model: remove them, or set task.leaks=drop or "
                "task.leaks=warn"
            )
        if action == "warn":
            kept = _noted(kept, f"{said}: scores on them flatter every model")
            continue
        if seen.all():
            raise UserError(
                f"all {name} texts of {place} also stand in an earlier split: give it others"
            )
        words = (
            f"{len(rows)} of {len(texts)} {name} texts stood in an earlier split and were dropped."
        )
        flaw = Flaw(DROPPED[name], len(rows), len(texts), [split.ids[row] for row in rows], words)
        kept = _noted(kept, f"{said}: they are left out")
        kept = kept._replace(
            **{name: take(split, np.flatnonzero(~seen))}, flaws=(*kept.flaws, flaw)
        )
    return kept


def _noted(data: TaskData, words: str) -> TaskData:
    log.warning("%s", words)
    return data._replace(notes=(*data.notes, words))


@functools.lru_cache(maxsize=100_000)  # a run and its baseline check the same texts
def _of(text: str) -> str:
    return normalise(text)


def _normal(text: object) -> tuple[str, ...]:
    return tuple(_of(part) for part in parts_of(text) or ())
