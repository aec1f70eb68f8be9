"""Regression: each text, or pair of texts, has a number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure, texts_of
from bertbench.kinds.cells import LARGEST, Columns, number
from bertbench.scores import numbers
from bertbench.types import Split

STRATA = 10  # parts of equal size, by rank
LEAST = 5  # rows of a part, so that a fifth of it is one


def _measure(function: Any, higher_is_better: bool, words: str) -> Measure:
    return Measure(lambda split, found, _: function(split.labels, found), higher_is_better, words)


class Regression:
    """See `Kind`."""

    name = "regression"
    reading = "text"
    long_text = "head"
    predicted = "float64 numbers (T,)"
    columns = Columns(label="label")
    measures = {
        "spearman": _measure(numbers.spearman, True, "rank correlation"),
        "pearson": _measure(numbers.pearson, True, "linear correlation"),
        "mae": _measure(numbers.mae, False, "mean absolute error"),
        "rmse": _measure(numbers.rmse, False, "root of the mean squared error"),
    }
    tie = "rmse"
    may_be_blank = False

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`."""
        return list(self.measures)

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`."""
        return texts_of(record, columns, place), number(record, "label", columns.label, place)

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return []

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> np.ndarray:
        """Return float64 (T,)."""
        return np.array(labels, dtype=np.float64)

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        check_numbers(split, where)

    def strata(self, split: Split) -> np.ndarray:
        """Return tenths by rank, or fewer parts, so that each split has low and high numbers."""
        ranks = np.argsort(np.argsort(split.labels, kind="stable"), kind="stable")
        parts = min(STRATA, max(len(ranks) // LEAST, 1))
        return ranks * parts // max(len(ranks), 1)

    def says_one_thing(self, predictions: np.ndarray) -> bool:
        """See `Kind`; numbers that differ by rounding alone are one."""
        return numbers.nearly_constant(predictions)

    def table(self, split: Split, predictions: np.ndarray, classes: list[str]) -> dict[str, Any]:
        """See `Kind`; nothing is right or wrong, so there is no such column."""
        return {"label": split.labels, "prediction": predictions}


def check_numbers(split: Split, where: str) -> None:
    """Refuse labels that are not finite numbers, one a text."""
    labels = np.asarray(split.labels)
    if labels.dtype != np.float64 or labels.shape != (len(split.ids),):
        raise UserError(
            f"{where} has labels of type {labels.dtype} and shape {labels.shape}: they must be "
            f"{len(split.ids)} numbers, one a text"
        )
    wrong = np.flatnonzero(~(np.abs(labels) <= LARGEST))
    if len(wrong):
        row = wrong[0]
        raise UserError(
            f"{where} has the label {labels[row]} for the id {split.ids[row]!r}: it must be a number from "
            f"{-LARGEST:g} to {LARGEST:g}"
        )
