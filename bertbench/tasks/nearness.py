"""A cut of rows in, the same with near duplicates in one part out, as far as that can be."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.data.duplicates import NEAR, components, find

MOST = 50_000  # rows; more take too long for the beginning of each run
LARGE = 10  # a cluster of more than one in so many units leaves nothing to cut evenly


def together(
    texts: Sequence[Any], units: np.ndarray, strata: np.ndarray, parts: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], str]:
    """Put each cluster of near duplicates where its first row is; what has none stays where it was.

    A stratum whose rows would all leave the first part keeps its clusters there.

    Args:
        texts: (T,), distinct.
        units: int64, (T,): rows of the same number are in one part already.
        strata: int64, (T,): what the first part should have some of.
        parts: Row numbers of each.

    Returns:
        The parts, and what the reader should know; empty where all near duplicates are together.
    """
    if len(texts) > MOST:
        return list(parts), (
            f"{len(texts):,} rows are too many to look for near duplicates before the cut, so some may lie "
            "in two parts"
        )
    cluster = _clusters(texts, units)
    sizes = np.bincount(cluster)  # units of each
    large = sizes > max(2, len(cluster) // LARGE)
    before = np.empty(len(texts), dtype=np.int64)
    for number, rows in enumerate(parts):
        before[rows] = number
    row_cluster = cluster[units]
    moving = ((sizes > 1) & ~large)[row_cluster]
    first = np.unique(row_cluster, return_index=True)[1]  # row of each cluster
    after = np.where(moving, before[first[row_cluster]], before)
    lost = np.setdiff1d(strata[before == 0], strata[after == 0])
    kept = np.unique(row_cluster[moving & np.isin(strata, lost)])
    after[np.isin(row_cluster, kept)] = 0
    found = [np.flatnonzero(after == number) for number in range(len(parts))]
    if not all(map(len, found)):
        found, large = list(parts), sizes > 1
    return found, _said(int(large[row_cluster].sum()))


def _clusters(texts: Sequence[Any], units: np.ndarray) -> np.ndarray:
    """Return the cluster of each unit: units with near texts are in one, int64, (units,)."""
    ids = [str(row) for row in range(len(texts))]
    near = find({"all": list(texts)}, {"all": ids}, threshold=NEAR)
    chains = [[units[row] for _, row in group] for group in near.near]
    pairs = [pair for chain in chains for pair in itertools.pairwise(chain)]
    return components(np.array(pairs, dtype=np.int64).reshape(-1, 2), int(units.max()) + 1)


def _said(count: int) -> str:
    if not count:
        return ""
    return f"{count:,} rows have too many near duplicates to keep all together, so some lie in two parts"
