"""Features of texts in, a linear model of their kind out, its strength chosen on validation."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bertbench import strength
from bertbench.errors import UserError
from bertbench.kinds import rank
from bertbench.linear import Linear, each_linear
from bertbench.regressions import OneVsRest, Ridge, each_ridge, each_sets
from bertbench.types import TaskData

SCORER, COSINE = "scorer.safetensors", "cosine.json"
FLAT = 1e-12  # variance of cosines that differ by rounding alone: their states are float32


class Predictor(Protocol):
    """Features in, predictions of a kind out."""

    def predict(self, features: Any) -> np.ndarray:
        """Return predictions (T, C) or (T,) of features (T, D)."""
        ...

    def save(self, folder: Path) -> None:
        """Write the numbers into `folder`."""
        ...


Models = Iterable[tuple[float, Predictor]]  # each C, ascending, and the model of this strength


class Scorer(NamedTuple):
    """A logistic regression on whether a candidate is relevant."""

    weights: np.ndarray  # float64, (D,)
    bias: np.ndarray  # float64, ()

    def predict(self, features: Any) -> np.ndarray:
        """Return scores (T,) in [0, 1]."""
        return expit(np.asarray(features @ self.weights) + self.bias)

    def save(self, folder: Path) -> None:
        """See `Predictor`."""
        save_file({k: np.ascontiguousarray(v) for k, v in self._asdict().items()}, folder / SCORER)


class Cosine(NamedTuple):
    """A line through the cosine of the two vectors of a pair, which stand first among its features."""

    width: int  # D of each vector
    slope: float
    bias: float

    def predict(self, features: Any) -> np.ndarray:
        """Return numbers (T,)."""
        return self.slope * cosines(features, self.width) + self.bias

    def save(self, folder: Path) -> None:
        """See `Predictor`."""
        (folder / COSINE).write_text(json.dumps(self._asdict()), encoding="utf-8")


def fit(
    data: TaskData,
    metric: str,
    train: Any,
    validation: Any,
    *,
    penalties: Sequence[float],
    width: int | None = None,
) -> tuple[Predictor, dict[str, float]]:
    """Fit the linear model of a task's kind.

    Args:
        data: Gives kind and labels.
        metric: Validation chooses by it.
        train: (T, D) features of the training texts, dense or sparse.
        validation: (T', D).
        penalties: Values of C to choose from.
        width: Of the vectors of a pair, where these stand first in dense features; the cosine is tried too
            then, for numbers and ranks.

    Returns:
        The model, and what was chosen: its C, or 0 for the cosine.
    """

    def judge(model: Predictor) -> tuple[float, float]:
        return rank(data, metric, model.predict(validation))

    model, c = strength.best(_EACH[data.kind](data, train, penalties), judge)
    if width is not None and data.kind in ("regression", "ranking"):
        rival = _cosine(data, train, width)
        if judge(rival) > judge(model):
            return rival, {"chosen/C": 0.0}
    return model, {"chosen/C": c}


def load(folder: Path, kind: str) -> Predictor:
    """Read what a predictor of that kind has written into `folder`."""
    if (folder / COSINE).is_file():
        return Cosine(**json.loads((folder / COSINE).read_text(encoding="utf-8")))
    return _LOAD[kind](folder)


def cosines(features: Any, width: int) -> np.ndarray:
    """Return the cosine of columns [0, width) and [width, 2 width), (T,); 0 where one is zero."""
    first, second = features[:, :width], features[:, width : 2 * width]
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(1, dtype=np.float64)
    return np.divide(products, norms, out=np.zeros(len(products)), where=norms > 0)


def _classes(data: TaskData, train: Any, penalties: Sequence[float]) -> Models:
    return each_linear(train, data.train.labels, classes=len(data.classes), penalties=penalties)


def _sets(data: TaskData, train: Any, penalties: Sequence[float]) -> Models:
    return each_sets(train, data.train.labels, penalties=penalties)


def _numbers(data: TaskData, train: Any, penalties: Sequence[float]) -> Models:
    return each_ridge(train, data.train.labels, penalties=penalties)


def _relevance(
    data: TaskData, train: Any, penalties: Sequence[float]
) -> Iterator[tuple[float, Scorer]]:
    strength.check(penalties)
    relevant = data.train.labels > 0
    if relevant.all() or not relevant.any():
        raise UserError(
            "the training candidates are all relevant, or none is: nothing can be learned from them"
        )
    for c in sorted(penalties):
        fitted = LogisticRegression(C=c, max_iter=5000).fit(train, relevant)
        yield c, Scorer(fitted.coef_[0], fitted.intercept_[0])


def _cosine(data: TaskData, train: Any, width: int) -> Cosine:
    """Return the line of least squares through the cosines; for ranks, the cosine itself."""
    if data.kind == "ranking":
        return Cosine(width, 1.0, 0.0)
    found = cosines(train, width)
    middle, mean = found.mean(), data.train.labels.mean()
    spread = np.mean((found - middle) ** 2)
    if spread < FLAT:
        return Cosine(width, 0.0, float(mean))
    slope = float(np.mean((found - middle) * (data.train.labels - mean)) / spread)
    return Cosine(width, slope, float(mean - slope * middle))


_EACH: dict[str, Callable[[TaskData, Any, Sequence[float]], Models]] = {
    "classification": _classes,
    "multilabel": _sets,
    "regression": _numbers,
    "ranking": _relevance,
}
_LOAD: dict[str, Callable[[Path], Predictor]] = {
    "classification": Linear.load,
    "multilabel": OneVsRest.load,
    "regression": Ridge.load,
    "ranking": lambda folder: Scorer(**load_file(folder / SCORER)),
}
