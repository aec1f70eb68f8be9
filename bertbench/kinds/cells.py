"""A record of a file in, one value of it out: text, words, a number, the name of a class."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from bertbench.errors import UserError, nearest

SHOWN = 10  # columns in an error
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
LARGEST = 1e100  # number; beyond it the squares of errors overflow
# A list as Python and JSON print it: ['a', 'b'], [1, 2] or [].
LIST = re.compile(r"""\[(?:|["'].*["']|-?\d+(?:, ?-?\d+)+)\]""", re.DOTALL)


class Columns(NamedTuple):
    """What the columns of a task are called; the second is that of a pair's other text."""

    text: str = "text"
    second: str | None = None
    label: str = "label"
    group: str | None = None
    id: str | None = None


def cell(record: dict[str, Any], key: str, column: str, place: str) -> Any:
    """Return what stands in a column.

    Args:
        record: Cells by column.
        key: Of the setting that names the column: `task.` and this.
        column: Its name.
        place: File and line, for the error.

    Raises:
        UserError: There is no such column, or nothing in it.
    """
    if column not in record:
        known = ", ".join(f"{name!r:.30}" for name in list(record)[:SHOWN])
        raise UserError(
            f"{place} has no {column!r}{nearest(column, record)}: set task.{key} to one of its columns "
            f"({known})"
        )
    value = record[column]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise UserError(f"{place} has nothing under {column!r}: fill it or remove the row")
    return value


def text(record: dict[str, Any], key: str, column: str, place: str) -> str:
    """Return a text that is not blank."""
    value = cell(record, key, column, place)
    if not isinstance(value, str):
        raise UserError(f"{place} has {value!r:.60} under {column!r}: it must be text")
    if not value.strip():
        raise UserError(f"{place} is blank under {column!r}: fill it or remove the row")
    return value


def words(record: dict[str, Any], key: str, column: str, place: str) -> list[str]:
    """Return words: a list, or a text cut at white space."""
    value = cell(record, key, column, place)
    found = apart(value, column, place).split() if isinstance(value, str) else value
    if not isinstance(found, Sequence) or not all(isinstance(word, str) for word in found):
        raise UserError(f"{place} has {value!r:.60} under {column!r}: it must be words")
    if not found:
        raise UserError(f"{place} has no words under {column!r}: fill it or remove the row")
    blank = [number for number, word in enumerate(found, 1) if not word.strip()]
    if blank:
        raise UserError(f"{place} has a blank for word {blank[0]} under {column!r}: remove it")
    return list(found)


def number(record: dict[str, Any], key: str, column: str, place: str) -> float:
    """Return a number that can be squared."""
    value = cell(record, key, column, place)
    # Python reads 1_000 as a number, and no one else does.
    none = isinstance(value, bool) or (isinstance(value, str) and "_" in value)
    try:
        found = math.nan if none else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()):
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}: it must be a number with a point, such as "
            f"{value.strip().replace(',', '.')}"
        )
    if not abs(found) <= LARGEST:
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}: it must be a number, such as -1.5"
        )
    return found


def class_name(value: Any, column: str, place: str) -> str:
    """Return the name of a class: 1, "1" and 1.0 are the class "1", true is the class "true".

    In Unicode's form NFC, so that an accent is the same in files of different systems.
    """
    if isinstance(value, bool):
        return str(value).lower()  # as JSON writes it
    if isinstance(value, str) and not value.strip():
        raise UserError(f"{place} has nothing under {column!r}: fill it or remove the row")
    if not isinstance(value, str | int | float) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}: it must be the name of a class"
        )
    name = unicodedata.normalize("NFC", str(value)).strip()
    name = re.sub(r"^(-?\d+)\.0+$", r"\1", name)
    return "0" if name == "-0" else name


def apart(value: str, column: str, place: str) -> str:
    """Return a cell, if it is not a list as Python or JSON prints it: cut apart, that is nonsense."""
    if LIST.fullmatch(value.strip()):
        raise UserError(
            f"{place} has the list {value!r:.60} as one text under {column!r}: write its parts without "
            "brackets and quotes, or give the data as .jsonl"
        )
    return value


def identity(record: dict[str, Any], column: str, place: str) -> str:
    """Return what names a row."""
    value = cell(record, "id", column, place)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise UserError(f"{place} has {value!r:.60} under {column!r}: it must be text or a number")
    return str(value)
