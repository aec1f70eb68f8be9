"""Records in, a table that knows its columns out, and the one sentence for a column that it lacks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bertbench.errors import UserError, nearest

SHOWN = 10  # columns in an error


class Record(NamedTuple):
    """One item of a file."""

    place: int  # from 1: what is counted, the table says
    cells: dict[str, Any]  # by column


class Table(NamedTuple):
    """What stands in a file or a folder."""

    columns: list[str]  # as they stand there; a name may stand twice
    rows: list[Record]  # at least one
    notes: list[str]  # a sentence for each thing that was decided and not said
    unit: str = "line"  # what `place` counts, as an error calls it: line, row, question, file
    advice: str = ""  # what else may be wrong where a column is missed


def named(rows: Iterable[Record], file: Path, unit: str, notes: list[str]) -> Table:
    """Return a table whose columns are all that any row has, in the order in which they come up.

    Raises:
        UserError: There are no rows.
    """
    found = checked(list(rows), file)
    return Table(list(dict.fromkeys(_columns(found))), found, notes, unit)


def _columns(rows: list[Record]) -> Iterator[str]:
    for row in rows:
        yield from row.cells


def checked(rows: list[Record], file: Path) -> list[Record]:
    """Return the rows.

    Raises:
        UserError: There are none.
    """
    if not rows:
        raise UserError(f"{file} has no rows: give it labelled texts")
    return rows


def check_whole(values: Iterable[Any], place: str) -> None:
    r"""Refuse a text of JSON that ends in the middle of a character, as "\ud83d" does.

    Args:
        values: Texts, and lists and dicts of them; all else is passed over.
        place: File and line, for the error.

    Raises:
        UserError: There is one; no file can hold it and no tokenizer reads it.
    """
    waiting = list(values)  # not by recursion: lists may lie in lists a thousand deep
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{place} has half a character (a lone surrogate) in {value!r:.60}: repair it"
                ) from error
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


def column_error(table: Table, wanted: str, key: str, path: Path) -> NoReturn:
    """Say why a column cannot be read: there is none of that name, or there are several.

    Args:
        table: Has not exactly one such column.
        wanted: The column.
        key: Of the setting that names it, such as `task.text`.
        path: Of the table.

    Raises:
        UserError: Always; names the nearest column and the known ones.
    """
    count = table.columns.count(wanted)
    assert count != 1, "there is nothing wrong with this column"
    if count:
        raise UserError(f"{path} has {count} columns {wanted!r}: rename one")
    known = ", ".join(f"{name!r:.30}" for name in table.columns[:SHOWN])
    more = len(table.columns) - SHOWN
    near = nearest(wanted, table.columns)
    advice = "" if near and len(table.columns) > 1 else table.advice
    raise UserError(
        f"{path} has no column {wanted!r}{near}: set {key} to one of its columns "
        f"({known}{f' and {more} more' if more > 0 else ''}){advice}"
    )
