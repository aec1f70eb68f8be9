"""Files of your own labelled texts in, a classification task out; what has no file is cut."""

import functools
import logging
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertbench.data.rows import Columns, Row, is_known, read_rows
from bertbench.data.splits import stratified
from bertbench.errors import UserError
from bertbench.types import Split, TaskData

log = logging.getLogger(__name__)

SHARE = 0.2  # of the training file, for each part that has no file of its own
SEED = 0  # of that cut, whatever the run's seed


class Source(NamedTuple):
    """A file as it was when it was looked at."""

    key: str  # of the setting that names it
    file: Path
    changed: int  # nanoseconds
    size: int  # bytes


def task(
    path: str,
    *,
    validation: str | None = None,
    test: str | None = None,
    text: str = "text",
    label: str = "label",
    id: str | None = None,
) -> TaskData:
    """Read a task.

    Args:
        path: The training file: .csv or .tsv with a header, or .jsonl; each also .gz.
        validation: The validation file; None cuts a fifth off the training file, stratified, always
            the same, and then reads each distinct text once.
        test: The test file; None likewise.
        text: The column of the texts.
        label: The column of the labels.
        id: The column of unique names; None makes them of the part and the line.

    Raises:
        UserError: A file, a column or a row cannot be used; names file and line.
    """
    given = {"path": path, "validation": validation, "test": test}
    files = {key: _file(key, value) for key, value in given.items() if value is not None}
    for (one, first), (other, second) in combinations(files.items(), 2):
        if first.samefile(second):
            raise UserError(
                f"task.source.{one} and task.source.{other} are both {second}: name another file, or "
                f"set task.source.{other} to null to cut that part off the training file"
            )
    stats = {key: file.stat() for key, file in files.items()}
    sources = [
        Source(k, f.absolute(), stats[k].st_mtime_ns, stats[k].st_size) for k, f in files.items()
    ]
    return _task(tuple(sources), Columns(text, label, None if id is None else str(id)))


@functools.lru_cache(maxsize=1)  # a run and its baseline read the same files, and warn once
def _task(sources: tuple[Source, ...], columns: Columns) -> TaskData:
    # Not the files' names: renaming a file changes no result, so it should change no id.
    one = len(sources) == 1
    names = ["row" if one else source.key.replace("path", "train") for source in sources]
    parts = {
        source.key: read_rows(source.file, name, columns)
        for source, name in zip(sources, names, strict=True)
    }
    absent = [key for key in ("validation", "test") if key not in parts]
    if absent:
        file = sources[0].file
        cut = _cut(_distinct(parts["path"], file), 1 + len(absent), file)
        parts |= dict(zip(["path", *absent], cut, strict=True))
    named = {"training": parts["path"], "validation": parts["validation"], "test": parts["test"]}
    if len(sources) > 1:  # what was cut alone is distinct
        for earlier, later in combinations(named, 2):
            _warn_of_leak(named[earlier], named[later], earlier, later)
    classes = sorted({row.label for rows in named.values() for row in rows})
    place = {name: i for i, name in enumerate(classes)}
    splits = [
        Split(
            [row.id for row in rows],
            [row.text for row in rows],
            np.array([place[row.label] for row in rows], dtype=np.int64),
        )
        for rows in named.values()
    ]
    return TaskData("files", classes, *splits)


def _file(key: str, value: str) -> Path:
    file = Path(str(value)).expanduser()
    endings = "a .csv, .tsv or .jsonl file, each also with .gz"
    if not file.is_file():
        raise UserError(f"task.source.{key}={value} is no file here: name {endings}")
    if not is_known(file):
        raise UserError(
            f"task.source.{key}={value} has another ending than what is read: name {endings}"
        )
    return file


def _distinct(rows: list[Row], file: Path) -> list[Row]:
    """Keep the first row of each text, so that none can lie on both sides of a cut."""
    first: dict[str, Row] = {}
    again, conflicts = 0, 0
    for row in rows:
        kept = first.setdefault(_words(row.text), row)
        again += kept is not row
        conflicts += kept.label != row.label
    if again:
        log.warning(
            "%s: %d rows repeat the text of an earlier one and are left out, %d of them with another label",
            file, again, conflicts,
        )  # fmt: skip
    return list(first.values())


def _cut(rows: list[Row], parts: int, file: Path) -> list[list[Row]]:
    """Cut a fifth off for each part but the first, with the classes in proportion."""
    _, labels = np.unique([row.label for row in rows], return_inverse=True)
    shares = [1 - SHARE * (parts - 1), *[SHARE] * (parts - 1)]
    cut = [[rows[i] for i in chosen] for chosen in stratified(labels, shares, seed=SEED)]
    if not all(cut):
        raise UserError(
            f"{file} has too few distinct texts of each class to cut {parts - 1} fifths off: add some, or "
            "name files for task.source.validation and task.source.test"
        )
    return cut


def _warn_of_leak(seen: list[Row], new: list[Row], earlier: str, later: str) -> None:
    known = {_words(row.text) for row in seen}
    count = sum(_words(row.text) in known for row in new)
    if count:
        log.warning(
            "%d of %d %s texts also stand among the %s texts: scores on them flatter every model",
            count, len(new), later, earlier,
        )  # fmt: skip


def _words(text: str) -> str:
    return " ".join(text.split())
