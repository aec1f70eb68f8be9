"""Features in, linear models of numbers or of sets out, one a strength.

Beside the logistic regression over classes that exclude each other (`bertbench.linear`): ridge
regression for numbers, one logistic regression a class where a text may have several or none. All
take the same `penalties`: C, the inverse strength of the L2 penalty as in scikit-learn's classifiers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as ScikitRidge

from bertbench import interrupt, strength
from bertbench.errors import UserError

RIDGE, SETS = "ridge.safetensors", "sets.safetensors"
MOST_DECOMPOSED = 2000  # rows or columns, whichever is fewer: it costs their cube


class Ridge(NamedTuple):
    """A fitted ridge regression."""

    weights: np.ndarray  # float64, (D,)
    bias: np.ndarray  # float64, ()

    def predict(self, features: Any) -> np.ndarray:
        """Return numbers (T,) of dense or sparse features (T, D)."""
        return np.asarray(features @ self.weights) + self.bias

    def save(self, folder: Path) -> None:
        """Write the numbers into `folder`."""
        _save(self._asdict(), folder / RIDGE)

    @classmethod
    def load(cls, folder: Path) -> "Ridge":
        """Read what `save` wrote."""
        return cls(**load_file(folder / RIDGE))


class OneVsRest(NamedTuple):
    """A fitted logistic regression for each class."""

    weights: np.ndarray  # float64, (C, D)
    bias: np.ndarray  # float64, (C,); -inf or inf for a class of none or of all training texts

    def predict(self, features: Any) -> np.ndarray:
        """Return the probability of each class, (T, C), of dense or sparse features (T, D)."""
        return expit(np.asarray(features @ self.weights.T) + self.bias)

    def save(self, folder: Path) -> None:
        """Write the numbers into `folder`."""
        _save(self._asdict(), folder / SETS)

    @classmethod
    def load(cls, folder: Path) -> "OneVsRest":
        """Read what `save` wrote."""
        return cls(**load_file(folder / SETS))


def each_ridge(
    train: Any, labels: np.ndarray, *, penalties: Sequence[float]
) -> Iterator[tuple[float, Ridge]]:
    """Yield each C, ascending, and the ridge regression of this strength.

    Args:
        train: (T, D) features, dense or sparse.
        labels: float64, (T,).
        penalties: Values of C. Scikit-learn's alpha is 1 / C.

    Raises:
        UserError: `penalties` is empty or not positive.
    """
    strength.check(penalties)
    strengths = sorted(penalties)
    yield from zip(strengths, _ridges(train, labels, strengths), strict=True)


def each_sets(
    train: Any, labels: np.ndarray, *, penalties: Sequence[float]
) -> Iterator[tuple[float, OneVsRest]]:
    """Yield each C, ascending, and a regression of this strength for each class.

    Args:
        train: (T, D) features, dense or sparse.
        labels: bool, (T, C).
        penalties: Values of C.

    Raises:
        UserError: `penalties` is empty or not positive, or no class tells training texts apart.
    """
    strength.check(penalties)
    if not np.any(labels.any(0) & ~labels.all(0)):
        raise UserError(
            "every class is that of all training texts or of none: nothing can be learned from them"
        )

    for c in sorted(penalties):
        yield c, _one_vs_rest(train, labels, c)


def _one_vs_rest(features: Any, labels: np.ndarray, c: float) -> OneVsRest:
    weights = np.zeros((labels.shape[1], features.shape[1]))
    bias = np.zeros(labels.shape[1])
    for number, column in enumerate(labels.T):
        interrupt.check()
        if column.all() or not column.any():
            bias[number] = np.inf if column.all() else -np.inf
            continue
        fitted = LogisticRegression(C=c, max_iter=5000).fit(features, column)
        weights[number], bias[number] = fitted.coef_[0], fitted.intercept_[0]
    return OneVsRest(weights, bias)


def _ridges(features: Any, labels: np.ndarray, penalties: Sequence[float]) -> list[Ridge]:
    """Return a ridge regression for each C, by whichever way is the cheapest.

    The weights are (X'X + I/C)^-1 X'y, or X'(XX' + I/C)^-1 y (Saunders et al. 1998, Ridge regression
    learning algorithm in dual variables, section 2), of centred X and y. One decomposition of the
    smaller of the two matrices serves every C; where both are too large, conjugate gradients do.
    """
    if min(features.shape) > MOST_DECOMPOSED:
        fitted = [
            ScikitRidge(alpha=1 / c, solver="sparse_cg", tol=1e-10).fit(features, labels)
            for c in penalties
        ]
        return [Ridge(one.coef_, np.asarray(one.intercept_)) for one in fitted]
    middle = np.asarray(features.mean(0), dtype=np.float64).ravel()  # (D,)
    rows = features if issparse(features) else features - middle  # sparse ones stay sparse
    solve = _dual if features.shape[0] < features.shape[1] else _primal
    found = solve(rows, labels - labels.mean(), penalties)
    return [Ridge(one, np.asarray(labels.mean() - middle @ one)) for one in found]


def _primal(features: Any, labels: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Return weights (D,) a penalty; the labels sum to 0, the features need not."""
    middle = np.asarray(features.mean(0)).ravel()
    product = _dense(features.T @ features) - len(labels) * np.outer(middle, middle)  # (D, D)
    values, vectors = np.linalg.eigh(product)
    turned = vectors.T @ (features.T @ labels)
    return [vectors @ (turned / (np.maximum(values, 0) + 1 / c)) for c in penalties]


def _dual(features: Any, labels: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Return the same through the inner products of rows, (T, T)."""
    product = _dense(features @ features.T)
    product = product - product.mean(0) - product.mean(1)[:, None] + product.mean()
    values, vectors = np.linalg.eigh(product)
    turned = vectors.T @ labels
    shares = [vectors @ (turned / (np.maximum(values, 0) + 1 / c)) for c in penalties]  # (T,) each
    # Of centred rows: as the shares sum to 0, the rows as they are give the same weights.
    return [np.asarray(features.T @ (one - one.mean())) for one in shares]


def _dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if issparse(matrix) else matrix


def _save(numbers: dict[str, np.ndarray], file: Path) -> None:
    """Write arrays to `file`; safetensors would scramble one in Fortran's order."""
    save_file({name: np.asarray(array, order="C") for name, array in numbers.items()}, file)
