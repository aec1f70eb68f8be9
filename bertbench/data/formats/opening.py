"""A path in, its records out: a file of any format that is read, or a folder of files."""

from collections.abc import Callable
from pathlib import Path

from bertbench.data.formats import telling
from bertbench.data.formats.conll import read_conll, read_conllu
from bertbench.data.formats.delimited import read_csv, read_tsv
from bertbench.data.formats.encodings import text_of
from bertbench.data.formats.folder import read_folder
from bertbench.data.formats.lines import read_lines
from bertbench.data.formats.squad import read_squad
from bertbench.data.formats.structured import read_json, read_jsonl, read_parquet
from bertbench.data.formats.tables import Record, Table, column_error
from bertbench.data.reading import is_file, is_folder
from bertbench.errors import UserError, nearest

__all__ = ["FORMATS", "Record", "Table", "column_error", "open_records"]

TABLES: dict[str, Callable[..., Table]] = {"csv": read_csv, "tsv": read_tsv}
TEXTS: dict[str, Callable[..., Table]] = {
    **TABLES,
    "jsonl": read_jsonl,
    "json": read_json,
    "conll": read_conll,
    "conllu": read_conllu,
    "squad": read_squad,
}
FOLDERS: dict[str, Callable[..., Table]] = {"lines": read_lines, "folder": read_folder}
FORMATS = (*TEXTS, "parquet", *FOLDERS)


def open_records(
    path: Path,
    *,
    key: str,
    format: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> Table:
    """Read a file or a folder.

    Args:
        path: What to read; a text file may also be .gz.
        key: Of the setting that names it, such as `task.train`, for the errors.
        format: One of FORMATS; None tells it by the ending, and by what is inside.
        header: Whether the first row of a csv or tsv names the columns, which are "1", "2" and so on where
            it does not; None means yes.
        encoding: Of text; None takes UTF-8, or what the bytes look like, which is noted.

    Raises:
        UserError: It cannot be read, or is not well-formed; names file, line and way out.
    """
    place = f"{key}={path}"
    if format is not None and format not in FORMATS:
        raise UserError(
            f"{format!r} is no format of {place}{nearest(str(format), FORMATS)} (known: "
            f"{', '.join(FORMATS)})"
        )
    if is_folder(path):
        if format is not None and format not in FOLDERS:
            raise UserError(
                f"{place} is a folder, but {format} is the format of a file: name a file of it"
            )
        chosen = format or telling.by_entries(path, place)
        return FOLDERS[chosen](path, encoding=encoding)
    if not is_file(path):
        raise UserError(f"{place} is no file or folder here: name one that is")
    if format in FOLDERS:
        raise UserError(
            f"{place} is a file, but {format} is the format of a folder: name the folder"
        )
    return _read_file(path, place, format, header, encoding)


def _read_file(
    file: Path, place: str, format: str | None, header: bool | None, encoding: str | None
) -> Table:
    if format == "parquet" or (format is None and telling.ending(file) == ".parquet"):
        return read_parquet(file)
    if format is None:
        telling.check_ending(file, place)
    text, notes = text_of(file, encoding=encoding)
    chosen = format or telling.by_text(file, text, place)
    expected = (telling.ENDINGS.get(telling.ending(file)), "squad")  # which is JSON like any other
    if format is None and chosen not in expected:
        notes.append(f"{file}: read as {chosen}")
    given = {"header": header} if chosen in TABLES else {}
    table = TEXTS[chosen](text, file, **given)
    return table._replace(notes=[*notes, *table.notes])
