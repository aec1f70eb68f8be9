"""Labelled items in, splits out: blank ones found, repeated ones left out, absent parts cut."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bertbench.data.duplicates import normalise, parts_of
from bertbench.data.splits import grouped, stratified
from bertbench.errors import UserError
from bertbench.kinds.base import Kind
from bertbench.kinds.cells import Columns
from bertbench.types import Split

SHARE = 0.2  # of the training items, for each part that has none of its own
SEED = 0  # of that cut, whatever the run's seed
NAMED = 10  # rows in a note


class Item(NamedTuple):
    """One labelled item."""

    id: str
    text: Any
    label: Any
    group: str | None
    place: str  # such as "line 7"


def lacking(cells: dict[str, Any], columns: Columns, kind: Kind) -> str | None:
    """Return the column that is blank in a row, if one is; a kind may have labels that say nothing."""
    asked = [columns.text, columns.second, None if kind.may_be_blank else columns.label]
    for column in asked:
        if column is not None:
            value = cells.get(column)
            if _blank(value):
                return column
    return None


def _blank(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)  # as tables write what is not there
    return value is None or (isinstance(value, str | list) and not _joined(value).strip())


def _joined(value: str | list[Any]) -> str:
    return "".join(map(str, value))  # numbers too: a label may be a list of them


def group_of(
    cells: dict[str, Any], text: Any, column: str | None, kind: Kind, place: str
) -> str | None:
    """Return what must stay in one part: a query's candidates, a context's questions, or as asked.

    Args:
        cells: Of the row, by column.
        text: Of the row, as `kind` has read it.
        column: Whose values name the groups; None takes the kind's own.
        kind: Of the task.
        place: Of the row, for the error.

    Raises:
        UserError: The row names no group.
    """
    if column is not None:
        value = cells.get(column)
        if _blank(value):
            raise UserError(f"{place} has nothing under {column!r}: fill it or remove the row")
        return str(value)
    own = {"ranking": 0, "span": 1}.get(kind.name)
    return None if own is None else text[own]


def distinct(items: Sequence[Item], place: str, notes: list[str]) -> list[Item]:
    """Keep the first item of each text, so that none can lie on both sides of a cut.

    Args:
        items: All that is to be cut.
        place: What they were read from, for the notes.
        notes: Gets a sentence for what is left out.
    """
    first: dict[tuple[str, ...], Item] = {}
    again: list[str] = []
    conflicts: list[str] = []
    for item in items:
        kept = first.setdefault(tuple(map(normalise, parts_of(item.text) or ())), item)
        if kept is not item:
            (conflicts if kept.label != item.label else again).append(
                f"{item.place} as {kept.place}"
            )
    for rows, what in ((again, "the same label"), (conflicts, "another label")):
        if rows:
            notes.append(
                f"{place}: {len(rows)} rows repeat the text of an earlier one with {what} and are left out "
                f"({named(rows)})"
            )
    return list(first.values())


def cut(
    items: Sequence[Item], parts: int, kind: Kind, *, place: str, way_out: str
) -> list[list[Item]]:
    """Cut a fifth off for each part but the first, with the strata in proportion and groups whole.

    Args:
        items: Distinct ones.
        parts: Two or three.
        kind: Of the task; says what the strata are.
        place: What the items were read from, for the error.
        way_out: What to name instead, for the error.

    Raises:
        UserError: There are too few items for so many parts.
    """
    shares = [1 - SHARE * (parts - 1), *[SHARE] * (parts - 1)]
    if items[0].group is not None:
        what, names = "groups", [normalise(item.group or "") for item in items]
        chosen = grouped(names, shares, seed=SEED)
    else:
        classes = kind.classes([item.label for item in items])
        what = "distinct texts of each class" if classes else "distinct texts"
        whole = split_of(items, kind, classes)
        chosen = stratified(kind.strata(whole), shares, seed=SEED)
    found = [[items[i] for i in rows] for rows in chosen]
    if not all(found):
        raise UserError(
            f"{place} has too few {what} to cut {parts - 1} fifths off: add some, or name {way_out}"
        )
    return found


def split_of(items: Sequence[Item], kind: Kind, classes: list[str]) -> Split:
    """Return items as a split."""
    groups = [item.group for item in items if item.group is not None]
    return Split(
        [item.id for item in items],
        [item.text for item in items],
        kind.numbers([item.label for item in items], classes),
        groups or None,
    )


def named(rows: Sequence[str]) -> str:
    """Return the first rows of a list, and how many more there are."""
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(rows[:NAMED]) + more
