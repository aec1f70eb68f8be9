"""Files of your own labelled data in, a task of any kind out; what has no file is cut."""

import functools
import logging
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from bertbench import kinds
from bertbench.data.duplicates import normalise
from bertbench.data.formats.opening import Table, column_error, open_records
from bertbench.data.splits import grouped, stratified
from bertbench.errors import UserError
from bertbench.kinds.base import Kind, shown
from bertbench.kinds.cells import Columns, identity
from bertbench.types import Split, TaskData

log = logging.getLogger(__name__)

SHARE = 0.2  # of the training file, for each part that has no file of its own
SEED = 0  # of that cut, whatever the run's seed
NAMED = 10  # rows in a note


class Source(NamedTuple):
    """A file or folder as it was when it was looked at."""

    key: str  # of the setting that names it
    path: Path
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


class Item(NamedTuple):
    """One labelled item of a file."""

    id: str
    text: Any
    label: Any
    group: str | None
    place: str  # such as "line 7"


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
    given = {"train": train, "validation": validation, "test": test}
    paths = {
        key: Path(str(value)).expanduser() for key, value in given.items() if value is not None
    }
    for (one, first), (other, second_path) in combinations(paths.items(), 2):
        if first.exists() and second_path.exists() and first.samefile(second_path):
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
    notes: list[str] = []
    parts = {
        source.key: _items(source, "row" if one else source.key, reading, kind, notes)
        for source in sources
    }
    absent = [key for key in ("validation", "test") if key not in parts]
    if absent:
        path = sources[0].path
        cut = _cut(_distinct(parts["train"], path, notes), 1 + len(absent), path, kind)
        parts |= dict(zip(["train", *absent], cut, strict=True))
    named = [parts[key] for key in ("train", "validation", "test")]
    classes = kind.classes([item.label for items in named for item in items])
    splits = [_split(items, kind, classes) for items in named]
    for note in notes:
        log.warning("%s", note)
    return TaskData("files", classes, *splits, kind=reading.kind, notes=tuple(notes))


def _source(key: str, path: Path) -> Source:
    """Look at a file, or at all files of a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [file.stat() for file in files]
    changed = max((found.st_mtime_ns for found in stats), default=0)
    return Source(key, path.absolute(), changed, sum(found.st_size for found in stats))


def _items(
    source: Source, name: str, reading: Reading, kind: Kind, notes: list[str]
) -> list[Item]:
    """Read a file; rows without text or label are left out with a note, or refused."""
    table = open_records(
        source.path,
        key=f"task.{source.key}",
        format=reading.format,
        header=reading.header,
        encoding=reading.encoding,
    )
    notes += table.notes
    _check_columns(table, reading.columns, source.path)
    items, lacking, first = [], [], ""
    for record in table.rows:
        row = f"{table.unit} {record.place}"
        place = f"{source.path}, {row}"
        lack = _lack(record.cells, reading.columns, kind)
        if lack is not None:
            lacking.append(record.place)
            first = first or f"{place} has nothing under {lack!r}"
            continue
        text, label = kind.item(record.cells, reading.columns, place)
        items.append(
            Item(
                _id(record.cells, reading.columns.id, f"{name}:{record.place}", place),
                text,
                label,
                _group(record.cells, text, reading, place),
                row,
            )
        )
    if lacking and reading.incomplete == "error":
        raise UserError(f"{first}: fill it or remove the row, or set task.incomplete=drop")
    if not items:
        raise UserError(f"{source.path} has no labelled rows: give it texts and labels")
    if lacking:
        rows = _named([f"{table.unit} {place}" for place in lacking])
        notes.append(
            f"{source.path}: {len(lacking)} of {len(table.rows)} rows lack a text or a label and are left "
            f"out ({rows})"
        )
    return items


def _check_columns(table: Table, columns: Columns, path: Path) -> None:
    for key, column in columns._asdict().items():
        if column is not None and table.columns.count(column) != 1:
            column_error(table, column, f"task.{key}", path)


def _lack(cells: dict[str, Any], columns: Columns, kind: Kind) -> str | None:
    """Return the column that is blank in a row, if one is; a kind may have labels that say nothing."""
    asked = [columns.text, columns.second, None if kind.may_be_blank else columns.label]
    for column in asked:
        if column is not None:
            value = cells.get(column)
            if value is None or (isinstance(value, str | list) and not "".join(value).strip()):
                return column
    return None


def _id(cells: dict[str, Any], column: str | None, made: str, place: str) -> str:
    return made if column is None else identity(cells, column, place)


def _group(cells: dict[str, Any], text: Any, reading: Reading, place: str) -> str | None:
    """Return what must stay in one part: a query's candidates, a context's questions, or as asked."""
    if reading.columns.group is not None:
        value = cells.get(reading.columns.group)
        if value is None or not str(value).strip():
            raise UserError(
                f"{place} has nothing under {reading.columns.group!r}: fill it or remove the row"
            )
        return str(value)
    return {"ranking": lambda: text[0], "span": lambda: text[1]}.get(reading.kind, lambda: None)()


def _distinct(items: list[Item], path: Path, notes: list[str]) -> list[Item]:
    """Keep the first item of each text, so that none can lie on both sides of a cut."""
    first: dict[str, Item] = {}
    again: list[str] = []
    conflicts: list[str] = []
    for item in items:
        kept = first.setdefault(normalise(shown(item.text)), item)
        if kept is not item:
            (conflicts if kept.label != item.label else again).append(
                f"{item.place} as {kept.place}"
            )
    for rows, what in ((again, "the same label"), (conflicts, "another label")):
        if rows:
            notes.append(
                f"{path}: {len(rows)} rows repeat the text of an earlier one with {what} and are left out "
                f"({_named(rows)})"
            )
    return list(first.values())


def _cut(items: list[Item], parts: int, path: Path, kind: Kind) -> list[list[Item]]:
    """Cut a fifth off for each part but the first, with the strata in proportion and groups whole."""
    shares = [1 - SHARE * (parts - 1), *[SHARE] * (parts - 1)]
    if items[0].group is not None:
        chosen = grouped([item.group or "" for item in items], shares, seed=SEED)
    else:
        whole = _split(items, kind, kind.classes([item.label for item in items]))
        chosen = stratified(kind.strata(whole), shares, seed=SEED)
    cut = [[items[i] for i in rows] for rows in chosen]
    if not all(cut):
        what = "groups" if items[0].group is not None else "distinct texts of each class"
        raise UserError(
            f"{path} has too few {what} to cut {parts - 1} fifths off: add some, or name files for "
            "task.validation and task.test"
        )
    return cut


def _named(rows: list[str]) -> str:
    """Return the first rows of a list, and how many more there are."""
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(rows[:NAMED]) + more


def _split(items: list[Item], kind: Kind, classes: list[str]) -> Split:
    groups = [item.group for item in items if item.group is not None]
    return Split(
        [item.id for item in items],
        [item.text for item in items],
        kind.numbers([item.label for item in items], classes),
        groups or None,
    )
