"""Multi-label classification: each text, or pair of texts, has any number of several classes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure, texts_of
from bertbench.kinds.cells import Columns, apart, cell, class_name
from bertbench.scores import labelsets
from bertbench.types import Split

SEPARATOR = "|"  # between the classes of a text, where they stand in one cell
THRESHOLD = 0.5


def _measure(function: Any, higher_is_better: bool, words: str) -> Measure:
    return Measure(lambda split, found, _: function(split.labels, found), higher_is_better, words)


class Multilabel:
    """See `Kind`."""

    name = "multilabel"
    reading = "text"
    long_text = "head"
    predicted = "float64 probabilities (T, C), each class for itself"
    columns = Columns(label="labels")
    measures = {
        "micro_f1": _measure(labelsets.micro_f1, True, "F1 over all decisions"),
        "macro_f1": _measure(labelsets.macro_f1, True, "F1 averaged over classes"),
        "map": _measure(
            labelsets.mean_average_precision, True, "average precision, mean over classes"
        ),
        "subset_accuracy": _measure(
            labelsets.subset_accuracy, True, "share of texts with all classes right"
        ),
        "log_loss": _measure(labelsets.binary_log_loss, False, "nats a decision"),
    }
    tie = "log_loss"
    may_be_blank = True

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`."""
        return list(self.measures)

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`; no class at all is an empty cell or list."""
        blank = record.get(columns.label, "") in (None, "")
        value: Any = (
            ""
            if blank and columns.label in record
            else cell(record, "label", columns.label, place)
        )
        names = _names(value, columns.label, place)
        found = [class_name(name, columns.label, place) for name in names]
        if len(set(found)) < len(found):
            raise UserError(
                f"{place} names a class twice under {columns.label!r} ({value!r:.60}): name each once"
            )
        return texts_of(record, columns, place), tuple(found)

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return sorted({name for names in labels for name in names})

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> np.ndarray:
        """Return bool (T, C)."""
        place = {name: number for number, name in enumerate(classes)}
        found = np.zeros((len(labels), len(classes)), dtype=bool)
        for row, names in enumerate(labels):
            found[row, [place[name] for name in names]] = True
        return found

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        labels = np.asarray(split.labels)
        if labels.dtype != bool or labels.shape != (len(split.ids), len(classes)):
            raise UserError(
                f"{where} has labels of type {labels.dtype} and shape {labels.shape}: they must be true or "
                f"false, {len(split.ids)} texts by {len(classes)} classes"
            )
        if not labels.any():
            raise UserError(f"{where} has no text with a class: give it some")

    def strata(self, split: Split) -> np.ndarray:
        """Return the rarest class of each text, after Sechidis et al. (2011); those without are a stratum.

        Source: https://doi.org/10.1007/978-3-642-23808-6_10, section 3: the rarest label goes first.
        """
        if not split.labels.any():
            return np.zeros(len(split.ids), dtype=np.int64)
        counts = split.labels.sum(0)
        rarity = np.where(split.labels, counts, counts.max(initial=0) + 1)
        return np.where(split.labels.any(1), rarity.argmin(1), split.labels.shape[1])

    def says_one_thing(self, predictions: np.ndarray) -> bool:
        """See `Kind`."""
        return len(np.unique(predictions > THRESHOLD, axis=0)) == 1

    def table(self, split: Split, predictions: np.ndarray, classes: list[str]) -> dict[str, Any]:
        """See `Kind`; label and prediction are JSON lists of names."""
        chosen = predictions > THRESHOLD
        found = {
            "label": [_written(row, classes) for row in split.labels],
            "prediction": [_written(row, classes) for row in chosen],
            "right": (chosen == split.labels).all(1),
        }
        return found | {f"p_{name}": predictions[:, i] for i, name in enumerate(classes)}


def _names(value: Any, column: str, place: str) -> Sequence[Any]:
    if isinstance(value, str):
        parts = [part.strip() for part in apart(value, column, place).split(SEPARATOR)]
        if value.strip() and not all(parts):
            raise UserError(
                f"{place} has a blank class in {value!r:.60} under {column!r}: take a {SEPARATOR!r} out"
            )
        return parts if value.strip() else []
    if isinstance(value, list | tuple):
        return value
    raise UserError(
        f"{place} has {value!r:.60} under {column!r}: it must be a list of classes, or names with "
        f"{SEPARATOR!r} between them"
    )


def _written(row: np.ndarray, classes: list[str]) -> str:
    return json.dumps([classes[i] for i in np.flatnonzero(row)], ensure_ascii=False)
