"""Classification: each text, or pair of texts, has one of several classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench import metrics
from bertbench.errors import UserError
from bertbench.kinds.base import Measure, texts_of
from bertbench.kinds.cells import Columns, cell, class_name
from bertbench.types import Split


class Classification:
    """See `Kind`."""

    name = "classification"
    reading = "text"
    long_text = "head"
    predicted = "float64 probabilities (T, C)"
    measures = {
        name: Measure(
            lambda split, predictions, _, score=metric.function: score(split.labels, predictions),
            metric.higher_is_better,
            metric.words,
        )
        for name, metric in metrics.METRICS.items()
    }

    columns = Columns()

    tie = "log_loss"
    may_be_blank = False

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`."""
        return list(self.measures)

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`."""
        value = cell(record, "label", columns.label, place)
        return texts_of(record, columns, place), class_name(value, columns.label, place)

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return sorted(set(labels))

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> np.ndarray:
        """Return int64 (T,), each in [0, C)."""
        place = {name: number for number, name in enumerate(classes)}
        return np.array([place[label] for label in labels], dtype=np.int64)

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        labels = np.asarray(split.labels)
        last = len(classes) - 1
        if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
            raise UserError(
                f"{where} has the label {labels.flat[0]} for the id {split.ids[0]!r}: labels are whole "
                f"numbers from 0 to {last}, one a text"
            )
        wrong = np.flatnonzero((labels < 0) | (labels > last))
        if len(wrong):
            row = wrong[0]
            raise UserError(
                f"{where} has the label {labels[row]} for the id {split.ids[row]!r}: labels go from 0 to "
                f"{last}, the number of a class"
            )

    def strata(self, split: Split) -> np.ndarray:
        """See `Kind`."""
        return split.labels

    def says_one_thing(self, predictions: np.ndarray) -> bool:
        """See `Kind`."""
        return len(np.unique(predictions.argmax(1))) == 1

    def table(self, split: Split, predictions: np.ndarray, classes: list[str]) -> dict[str, Any]:
        """See `Kind`."""
        best = predictions.argmax(1)
        found = {"label": split.labels, "prediction": best, "right": best == split.labels}
        return found | {f"p_{name}": predictions[:, i] for i, name in enumerate(classes)}
