"""A folder with one subfolder of .txt files a class in, one record a file out: text, label and id."""

from pathlib import Path

from bertbench.data.formats.encodings import text_of
from bertbench.data.formats.tables import Record, Table
from bertbench.data.reading import check_total, entries
from bertbench.errors import UserError

ENDINGS = (".txt", ".txt.gz")
COLUMNS = ["text", "label", "id"]


def read_folder(folder: Path, *, encoding: str | None = None) -> Table:
    """Return the texts of a folder; the label is the name of the subfolder, the id that and the file's.

    Args:
        folder: What is hidden in it, and files that lie beside its subfolders, are passed over.
        encoding: As `encodings.text_of` takes it.

    Raises:
        UserError: No subfolder has a .txt file, or one cannot be read.
    """
    rows, notes, other = [], [], []
    size = 0
    for place in entries(folder):
        files = texts(place)
        if not files:
            other.append(place.name)
        for file in files:
            text, found = text_of(file, encoding=encoding)
            size += len(text)
            check_total(size, folder)
            name = f"{place.name}/{file.name}"
            rows.append(Record(len(rows) + 1, {"text": text, "label": place.name, "id": name}))
            notes += found
    if not rows:
        raise UserError(
            f"{folder} has no rows: give it a folder for each class, with a .txt file for each text"
        )
    if len(notes) > 1:
        notes = [f"{notes[0]}; {len(notes) - 1} more files of {folder} are not UTF-8 either"]
    if other:
        notes.append(
            f"{folder}: {other[0]!r} is no folder of .txt files, so it is no class{_more(other)}"
        )
    return Table(COLUMNS, rows, notes, "file")


def texts(place: Path) -> list[Path]:
    """Return the .txt files of a folder; none if it is no folder."""
    if not place.is_dir():
        return []
    return [file for file in entries(place) if file.name.lower().endswith(ENDINGS)]


def _more(names: list[str]) -> str:
    return f"; nor are {len(names) - 1} others" if len(names) > 1 else ""
