"""A file in, its labelled rows out: .csv and .tsv with a header, or .jsonl; each also .gz.

All is read as text. A label is what stands there ("NA" and "None" are labels like any other), but a
whole number has one name: 1, "1" and 1.0 are the class "1".
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertbench.data.reading import json_lines, read_text
from bertbench.errors import UserError

LONGEST = 2**31 - 1  # characters in a field; the csv module's own limit is 131,072
FORMATS: dict[str, dict[str, Any]] = {
    ".csv": {"strict": True},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},  # a quote is a character
}


class Columns(NamedTuple):
    """What the columns are called."""

    text: str
    label: str
    id: str | None


class Row(NamedTuple):
    """One labelled text."""

    id: str
    text: str
    label: str


def is_known(file: Path) -> bool:
    """Tell whether the ending of a file is one that is read."""
    return _ending(file) in (*FORMATS, ".jsonl")


def read_rows(file: Path, name: str, columns: Columns) -> list[Row]:
    """Read a file.

    Args:
        file: Has an ending that is known.
        name: Of the part, in the ids that are made of it and the line.
        columns: What to read.

    Raises:
        UserError: The file cannot be read or has no rows, or a row is no labelled text; names the line.
    """
    records = json_lines(file) if _ending(file) == ".jsonl" else _delimited(file, columns)
    rows, blank = [], []
    for line, record in records:
        place = f"{file}, line {line}"
        key = f"{name}:{line}" if columns.id is None else _id(record, columns.id, place)
        text = _text(record, columns.text, place)
        rows.append(Row(key, text, _label(record, columns.label, place)))
        if not text.strip():
            blank.append(line)
    if not rows:
        raise UserError(f"{file} has no rows: give it labelled texts")
    if blank:
        raise UserError(
            f"{file} has {len(blank)} blank texts, the first in line {blank[0]}: fill or remove them"
        )
    return rows


def _delimited(file: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of the line that a row begins in, and its cells by column."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader(io.StringIO(read_text(file), newline=""), **FORMATS[_ending(file)])
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not header:
                header = [cell.strip() for cell in cells]
                _check_header(header, columns, file)
            elif cells:  # none in a blank line
                if len(cells) != len(header):
                    raise UserError(
                        f"{file}, line {line} has {len(cells)} cells, but the header has "
                        f"{len(header)}: quote a text that has the separator or a line break in it"
                    )
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{file}, line {line} cannot be read ({error}): close each quote, and double those within"
        ) from error


def _check_header(header: list[str], columns: Columns, file: Path) -> None:
    for column in columns:
        if header.count(column or "") > 1 and column:
            raise UserError(f"{file} has {header.count(column)} columns {column!r}: rename one")


def _cell(record: dict[str, Any], key: str, column: str, place: str) -> Any:
    if column not in record:
        known = ", ".join(f"{name!r:.30}" for name in list(record)[:10])
        raise UserError(
            f"{place} has no {column!r}: set task.source.{key} to one of its columns ({known})"
        )
    value = record[column]
    if value is None or (key != "text" and not str(value).strip()):
        raise UserError(f"{place} has nothing under {column!r}: fill it or remove the row")
    return value


def _text(record: dict[str, Any], column: str, place: str) -> str:
    value = _cell(record, "text", column, place)
    if not isinstance(value, str):
        raise UserError(f"{place} has {value!r:.60} under {column!r}: it must be text")
    return value


def _id(record: dict[str, Any], column: str, place: str) -> str:
    value = _cell(record, "id", column, place)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{place} has {value!r:.60} under {column!r}: it must be text or a number")
    return str(value)


def _label(record: dict[str, Any], column: str, place: str) -> str:
    value = _cell(record, "label", column, place)
    if isinstance(value, bool):
        return str(value).lower()  # as JSON writes it
    if not isinstance(value, str | int | float) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}: it must be the name of a class"
        )
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value).strip())


def _ending(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix
