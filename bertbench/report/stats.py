"""Runs in, numbers of a comparison out: means and spreads over seeds, differences on the same items."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bertbench.report.collect import Evidence


class Summary(NamedTuple):
    """Several seeds of one thing."""

    mean: float
    spread: float | None  # standard deviation over seeds (n - 1); None for one seed
    count: int


class Difference(NamedTuple):
    """A row against the baseline, on the same items with the same seeds."""

    metric: Summary  # row minus baseline
    only_row: float  # items a seed that only the row has right
    only_baseline: float  # items a seed that only the baseline has right
    items: int  # test items


def summarise(values: Sequence[float]) -> Summary:
    """Return mean and spread of one value a seed."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(float(np.mean(values)), spread, len(values))


def paired_difference(row: Sequence[Evidence], baseline: Sequence[Evidence]) -> Difference | None:
    """Compare seed by seed; None where no seed is in both.

    Raises:
        ValueError: Two runs of one task do not have the same test items in the same order.
    """
    by_seed = {e.record.seed: e for e in baseline}
    pairs = [(e, by_seed[e.record.seed]) for e in row if e.record.seed in by_seed]
    if not pairs:
        return None
    metrics, only_row, only_baseline, items = [], [], [], 0
    for mine, theirs in pairs:
        a, b = (e.predictions[e.predictions["split"] == "test"] for e in (mine, theirs))
        if a["id"].tolist() != b["id"].tolist():
            raise ValueError(f"{mine.record.key} and {theirs.record.key} have different test items")
        name = f"test/{mine.record.metric}"
        metrics.append(mine.record.metrics[name] - theirs.record.metrics[name])
        right_a = a["prediction"].to_numpy() == a["label"].to_numpy()
        right_b = b["prediction"].to_numpy() == b["label"].to_numpy()
        only_row.append(int((right_a & ~right_b).sum()))
        only_baseline.append(int((right_b & ~right_a).sum()))
        items = len(a)
    return Difference(
        summarise(metrics), float(np.mean(only_row)), float(np.mean(only_baseline)), items
    )
