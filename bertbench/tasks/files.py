"""Files of your own labelled data in, a task of any kind out; what has no file is cut."""

import functools
import logging
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from bertbench import kinds
from bertbench.data.formats.opening import Table, column_error, open_records
from bertbench.data.reading import is_file, is_folder
from bertbench.errors import UserError
from bertbench.kinds.base import Kind
from bertbench.kinds.cells import Columns, identity
from bertbench.kinds.noticing import noticed
from bertbench.tasks import cutting
from bertbench.tasks.cutting import Findings, Item
from bertbench.types import TaskData

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A file or folder as it was when it was looked at."""

    key: str  # of the setting that names it
    path: Path  # as it was given
    place: Path  # the same from the root, for the working folder may change
    changed: int  # nanoseconds
    size: int  # bytes


class Reading(NamedTuple):
    """How a file is read."""

    kind: str
    columns: Columns
    format: str | None
    header: bool | None
    encoding: str | None
    incomplete: str  # drop or error


def task(
    train: str | None,
    *,
    validation: str | None = None,
    test: str | None = None,
    kind: str = "classification",
    text: str | None = None,
    second: str | None = None,
    label: str | None = None,
    group: str | None = None,
    id: str | None = None,
    format: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    incomplete: str = "drop",
) -> TaskData:
    """Read a task.

    Args:
        train: A file or a folder of any format that is read.
        validation: Likewise; None cuts a fifth off the training file, always the same, and then reads
            each distinct text once.
        test: Likewise.
        kind: A key of `kinds.KINDS`.
        text: The column of the texts; None takes the kind's own.
        second: The column of the other text of each pair; None takes the kind's own.
        label: The column of the labels; None takes the kind's own.
        group: A column whose rows of one value stay in one part when parts are cut, such as an author.
        id: The column of unique names; None makes them of the part and the line.
        format: Of all files; None tells it by the ending and by what is inside.
        header: Whether the first row names the columns, which are 1, 2 and so on where it does not.
        encoding: Of text; None takes UTF-8, or what the bytes look like.
        incomplete: What becomes of rows without text or label: `drop` leaves them out with a warning,
            `error` refuses the file.

    Raises:
        UserError: A file, a column or a row cannot be used; names file and line.
    """
    if train is None:
        raise UserError("task.train has no default: set it with task.train=...")
    if incomplete not in ("drop", "error"):
        raise UserError(f"task.incomplete={incomplete} must be drop or error")
    own = kinds.find(kind).columns
    named = {"text": text, "second": second, "label": label, "group": group, "id": id}
    columns = own._replace(**{key: str(name) for key, name in named.items() if name is not None})
    _check_distinct(columns)
    given = {"train": train, "validation": validation, "test": test}
    paths = {key: _path(key, str(value)) for key, value in given.items() if value is not None}
    for (one, first), (other, second_path) in combinations(paths.items(), 2):
        if _stands(first) and _stands(second_path) and first.samefile(second_path):
            raise UserError(
                f"task.{one} and task.{other} are both {second_path}: name another file, or set "
                f"task.{other} to null to cut that part off the training file"
            )
    sources = tuple(_source(key, path) for key, path in paths.items())
    return _task(sources, Reading(kind, columns, format, header, encoding, incomplete))


@functools.lru_cache(maxsize=1)  # a run and its baseline read the same files, and warn once
def _task(sources: tuple[Source, ...], reading: Reading) -> TaskData:
    # Not the files' names: renaming a file changes no result, so it should change no id.
    kind, one = kinds.find(reading.kind), len(sources) == 1
    findings = Findings([], [])
    parts = {
        source.key: _items(source, "row" if one else source.key, reading, kind, findings)
        for source in sources
    }
    absent = [key for key in ("validation", "test") if key not in parts]
    if absent:
        path = str(sources[0].path)
        cut = cutting.cut(
            cutting.distinct(parts["train"], path, findings),
            1 + len(absent),
            kind,
            findings,
            place=path,
            way_out="files for task.validation and task.test",
        )
        parts |= dict(zip(["train", *absent], cut, strict=True))
    named = [parts[key] for key in ("train", "validation", "test")]
    if reading.columns.id is not None:
        _check_ids(named, sources, absent)
    classes = kind.classes([item.label for items in named for item in items])
    splits = [cutting.split_of(items, kind, classes) for items in named]
    data = TaskData("files", classes, *splits, kind=reading.kind)
    findings.notes.extend(f"{sources[0].path}: {flaw.words}" for flaw in noticed(data))
    for note in findings.notes:
        log.warning("%s", note)
    return data._replace(notes=tuple(findings.notes), flaws=tuple(findings.flaws))


def _path(key: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"task.{key}={value} begins with a home folder that is not here: write the path in full"
        ) from error


def _stands(path: Path) -> bool:
    return is_file(path) or is_folder(path)


def _check_distinct(columns: Columns) -> None:
    """Refuse a column that is read as two things: a text that is its own label is no task."""
    read = {"text": columns.text, "second": columns.second, "label": columns.label}
    for (one, first), (other, again) in combinations(read.items(), 2):
        if first == again:
            raise UserError(
                f"task.{one} and task.{other} are both the column {first!r}: name another for one of them"
            )


def _source(key: str, path: Path) -> Source:
    """Look at a file, or at all files of a folder."""
    found = [path, *path.glob("*"), *path.glob("*/*")] if is_folder(path) else [path]
    files = sorted(file for file in found if is_file(file))
    stats = [file.stat() for file in files]
    changed = max((found.st_mtime_ns for found in stats), default=0)
    size = sum(found.st_size for found in stats)
    return Source(key, path, path.absolute(), changed, size)


def _items(
    source: Source, name: str, reading: Reading, kind: Kind, findings: Findings
) -> list[Item]:
    """Read a file; rows without text or label are left out with a note, or refused."""
    table = open_records(
        source.path,
        key=f"task.{source.key}",
        format=reading.format,
        header=reading.header,
        encoding=reading.encoding,
    )
    findings.notes.extend(table.notes)
    _check_columns(table, reading.columns, source.path)
    items, lacking, first = [], {}, ""
    for record in table.rows:
        row = f"{table.unit} {record.place}"
        place, made = f"{source.path}, {row}", f"{name}:{record.place}"
        lack = cutting.lacking(record.cells, reading.columns, kind)
        if lack is not None:
            lacking[made] = row
            first = first or f"{place} has nothing under {lack!r}"
            continue
        text, label = kind.item(record.cells, reading.columns, place)
        group = cutting.group_of(record.cells, text, reading.columns.group, kind, place)
        chosen = reading.columns.id
        own = made if chosen is None else identity(record.cells, chosen, place)
        items.append(Item(own, text, label, group, row))
    if lacking and reading.incomplete == "error":
        raise UserError(f"{first}: fill it or remove the row, or set task.incomplete=drop")
    if not items:
        raise UserError(f"{source.path} has no labelled rows: give it texts and labels")
    part = "" if name == "row" else name
    cutting.leave_out(findings, str(source.path), part, lacking, len(table.rows))
    return items


def _check_columns(table: Table, columns: Columns, path: Path) -> None:
    for key, column in columns._asdict().items():
        if column is not None and table.columns.count(column) != 1:
            column_error(table, column, f"task.{key}", path)


def _check_ids(parts: list[list[Item]], sources: tuple[Source, ...], absent: list[str]) -> None:
    """Refuse an id that stands twice; the absent parts were cut off the training file."""
    paths = {source.key: source.path for source in sources}
    paths |= dict.fromkeys(absent, paths["train"])
    first: dict[str, tuple[Path, str]] = {}
    for key, items in zip(("train", "validation", "test"), parts, strict=True):
        for item in items:
            path, row = first.setdefault(item.id, (paths[key], item.place))
            if (path, row) != (paths[key], item.place):
                other = row if path == paths[key] else f"{path}, {row}"
                raise UserError(
                    f"{paths[key]}, {item.place} has the id {item.id!r:.60} of {other}: give each row its "
                    "own, or set task.id to null"
                )
