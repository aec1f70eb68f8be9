"""Features in, logistic regressions out, one a strength."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.sparse import issparse
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bertbench import strength
from bertbench.errors import UserError

FILE = "linear.safetensors"
LARGE = 20_000  # rows from which time matters more than the last digit
ITERATIONS = 5000, 1000  # of each fit, below and from LARGE rows
MOST_REDUCED = 4000  # rows: their inner products are decomposed, which costs the cube


class Linear(NamedTuple):
    """A fitted multinomial logistic regression."""

    weights: np.ndarray  # float64, (C, D)
    bias: np.ndarray  # float64, (C,); -inf for a class that was not in the training data

    def predict(self, features: Any) -> np.ndarray:
        """Return probabilities (T, C) of dense or sparse features (T, D)."""
        return softmax(np.asarray(features @ self.weights.T) + self.bias, axis=1)

    def save(self, folder: Path) -> None:
        """Write the numbers into `folder`; safetensors would scramble an array in Fortran's order."""
        numbers = {"weights": self.weights, "bias": self.bias}
        save_file({k: np.ascontiguousarray(v) for k, v in numbers.items()}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        """Read what `save` wrote."""
        return cls(**load_file(folder / FILE))


def each_linear(
    train: Any, labels: np.ndarray, *, classes: int, penalties: Sequence[float]
) -> Iterator[tuple[float, Linear]]:
    """Yield each C, ascending, and the regression of this strength.

    From LARGE rows on each fit begins where the one before ended, computes in single precision and stops
    after 1,000 iterations at the latest, as in Radford et al. (2021), https://arxiv.org/abs/2103.00020,
    section A.3.

    Args:
        train: (T, D) features, dense or sparse.
        labels: int64, (T,).
        classes: C.
        penalties: Values of scikit-learn's C, the inverse strength of the L2 penalty.

    Raises:
        UserError: `penalties` is empty or not positive, or `labels` has one class alone.
    """
    strength.check(penalties)
    if len(np.unique(labels)) < 2:
        raise UserError(
            "the training texts are all of one class: nothing can be learned from them"
        )
    large = train.shape[0] >= LARGE
    reduced, back = _reduced(train.astype(np.float32) if large else train)
    solver = LogisticRegression(max_iter=ITERATIONS[large], warm_start=large)
    if large and issparse(train):  # a feature that one row has moves the mean loss by so little
        solver.set_params(tol=min(solver.tol, 1 / train.shape[0]))
    for c in sorted(penalties):
        with warnings.catch_warnings():
            if large:
                warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = solver.set_params(C=c).fit(reduced, labels)
        model = _as_linear(fitted, classes)
        yield c, model._replace(weights=back(model.weights))


def _reduced(features: Any) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Return features of at most T dimensions with the same inner products, and the way back for weights.

    The best weights are combinations of the training rows (the representer theorem; Schölkopf et al.
    2001, https://doi.org/10.1007/3-540-44581-1_27), so where rows are few and columns many, as with
    word n-grams, the same regression is solved with a hundredth of the unknowns.

    Args:
        features: (T, D), dense or sparse.

    Returns:
        (T, R) features, and a function from weights (C, R) to weights (C, D).
    """
    rows, columns = features.shape
    if rows > MOST_REDUCED or columns < 4 * rows:
        return features, lambda weights: weights
    product = features @ features.T
    values, vectors = np.linalg.eigh(product.toarray() if issparse(product) else product)
    kept = values > values[-1] * 1e-12
    scale, vectors = np.sqrt(values[kept]), vectors[:, kept]  # (R,), (T, R)
    return vectors * scale, lambda weights: np.asarray((weights / scale) @ vectors.T @ features)


def _as_linear(fitted: LogisticRegression, classes: int) -> Linear:
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps the second class's row alone
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([[0.0], intercept])
    weights = np.zeros((classes, coefficients.shape[1]))
    bias = np.full(classes, -np.inf)
    weights[fitted.classes_], bias[fitted.classes_] = coefficients, intercept
    return Linear(weights, bias)
