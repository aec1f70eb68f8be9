"""A folder of files that belong together line by line in, one record a line out: columns are their names."""

from pathlib import Path

from bertbench.data.formats.encodings import text_of
from bertbench.data.formats.tables import Record, Table, checked
from bertbench.data.reading import check_total, entries
from bertbench.errors import UserError


def read_lines(folder: Path, *, encoding: str | None = None) -> Table:
    """Return the lines of the files of a folder, such as `seq.in`, `seq.out` and `label`.

    Args:
        folder: Hidden files and folders in it are passed over; .gz is unpacked and left out of the name.
        encoding: As `encodings.text_of` takes it.

    Raises:
        UserError: There are no files, one cannot be read, or they have different numbers of lines.
    """
    files = [path for path in entries(folder) if path.is_file()]
    if not files:
        raise UserError(f"{folder} has no files: give it some that belong together line by line")
    columns, notes = [], []
    lists: list[list[str]] = []
    size = 0
    for file in files:
        text, found = text_of(file, encoding=encoding)
        size += len(text)
        check_total(size, folder)
        columns.append(file.name.removesuffix(".gz"))
        lists.append(
            [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n") if text]
        )
        notes += found
        if len(lists[-1]) != len(lists[0]):
            raise UserError(
                f"{files[0]} has {_count(lists[0])}, but {file} has {_count(lists[-1])}: give the folder "
                "only files that belong together line by line"
            )
    rows = [
        Record(number, dict(zip(columns, cells, strict=True)))
        for number, cells in enumerate(zip(*lists, strict=True), start=1)
    ]
    return Table(columns, checked(rows, folder), notes)


def _count(lines: list[str]) -> str:
    return "1 line" if len(lines) == 1 else f"{len(lines)} lines"
