"""Numbers and their predictions in, one number out: regression.

Every function takes labels, float64 (T,), and predictions, float64 (T,). It refuses what has another
shape, no text, nan or an infinity (ValueError).
"""

import numpy as np

ROUNDING = 1e-6  # relative; about eight steps of single precision


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return Pearson's correlation, in [-1, 1]; 0 where labels or predictions are constant.

    A constant has no variance, so the quotient is 0/0. It is defined as 0, since a constant tells as
    little about the labels as a prediction that is independent of them, whose correlation is 0: a model
    that collapsed is neither rewarded nor does it turn a mean over seeds into nan. One text is constant.
    Source: Cer et al. (2017), STS-B, https://aclanthology.org/S17-2001.

    Args:
        labels: float64, (T,).
        predictions: float64, (T,).

    Raises:
        ValueError: See the module.
    """
    _check(labels, predictions)
    if _constant(labels) or _constant(predictions):
        return 0.0
    return float(np.clip(_direction(labels) @ _direction(predictions), -1, 1))


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return Spearman's correlation, in [-1, 1]: Pearson's of the ranks, ties at their average rank.

    It is 0 where labels or predictions are constant, for the reason that `pearson` gives. Source:
    Spearman (1904), https://doi.org/10.2307/1412159; ties as in Kendall (1945),
    https://doi.org/10.1093/biomet/33.3.239.

    Args:
        labels: float64, (T,).
        predictions: float64, (T,).

    Raises:
        ValueError: See the module.
    """
    _check(labels, predictions)
    return pearson(_ranks(labels), _ranks(predictions))


def mae(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean absolute error, in the unit of the labels.

    Args:
        labels: float64, (T,).
        predictions: float64, (T,).

    Raises:
        ValueError: See the module.
    """
    _check(labels, predictions)
    return float(np.mean(np.abs(labels - predictions)))


def rmse(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the root of the mean squared error, in the unit of the labels; never below `mae`.

    Args:
        labels: float64, (T,).
        predictions: float64, (T,).

    Raises:
        ValueError: See the module.
    """
    _check(labels, predictions)
    errors = np.abs(labels - predictions)
    largest = errors.max()
    if largest == 0:
        return 0.0
    return float(largest * np.sqrt(np.mean((errors / largest) ** 2)))  # no square overflows


def nearly_constant(predictions: np.ndarray) -> bool:
    """Tell whether all numbers (T,) are the same but for rounding: a millionth of the largest."""
    largest = float(np.abs(predictions).max(initial=0.0))
    return bool(np.ptp(predictions) <= ROUNDING * largest)


def _constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def _direction(values: np.ndarray) -> np.ndarray:
    """Return the deviations from the mean, (T,), at length 1; `values` is not constant."""
    # A power of two scales without rounding, so that no square over- or underflows.
    exponent = int(np.frexp(np.abs(values).max())[1])
    scaled = np.ldexp(values.astype(np.float64), -exponent)
    shifted = scaled - scaled[0]  # nearly equal values keep their differences: the mean is small
    deviations = shifted - shifted.mean()
    return deviations / np.linalg.norm(deviations)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, float64 (T,), from 1; equal values share their average rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _check(labels: np.ndarray, predictions: np.ndarray) -> None:
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} do not fit: give both as (T,) "
            "with a text at least"
        )
    for name, values in (("label", labels), ("prediction", predictions)):
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ValueError(
                f"the {name} of row {wrong[0]} is {values[wrong[0]]}: give finite numbers"
            )
