"""JSON lines, a JSON list or parquet in, rows whose cells keep their types out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertbench.data.formats.tables import Record, Table, check_whole, checked, named
from bertbench.data.reading import CHUNK, check_size, check_total, unchanged
from bertbench.errors import UserError

ROWS = 1024  # of a parquet file, turned into Python's values at a time
UNREADABLE = (ValueError, OverflowError)  # such as broken UTF-8, or a date that Python has not


def read_jsonl(text: str, file: Path) -> Table:
    """Return the object of each line that is not blank.

    Raises:
        UserError: A line is no object, or there are none; names the line.
    """
    return named(_lines(text, file), file, "line", [])


def read_json(text: str, file: Path) -> Table:
    """Return the objects of a list, which may be all that stands under "data".

    Raises:
        UserError: It is no JSON or no such list, or one of it is no object; names the line or the row.
    """
    value = parse(text, file)
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        keys = (
            f", but an object of {', '.join(f'{k!r:.30}' for k in list(value)[:5])}"
            if value
            else ""
        )
        raise UserError(
            f"{file} is no list of objects{keys if isinstance(value, dict) else ''}: make it one, such as "
            '[{"text": "..."}], or {"data": [...]}'
        )
    return named(_objects(rows, file), file, "row", [])


def parse(text: str, file: Path) -> Any:
    """Return the value of JSON text.

    Raises:
        UserError: It is none; names the line.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}, line {error.lineno} is not JSON ({error.msg}, character {error.colno}): write it with "
            "a JSON library, or name its format"
        ) from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of thousands of digits, or lists in lists
        raise UserError(
            f"{file} cannot be read as JSON ({str(error).split(';')[0]}): give it as plain objects"
        ) from error


def read_parquet(file: Path) -> Table:
    """Return the rows of a parquet file; lists become lists, numbers stay numbers.

    Raises:
        UserError: It is no parquet, is too large, or has a text that is not UTF-8; names the row.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    rows: list[Record] = []
    with unchanged(file):
        check_size(file)
        try:
            with ParquetFile(file, pre_buffer=False, buffer_size=CHUNK) as table:
                columns = list(table.schema_arrow.names)
                size = 0  # bytes unpacked, of which a small file may hold many
                for batch in table.iter_batches(batch_size=ROWS, use_threads=False):
                    size += batch.nbytes + batch.num_rows
                    check_total(size, file)
                    _append(rows, columns, batch.columns, file)
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(
                f"{file} cannot be read as parquet ({' '.join(str(error).split())}): it is damaged or no "
                "parquet, so make it again"
            ) from error
    return Table(columns, checked(rows, file), [], "row")


def _append(rows: list[Record], columns: list[str], arrays: list[Any], file: Path) -> None:
    lists = []
    for column, array in zip(columns, arrays, strict=True):
        try:
            lists.append(array.to_pylist())
        except UNREADABLE as error:
            row = len(rows) + 1 + _first_broken(array)
            raise UserError(
                f"{file}, row {row} cannot be read under {column!r} ({error}): make it text in UTF-8, or a "
                "number"
            ) from error
    for cells in zip(*lists, strict=True):
        rows.append(Record(len(rows) + 1, dict(zip(columns, cells, strict=True))))


def _first_broken(array: Any) -> int:
    for number, value in enumerate(array):
        try:
            value.as_py()
        except UNREADABLE:
            return number
    raise AssertionError("all of it can be read")


def _lines(text: str, file: Path) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UserError(
                f"{file}, line {number} is not a JSON object: each line must be one, such as "
                '{"text": "..."}'
            )
        check_whole([value] if "\\u" in line else [], f"{file}, line {number}")
        yield Record(number, value)


def _objects(values: list[Any], file: Path) -> Iterator[Record]:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise UserError(
                f'{file}, row {number} is not a JSON object: make it one, such as {{"text": "..."}}'
            )
        check_whole([value], f"{file}, row {number}")
        yield Record(number, value)
