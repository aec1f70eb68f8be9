"""Kinds of task, by name: what is read, what is right, and what is counted."""

from collections.abc import Sequence
from typing import Any

from bertbench.errors import UserError, nearest
from bertbench.kinds.base import Kind, Measure
from bertbench.kinds.classification import Classification
from bertbench.kinds.multilabel import Multilabel
from bertbench.kinds.ranking import Ranking
from bertbench.kinds.regression import Regression
from bertbench.kinds.span import Span
from bertbench.kinds.token import Token
from bertbench.types import Split, TaskData

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (Classification(), Multilabel(), Regression(), Ranking(), Token(), Span())
}


def find(name: str, place: str = "task.kind") -> Kind:
    """Return the kind of that name.

    Raises:
        UserError: There is none.
    """
    if str(name) not in KINDS:
        raise UserError(
            f"{place}={name} is no kind of task{nearest(str(name), KINDS)} (known: {', '.join(KINDS)})"
        )
    return KINDS[str(name)]


def measure(name: str, place: str = "task.metric") -> Measure:
    """Return the metric of that name, of whichever kind has it: its direction is the same in each.

    Raises:
        UserError: There is none.
    """
    known = {name: found for kind in KINDS.values() for name, found in kind.measures.items()}
    if str(name) not in known:
        raise UserError(
            f"{place}={name} is no metric{nearest(str(name), known)} (known: {', '.join(known)})"
        )
    return known[str(name)]


def compute(
    data: TaskData, names: Sequence[str], split: Split, predictions: Any
) -> dict[str, float]:
    """Return several metrics of predictions of one split, by name."""
    measures = find(data.kind).measures
    return {name: measures[name].function(split, predictions, data.classes) for name in names}


def score(data: TaskData, name: str, predictions: Any) -> float:
    """Return one metric on validation."""
    return compute(data, [name], data.validation, predictions)[name]


def tie_breaker(data: TaskData) -> str:
    """Return the metric that decides between what validation finds equal."""
    return find(data.kind).tie


def rank(data: TaskData, metric: str, predictions: Any) -> tuple[float, float]:
    """Return what choices on validation compare: the metric, then the tie-breaker; higher is better."""
    measures = find(data.kind).measures
    first, second = (
        score(data, name, predictions) * (1 if measures[name].higher_is_better else -1)
        for name in (metric, tie_breaker(data))
    )
    return first, second
