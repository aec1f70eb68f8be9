"""Vectors of the two texts of each pair in, features of the pair out."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

NUMBERS = ("cosine", "shared words", "lengths")  # the last columns


def pair_features(first: csr_matrix, second: csr_matrix) -> csr_matrix:
    """Return both vectors of each pair, where they agree, where they differ, and three numbers.

    The product and the absolute difference are those of Conneau et al. (2017,
    https://aclanthology.org/D17-1070, section 3.1). Of vectors of length 1, as TF-IDF's are, no block
    is longer than the square root of 2 and each number lies in [0, 1], so that one strength of penalty
    suits all.

    Args:
        first: (T, D), at least 0.
        second: (T, D), by the same vectorizer.

    Returns:
        (T, 4 D + 3): the numbers are the cosine, the words that both have among those of either, and
        the number of words of the shorter among those of the longer; all 0 where a text has no word.
    """
    product = first.multiply(second)
    here, there = _count(first), _count(second)
    both = np.diff(csr_matrix(product).indptr)
    numbers = [
        _share(
            _sum(product), np.sqrt(_sum(first.multiply(first)) * _sum(second.multiply(second)))
        ),
        _share(both, here + there - both),
        _share(np.minimum(here, there), np.maximum(here, there)),
    ]
    blocks = [first, second, product, abs(first - second), csr_matrix(np.stack(numbers, axis=1))]
    return csr_matrix(hstack(blocks, format="csr"))


def _sum(rows: Any) -> np.ndarray:
    return np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()


def _count(rows: Any) -> np.ndarray:
    return np.asarray((rows > 0).sum(axis=1), dtype=np.int64).ravel()


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 of nothing."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
