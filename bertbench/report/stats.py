"""Runs in, numbers of a comparison out: means and spreads over seeds, differences on the same items."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student_t

from bertbench.report.collect import Evidence

NONE = "–"  # where a table has no number


class Summary(NamedTuple):
    """One thing over several seeds."""

    mean: float
    spread: float | None  # standard deviation over seeds (n - 1); None for one seed
    seeds: int


class Difference(NamedTuple):
    """A row against the baseline, on the same items with the same seeds."""

    metric: Summary  # row minus baseline
    only_row: (
        float | None
    )  # items a seed that only the row has right; None where none is right or wrong
    only_baseline: float | None  # items a seed that only the baseline has right
    items: int  # test items


def summarise(values: Sequence[float]) -> Summary:
    """Return mean and spread of one value a seed; of equal values exactly that value and 0."""
    if len({*values}) == 1:  # rounding would leave them a spread of 1e-17
        return Summary(float(values[0]), 0.0 if len(values) > 1 else None, len(values))
    return Summary(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


def in_words(summary: Summary | None, style: str = ".3f") -> str:
    """Return a mean with its spread; a dash where there is none.

    Args:
        summary: Of one thing over several seeds.
        style: Of both numbers, as `format` takes it.
    """
    if summary is None:
        return NONE
    if summary.spread is None:
        return format(summary.mean, style)
    return f"{summary.mean:{style}} ± {summary.spread:{style}}"


def half_width(summary: Summary) -> float | None:
    """Return half of the 95 % interval of a mean over seeds (Student's t); None for one seed."""
    if summary.spread is None:
        return None
    quantile = float(student_t.ppf(0.975, summary.seeds - 1))
    return quantile * summary.spread / summary.seeds**0.5


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
        (ids_a, right_a), (ids_b, right_b) = _test_items(mine), _test_items(theirs)
        if ids_a != ids_b:
            raise ValueError(
                f"{mine.record.key} and {theirs.record.key} have different test items"
            )
        name = f"test/{mine.record.metric}"
        metrics.append(mine.record.metrics[name] - theirs.record.metrics[name])
        if right_a is not None and right_b is not None:
            only_row.append(int((right_a & ~right_b).sum()))
            only_baseline.append(int((right_b & ~right_a).sum()))
        items = len(ids_a)
    mine_alone, theirs_alone = (
        float(np.mean(found)) if found else None for found in (only_row, only_baseline)
    )
    return Difference(summarise(metrics), mine_alone, theirs_alone, items)


def _test_items(run: Evidence) -> tuple[list[str], np.ndarray | None]:
    """Return the ids of the test items, and which are right; None where they are numbers."""
    test: Any = run.predictions.loc[run.predictions["split"] == "test"]
    if "right" in test:
        return list(test["id"]), np.asarray(test["right"], dtype=bool)
    labels = np.asarray(test["label"])
    if np.issubdtype(labels.dtype, np.floating):
        return list(test["id"]), None
    return list(test["id"]), np.asarray(test["prediction"]) == labels
