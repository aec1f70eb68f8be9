"""Relevance, scores and groups of candidates in, one number out: ranking.

Every metric takes labels, float64 (T,), a relevance >= 0 that is above 0 where a candidate is relevant;
scores, float64 (T,), higher is ranked first; and groups, T names of the query each candidate is for, in
any order. It is a mean over groups. Groups without a relevant candidate have no right order and are left
out, as is usual (`groups_left_out` counts them); where none is left the mean is 0.

Candidates of one score have no order. Each metric is its expected value over all their orders: McSherry
and Najork (2008), https://doi.org/10.1007/978-3-540-78646-7_38. So the order in a file does not matter,
and a constant score is worth what a random order is worth on average.

Every metric refuses what has another shape, no candidate, nan, a relevance that is negative or
infinite (ValueError).
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

LARGEST = 1000  # relevance; of the exponential gain, beyond 1023 the power overflows


class _Ranked(NamedTuple):
    """The candidates of one group from the highest score down, in runs of equal scores."""

    relevance: np.ndarray  # float64, (candidates,)
    begins: np.ndarray  # int64, (runs,): ranks, from 0
    sizes: np.ndarray  # int64, (runs,)


def mean_average_precision(labels: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> float:
    """Return the mean over groups of the average precision, in [0, 1].

    The average precision is the mean, over relevant candidates, of the precision at their rank. Source:
    Manning et al. (2008), section 8.4, https://nlp.stanford.edu/IR-book/; ties: see
    the module.

    Args:
        labels: float64, (T,): relevance.
        scores: float64, (T,).
        groups: The query of each candidate, T names.

    Raises:
        ValueError: See the module.
    """
    _check(labels, scores, groups)
    return _mean([_average_precision(group) for group in _ranked(labels, scores, groups)])


def mean_reciprocal_rank(labels: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> float:
    """Return the mean over groups of 1 / rank of the first relevant candidate, in [0, 1].

    Source: Voorhees (1999), TREC-8 question answering, https://trec.nist.gov/pubs/trec8/; ties: see the
    module.

    Args:
        labels: float64, (T,): relevance.
        scores: float64, (T,).
        groups: The query of each candidate, T names.

    Raises:
        ValueError: See the module.
    """
    _check(labels, scores, groups)
    return _mean([_reciprocal_rank(group) for group in _ranked(labels, scores, groups)])


def ndcg(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str],
    k: int = 10,
    *,
    gain: Literal["exponential", "linear"] = "exponential",
) -> float:
    """Return the mean over groups of the normalised discounted cumulative gain, in [0, 1].

    The gain of the first `k` ranks j, each divided by log2(1 + j), by that of the best order. Source:
    Burges et al. (2005), https://doi.org/10.1145/1102351.1102363, whose gain is
    2^relevance - 1; the linear gain, the relevance itself, is that of Järvelin and Kekäläinen (2002),
    https://doi.org/10.1145/582415.582418, and of scikit-learn's ndcg_score. They are one for a relevance
    of 0 and 1. Ties: see the module.

    Args:
        labels: float64, (T,): relevance.
        scores: float64, (T,).
        groups: The query of each candidate, T names.
        k: Number of ranks that count.
        gain: How much a relevance is worth.

    Raises:
        ValueError: See the module; or `k` is below 1, `gain` is unknown, or 2^relevance too large.
    """
    _check(labels, scores, groups)
    if k < 1:
        raise ValueError(f"k={k} leaves no rank to count: choose 1 or more")
    if gain not in ("exponential", "linear"):
        raise ValueError(f"gain={gain} is not known: choose exponential or linear")
    if gain == "exponential" and labels.max() > LARGEST:
        raise ValueError(
            f"a relevance of {labels.max()} is too large for an exponential gain: choose linear, or "
            f"grades up to {LARGEST}"
        )
    # 2^relevance - 1, exact for a small relevance, too.
    gains = np.expm1(labels * np.log(2)) if gain == "exponential" else labels
    return _mean([_normalised_gain(group, k) for group in _ranked(gains, scores, groups)])


def groups_left_out(labels: np.ndarray, groups: Sequence[str]) -> int:
    """Return how many groups have no relevant candidate, and so are no part of any mean.

    Args:
        labels: float64, (T,): relevance.
        groups: The query of each candidate, T names.

    Raises:
        ValueError: See the module.
    """
    _check(labels, labels, groups)
    return len(set(groups)) - len(set(np.array(groups, dtype=object)[labels > 0]))


def _average_precision(group: _Ranked) -> float:
    """Return the expected average precision.

    In a run of n with R relevant ones, after r relevant ones, rank j of the run is relevant with chance
    R / n, and then (j - 1)(R - 1) / (n - 1) of those before it in the run are, in expectation.
    """
    relevant = (group.relevance > 0).astype(np.float64)
    within = np.add.reduceat(relevant, group.begins)  # R
    before = np.cumsum(within) - within  # r
    sizes, ranks = group.sizes, np.arange(len(relevant))
    density = (within - 1) / np.maximum(sizes - 1, 1)  # unused in a run of one: j - 1 is 0
    place = ranks - np.repeat(group.begins, sizes)  # j - 1
    found = np.repeat(before, sizes) + 1 + place * np.repeat(density, sizes)
    precision = np.repeat(within / sizes, sizes) * found / (ranks + 1)
    return float(precision.sum() / relevant.sum())


def _reciprocal_rank(group: _Ranked) -> float:
    """Return the expected reciprocal rank: only the first run with a relevant candidate decides it."""
    within = np.add.reduceat((group.relevance > 0).astype(np.int64), group.begins)
    run = int(np.argmax(within > 0))
    relevant, size = int(within[run]), int(group.sizes[run])
    place = np.arange(size - relevant + 1)  # the first relevant one stands no later
    misses = (size - place[:-1] - relevant) / (size - place[:-1])
    chances = np.cumprod(np.append(1.0, misses)) * relevant / (size - place)
    return float(np.sum(chances / (group.begins[run] + place + 1)))


def _normalised_gain(group: _Ranked, k: int) -> float:
    """Return the expected gain by the best; in a run of equal scores each rank has the mean gain."""
    gains = group.relevance / group.relevance.max()  # the quotient is the same, no sum overflows
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    discounts[k:] = 0
    means = np.add.reduceat(gains, group.begins) / group.sizes
    return float(np.repeat(means, group.sizes) @ discounts / (np.sort(gains)[::-1] @ discounts))


def _ranked(relevance: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> Iterator[_Ranked]:
    """Yield each group that has a relevant candidate."""
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in groups])
    order = np.lexsort((-scores, group))
    for rows in np.split(order, np.cumsum(np.bincount(group))[:-1]):
        if (relevance[rows] > 0).any():
            falling = scores[rows]
            begins = np.append(0, np.flatnonzero(falling[1:] != falling[:-1]) + 1)
            yield _Ranked(relevance[rows], begins, np.diff(begins, append=len(rows)))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _check(labels: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> None:
    if labels.ndim != 1 or labels.shape != scores.shape or not labels.size:
        raise ValueError(
            f"labels {labels.shape} and scores {scores.shape} do not fit: give both as (T,) with a "
            "candidate at least"
        )
    if len(groups) != len(labels):
        raise ValueError(
            f"{len(groups)} groups and {len(labels)} labels do not fit: name the query of each"
        )
    wrong = np.flatnonzero(~(np.isfinite(labels) & (labels >= 0)))
    if len(wrong):
        raise ValueError(
            f"the relevance of row {wrong[0]} is {labels[wrong[0]]}: give finite numbers from 0"
        )
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise ValueError(f"the score of row {missing[0]} is nan: give numbers that have an order")
