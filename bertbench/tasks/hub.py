"""A data set of the Hugging Face hub in, a task of any kind out: its splits by name, absent ones cut."""

import functools
import logging
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from bertbench import kinds
from bertbench.data.fetching import check_id, fetch
from bertbench.errors import UserError, nearest
from bertbench.kinds.base import Kind
from bertbench.kinds.cells import SHOWN, Columns, class_name
from bertbench.kinds.noticing import noticed
from bertbench.tasks import cutting
from bertbench.tasks.cutting import Findings, Item
from bertbench.types import TaskData

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)

ROWS = 1000  # held at a time
NAMING = ("classification", "multilabel", "token")  # kinds whose labels are names
HIDDEN = -1  # the label that benchmarks put in the place of those they keep to themselves


class Part(NamedTuple):
    """One split of a data set, loaded."""

    split: str  # its name there, also with a slice
    rows: "Dataset"


class Reading(NamedTuple):
    """How rows are read."""

    name: str  # of the data set and its configuration, for the errors
    kind: str
    columns: Columns
    names: tuple[str, ...] | None  # of the classes


def task(
    name: str,
    config: str | None,
    train: str | None,
    validation: str | None,
    test: str | None,
    *,
    kind: str,
    text: str | None = None,
    second: str | None = None,
    label: str | None = None,
    group: str | None = None,
    names: Sequence[str] | None = None,
    revision: str | None = None,
) -> TaskData:
    """Read a task; the first call fetches it into the local cache. No code of the data set is run.

    Args:
        name: Its hub id.
        config: Its configuration; None where there is but one.
        train: The split to learn from, also with a slice: `train[:90%]`.
        validation: Likewise; None cuts a fifth off the training split, always the same, and then reads
            each distinct text once.
        test: Likewise.
        kind: A key of `kinds.KINDS`.
        text: The column of the texts; None takes the kind's own.
        second: The column of the other text of each pair; None takes the kind's own.
        label: The column of the labels; None takes the kind's own.
        group: A column whose rows of one value stay in one part when parts are cut, such as an article.
        names: Of the classes: the first is the label 0; None takes those that the data set names.
        revision: A branch, tag or commit of the data set; None takes the newest.

    Raises:
        UserError: The data set cannot be had, has no such column, or a row cannot be used; names split and
            row.
    """
    check_id(name, "task.source")
    given = {"train": train, "validation": validation, "test": test}
    splits = {role: str(split) for role, split in given.items() if split is not None}
    if train is None:
        raise UserError(f"task.train has no default: set it to a split of {name}, such as train")
    for (one, first), (other, again) in combinations(splits.items(), 2):
        if first == again:
            raise UserError(
                f"task.{one} and task.{other} are both {first!r} of {name}: name another split, or set "
                f"task.{other} to null to cut that part off the training split"
            )
    own = kinds.find(kind).columns
    chosen = {"text": text, "second": second, "label": label, "group": group}
    columns = own._replace(
        **{key: str(value) for key, value in chosen.items() if value is not None}
    )
    title = name if config is None else f"{name}/{config}"
    reading = Reading(title, kind, columns, None if names is None else tuple(names))
    return _task(name, config, tuple(splits.items()), revision, reading)


@functools.lru_cache(maxsize=1)  # a run and its baseline read the same splits, and warn once
def _task(
    name: str,
    config: str | None,
    splits: tuple[tuple[str, str], ...],
    revision: str | None,
    reading: Reading,
) -> TaskData:
    parts = {
        role: Part(
            split,
            fetch(
                name,
                config,
                split,
                key="task.source",
                place=f"task.source.name={name} task.source.config={config} task.{role}={split}",
                instead="task=files task.train=...",
                revision=revision,
            ),
        )
        for role, split in splits
    }
    data = of_splits(parts, reading)
    for note in data.notes:
        log.warning("%s", note)
    return data


def of_splits(parts: dict[str, Part], reading: Reading) -> TaskData:
    """Return the task that splits hold which are loaded.

    Args:
        parts: By what they are for: train, and validation and test where they are not to be cut.
        reading: How their rows are read.

    Raises:
        UserError: See `task`.
    """
    kind, findings = kinds.find(reading.kind), Findings([], [])
    if reading.names is not None and kind.name not in NAMING:
        raise UserError(
            f"task.source.names names classes, which a task of the kind {kind.name} has not: set it to null"
        )
    items = {role: _items(role, part, kind, reading, findings) for role, part in parts.items()}
    absent = [role for role in ("validation", "test") if role not in items]
    if absent:
        place = f"{reading.name} {parts['train'].split}"
        found = cutting.cut(
            cutting.distinct(items["train"], place, findings),
            1 + len(absent),
            kind,
            findings,
            place=place,
            way_out="splits for task.validation and task.test",
        )
        items |= dict(zip(["train", *absent], found, strict=True))
    named = [items[role] for role in ("train", "validation", "test")]
    classes = kind.classes([item.label for part in named for item in part])
    order = _class_names(parts["train"], reading)
    if order is not None:
        classes = [one for one in order if one in set(classes)]
    splits = [cutting.split_of(part, kind, classes) for part in named]
    data = TaskData(reading.name, classes, *splits, kind=reading.kind)
    findings.notes.extend(f"{reading.name}: {flaw.words}" for flaw in noticed(data))
    return data._replace(notes=tuple(findings.notes), flaws=tuple(findings.flaws))


def _items(role: str, part: Part, kind: Kind, reading: Reading, findings: Findings) -> list[Item]:
    """Read a split; rows without text or label are left out with a note."""
    columns, whole = reading.columns, f"{reading.name} {part.split}"
    _check_columns(part.rows.column_names, columns, whole)
    names = _class_names(part, reading)
    items, blank = [], {}
    for number, cells in enumerate(_records(part.rows, columns), 1):
        row = f"row {number}"
        place = f"{whole}, {row}"
        if cutting.lacking(cells, columns, kind) is not None:
            blank[f"{part.split}:{number}"] = row
            continue
        if kind.name in NAMING:
            value = _named(cells[columns.label], names, columns.label, role, place)
            cells[columns.label] = value
            if kind.name == "token":
                _check_tags(value, columns.label, place)
        text, label = kind.item(cells, columns, place)
        group = cutting.group_of(cells, text, columns.group, kind, place)
        items.append(Item(f"{part.split}:{number}", text, label, group, row))
    if not items:
        raise UserError(
            f"{whole} has no row with text and label: set task.{role} to a split that has"
        )
    if all(item.label in (HIDDEN, str(HIDDEN)) for item in items):
        raise _hidden(f"{whole}, {items[0].place}", role)
    cutting.leave_out(findings, whole, part.split, blank, len(part.rows))
    return items


def _records(rows: "Dataset", columns: Columns) -> Iterator[dict[str, Any]]:
    chosen = list(dict.fromkeys(column for column in columns if column is not None))
    plain = rows.select_columns(chosen).with_format(None)
    for batch in cast("Iterator[dict[str, list[Any]]]", plain.iter(batch_size=ROWS)):
        for values in zip(*(batch[column] for column in chosen), strict=True):
            yield dict(zip(chosen, values, strict=True))


def _check_columns(known: list[str], columns: Columns, place: str) -> None:
    for key, column in columns._asdict().items():
        if column is not None and column not in known:
            raise UserError(
                f"{place} has no column {column!r}{nearest(column, known)}: set task.{key} to one of its "
                f"columns ({', '.join(f'{name!r:.30}' for name in known[:SHOWN])})"
            )


def _class_names(part: Part, reading: Reading) -> list[str] | None:
    """Return the names of the labels 0, 1 and so on, where the user or the data set gives some."""
    from datasets import ClassLabel

    label = reading.columns.label
    feature = part.rows.features[label]
    inner = getattr(feature, "feature", feature)  # of a list
    if reading.names is None and not isinstance(inner, ClassLabel):
        return None
    found = inner.names if reading.names is None else reading.names
    return [class_name(name, label, reading.name) for name in found]


def _named(value: Any, names: list[str] | None, column: str, role: str, place: str) -> Any:
    """Return the name of a label, or of each of a list."""
    if isinstance(value, list):
        return [_named(one, names, column, role, place) for one in value]
    if names is None or value is None:
        return value
    if value == HIDDEN:
        raise _hidden(place, role)
    if isinstance(value, str) and value in names:
        return value
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}, which is none of the {len(names)} classes "
            f"({', '.join(names[:SHOWN])}): name all in task.source.names, the label 0 first"
        )
    return names[value]


def _check_tags(tags: Any, column: str, place: str) -> None:
    number = next((tag for tag in tags if isinstance(tag, int)), None)
    if number is not None:
        raise UserError(
            f"{place} has the number {number} for a tag under {column!r}, and the data set does not say "
            "what it means: name all tags in task.source.names, the label 0 first"
        )


def _hidden(place: str, role: str) -> UserError:
    cut = "" if role == "train" else ", or to null to cut it off the training split"
    return UserError(
        f"{place} has the label {HIDDEN}, as benchmarks mark labels that they keep to themselves: set "
        f"task.{role} to a split with labels{cut}"
    )
