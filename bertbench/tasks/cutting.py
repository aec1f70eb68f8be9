"""Labelled items in, splits out: blank ones found, repeated ones left out, absent parts cut."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bertbench.data.duplicates import normalise, parts_of
from bertbench.data.seeing import is_blank
from bertbench.data.splits import grouped, stratified
from bertbench.errors import UserError
from bertbench.kinds.base import Kind
from bertbench.kinds.cells import Columns
from bertbench.tasks.nearness import together
from bertbench.types import Flaw, Split

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


class Findings(NamedTuple):
    """What reading has to say: grows while it goes on."""

    notes: list[str]  # for the log and the card, a sentence each
    flaws: list[Flaw]  # of rows that are left out


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
    return value is None or (isinstance(value, str | list) and is_blank(_joined(value)))


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


def leave_out(findings: Findings, place: str, part: str, rows: dict[str, str], total: int) -> None:
    """Say which rows lack a text or a label and are left out, if any.

    Args:
        findings: Gets a sentence and a flaw.
        place: What the rows were read from.
        part: Of the task, where there are several files; else empty.
        rows: By id, what an error calls them.
        total: Rows that were read.
    """
    if not rows:
        return
    words = f"{len(rows)} of {total} rows lack a text or a label and are left out"
    findings.notes.append(f"{place}: {words} ({named([*rows.values()])})")
    name = f"incomplete rows in {part}" if part else "incomplete rows"
    findings.flaws.append(Flaw(name, len(rows), total, [*rows], f"{words}."))


def distinct(items: Sequence[Item], place: str, findings: Findings) -> list[Item]:
    """Keep the first item of each text, so that none can lie on both sides of a cut.

    Args:
        items: All that is to be cut.
        place: What they were read from, for the notes.
        findings: Gets a sentence and a flaw for what is left out.
    """
    first: dict[tuple[str, ...], Item] = {}
    again: list[tuple[Item, Item]] = []
    conflicts: list[tuple[Item, Item]] = []
    for item in items:
        kept = first.setdefault(tuple(map(normalise, parts_of(item.text) or ())), item)
        if kept is not item:
            (conflicts if kept.label != item.label else again).append((item, kept))
    for pairs, what in ((again, "the same label"), (conflicts, "another label")):
        if pairs:
            rows = [f"{item.place} as {kept.place}" for item, kept in pairs]
            findings.notes.append(
                f"{place}: {len(rows)} rows repeat the text of an earlier one with {what} and are left out "
                f"({named(rows)})"
            )
    if again:
        words = f"{len(again)} of {len(items)} rows repeat an earlier one with its label and are left out."
        ids = [item.id for item, _ in again]
        findings.flaws.append(Flaw("duplicates left out", len(again), len(items), ids, words))
    if conflicts:
        findings.flaws.append(_conflict(items, conflicts))
    return list(first.values())


def _conflict(items: Sequence[Item], conflicts: list[tuple[Item, Item]]) -> Flaw:
    """Return the rows of one text and several labels, those that are kept too: one of them is wrong."""
    found = {item.id for item in itertools.chain(*conflicts)}
    ids = [item.id for item in items if item.id in found]
    texts = len({kept.id for _, kept in conflicts})
    words = (
        f"{len(ids)} of {len(items)} rows have a text that stands elsewhere with another label "
        f"({texts} {'text' if texts == 1 else 'texts'}); of each text the first row is kept, the others are "
        "left out."
    )
    return Flaw("conflicting labels left out", len(ids), len(items), ids, words)


def cut(
    items: Sequence[Item], parts: int, kind: Kind, findings: Findings, *, place: str, way_out: str
) -> list[list[Item]]:
    """Cut a fifth off for each part but the first, with the strata in proportion and groups whole.

    Near duplicates go where the first of them goes; see `nearness.together`.

    Args:
        items: Distinct ones.
        parts: Two or three.
        kind: Of the task; says what the strata are.
        findings: Gets a sentence where near duplicates may lie in two parts.
        place: What the items were read from, for the error.
        way_out: What to name instead, for the error.

    Raises:
        UserError: There are too few items for so many parts.
    """
    shares = [1 - SHARE * (parts - 1), *[SHARE] * (parts - 1)]
    if items[0].group is not None:
        what, names = "groups", [normalise(item.group or "") for item in items]
        chosen = grouped(names, shares, seed=SEED)
        units = np.unique(names, return_inverse=True)[1]
        strata = np.zeros(len(items), dtype=np.int64)
    else:
        classes = kind.classes([item.label for item in items])
        what = "distinct texts of each class" if classes else "distinct texts"
        strata = kind.strata(split_of(items, kind, classes))
        chosen = stratified(strata, shares, seed=SEED)
        units = np.arange(len(items))
    if all(map(len, chosen)):
        chosen, said = together([item.text for item in items], units, strata, chosen)
        findings.notes.extend([f"{place}: {said}"] if said else [])
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
