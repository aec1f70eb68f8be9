"""Ranking: each query has candidates, and each of these its relevance."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure
from bertbench.kinds.cells import Columns, number, text
from bertbench.kinds.regression import check_numbers
from bertbench.scores import rankings
from bertbench.types import Split


def _measure(function: Any, words: str) -> Measure:
    return Measure(
        lambda split, found, _: function(split.labels, found, split.groups), True, words
    )


class Ranking:
    """See `Kind`. A text is a query and one candidate; `Split.groups` names the query."""

    name = "ranking"
    reading = "text"
    predicted = "float64 scores (T,), higher is more relevant"
    columns = Columns(text="query", second="candidate", label="relevance")
    measures = {
        "map": _measure(rankings.mean_average_precision, "average precision, mean over queries"),
        "mrr": _measure(
            rankings.mean_reciprocal_rank, "reciprocal rank of the first relevant candidate"
        ),
        "ndcg_at_10": _measure(
            rankings.ndcg, "discounted gain of the first ten, share of the best"
        ),
    }
    tie = "mrr"
    may_be_blank = False

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`."""
        return list(self.measures)

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`."""
        query = text(record, "text", columns.text, place)
        candidate = text(record, "second", columns.second or "candidate", place)
        relevance = number(record, "label", columns.label, place)
        if relevance < 0:
            raise UserError(
                f"{place} has {relevance:g} under {columns.label!r}: a relevance is 0 or above"
            )
        return (query, candidate), relevance

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return []

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> np.ndarray:
        """Return float64 (T,)."""
        return np.array(labels, dtype=np.float64)

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        check_numbers(split, where)
        if split.groups is None or len(split.groups) != len(split.ids):
            raise UserError(f"{where} does not name the query of each candidate: give it groups")
        if not (np.asarray(split.labels) > 0).any():
            raise UserError(f"{where} has no relevant candidate: give it relevances above 0")

    def strata(self, split: Split) -> np.ndarray:
        """Return one stratum: queries are kept whole by their groups."""
        return np.zeros(len(split.ids), dtype=np.int64)

    def says_one_thing(self, predictions: np.ndarray) -> bool:
        """See `Kind`."""
        return len(np.unique(predictions)) == 1

    def table(self, split: Split, predictions: np.ndarray, classes: list[str]) -> dict[str, Any]:
        """See `Kind`; a candidate alone is neither right nor wrong."""
        return {"label": split.labels, "prediction": predictions, "group": split.groups}
