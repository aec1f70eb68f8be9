"""The text of a table with separators in, its rows out: CSV, whose quotes enclose, and TSV, whose do not."""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bertbench.data.formats.tables import Record, Table, checked
from bertbench.errors import UserError

LONGEST = 2**31 - 1  # characters in a field; the csv module's own limit is 131,072
# Where two fit equally well, the one that prose and numbers have less often.
SEPARATORS = "\t|;,"
WORDS = 3  # of a name that may be a text
SAMPLE = 50  # rows that a separator is found in
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
LITERAL: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}


def read_csv(text: str, file: Path, *, header: bool | None = None) -> Table:
    """Return the rows of text whose cells may be quoted; the separator is found.

    Args:
        text: Of the file.
        file: For the errors.
        header: Whether the first row names the columns; None means yes. Without one they are "1", "2"
            and so on.

    Raises:
        UserError: There are no rows, a row has another number of cells than the first, or a quote is
            wrong; names the line.
    """
    found = separator(text) or ","
    notes = [] if found == "," else [f"{file}: separator {found!r} found"]
    advice = f"quote a text that has {found!r} or a line break in it"
    return _table(text, file, header, {"delimiter": found, "strict": True}, advice, notes)


def read_tsv(text: str, file: Path, *, header: bool | None = None) -> Table:
    """Return the rows of text with tabs, in which a quote is a character like any other.

    Args, errors and result are those of `read_csv`.
    """
    advice = (
        "take tabs and line breaks out of its texts, or name its format csv if quotes enclose them"
    )
    return _table(text, file, header, LITERAL, advice, [])


def separator(text: str) -> str | None:
    """Return what separates the cells of the first rows, or None where no row is cut by anything.

    It is what cuts the first row, and the most of the rows after it into as many cells.
    """
    best, most = None, 0.0
    for candidate in SEPARATORS:
        widths = [len(row) for row in _sample(text, candidate)]
        share = widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0
        if share > most:
            best, most = candidate, share
    return best


def _sample(text: str, candidate: str) -> Iterator[list[str]]:
    """Yield the first rows, up to a quote that is wrong."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader(_lines(text), delimiter=candidate, strict=True)
    try:
        yield from islice(filter(None, reader), SAMPLE)
    except csv.Error:
        return


def _table(
    text: str,
    file: Path,
    header: bool | None,
    dialect: dict[str, Any],
    advice: str,
    notes: list[str],
) -> Table:
    columns: list[str] = []
    rows = []
    for line, cells in _cells(text, file, dialect):
        if not columns and header is not False:
            columns = [cell.strip() for cell in cells]
            continue
        columns = columns or [str(number) for number in range(1, len(cells) + 1)]
        if len(cells) != len(columns):
            first = "the first row" if header is False else "the header"
            raise UserError(
                f"{file}, line {line} has {_count(cells)}, but {first} has {len(columns)}: {advice}"
            )
        rows.append(Record(line, dict(zip(columns, cells, strict=True))))
    return Table(columns, checked(rows, file), notes, advice=_missed(columns, header, dialect))


def _missed(columns: list[str], header: bool | None, dialect: dict[str, Any]) -> str:
    """Return what else to try where a column is missed."""
    if len(columns) == 1:
        told = dialect["delimiter"]
        other = next((sign for sign in SEPARATORS if sign != told and sign in columns[0]), None)
        if other is not None:
            return (
                f"; its rows are one cell: if {other!r} stands between cells, set task.format=csv"
            )
        return "; its rows are one cell: put commas, semicolons, tabs or bars between cells"
    if header is None and any(map(_reads_like_data, columns)):
        return ", or, if its first row is data, set task.header=false: its columns are then 1, 2 and so on"
    return ""


def _reads_like_data(name: str) -> bool:
    """Tell whether the name of a column is a number, or as long as a sentence."""
    return name.lstrip("+-").replace(".", "", 1).isdigit() or len(name.split()) >= WORDS


def _cells(text: str, file: Path, dialect: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line that a row begins in, and its cells; blank lines are passed over."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader(_lines(text), **dialect)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{file}, line {line} cannot be read ({error}): close each quote, and double those within"
            + (", or name its format tsv" if dialect["delimiter"] == "\t" else "")
        ) from error


def _lines(text: str) -> Iterator[str]:
    """Yield each line with its end, one by one: a large text is not copied for its first rows."""
    return (line.group() for line in LINE.finditer(text))


def _count(cells: list[str]) -> str:
    return "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
