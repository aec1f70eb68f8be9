"""Ranking: each query has candidates, and each of these its relevance."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure
from bertbench.kinds.cells import Columns, number, text
from bertbench.kinds.regression import check_numbers
from bertbench.scores import numbers, rankings
from bertbench.types import Split


def _measure(function: Any, words: str) -> Measure:
    return Measure(
        lambda split, found, _: function(split.labels, found, split.groups), True, words
    )


class Ranking:
    """See `Kind`. A text is a query and one candidate; `Split.groups` names the query."""

    name = "ranking"
    reading = "text"
    long_text = "head"
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
        if not 0 <= relevance <= rankings.LARGEST:
            raise UserError(
                f"{place} has {relevance:g} under {columns.label!r}: a relevance is a number from 0 to "
                f"{rankings.LARGEST}"
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
        _check_queries(split, split.groups, where)
        labels = np.asarray(split.labels)
        wrong = np.flatnonzero((labels < 0) | (labels > rankings.LARGEST))
        if len(wrong):
            row = wrong[0]
            raise UserError(
                f"{where} has the relevance {labels[row]:g} for the id {split.ids[row]!r}: it must be a "
                f"number from 0 to {rankings.LARGEST}"
            )
        if not (labels > 0).any():
            raise UserError(f"{where} has no relevant candidate: give it relevances above 0")

    def strata(self, split: Split) -> np.ndarray:
        """Return one stratum: queries are kept whole by their groups."""
        return np.zeros(len(split.ids), dtype=np.int64)

    def says_one_thing(self, predictions: np.ndarray) -> bool:
        """See `Kind`; numbers that differ by rounding alone are one."""
        return numbers.nearly_constant(predictions)

    def table(self, split: Split, predictions: np.ndarray, classes: list[str]) -> dict[str, Any]:
        """See `Kind`; a candidate alone is neither right nor wrong."""
        return {"label": split.labels, "prediction": predictions, "group": split.groups}


def _check_queries(split: Split, groups: Sequence[str], where: str) -> None:
    """Refuse a group of several queries: its candidates would be ranked against each other."""
    queries: dict[str, str] = {}
    for name, group, pair in zip(split.ids, groups, split.texts, strict=True):
        if not isinstance(pair, tuple):
            raise UserError(
                f"{where} has one text under the id {name!r}: give it a query and a candidate"
            )
        if queries.setdefault(group, pair[0]) != pair[0]:
            raise UserError(
                f"{where} has the queries {queries[group]!r:.60} and {pair[0]!r:.60} in the group "
                f"{group!r:.60}: give each query a group of its own, or set task.group to null"
            )
