"""Labels and class probabilities in, one number out; each metric knows its direction.

`METRICS` holds pure functions; `face` wraps one as an `evaluate.Metric` made in memory, so that
nothing is fetched from a hub.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertbench.errors import UserError, nearest

if TYPE_CHECKING:
    import evaluate

ECE_BINS = 15
SMALLEST = np.finfo(np.float64).eps  # a probability of zero would make the log loss infinite


class Metric(NamedTuple):
    """A function of labels (T,) and probabilities (T, C), and which way is better."""

    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool
    words: str  # for a reader of the sheet


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of texts whose most probable class is right."""
    return float(np.mean(probabilities.argmax(1) == labels))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return F1 averaged over the classes that occur in the labels or the predictions."""
    table = confusion(labels, probabilities)
    right, true, predicted = np.diag(table), table.sum(1), table.sum(0)
    present = (true + predicted) > 0
    return float(np.mean(2 * right[present] / (true + predicted)[present]))


def mcc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Matthews' correlation for C classes; 0 where it is not defined.

    Source: Gorodkin (2004), https://doi.org/10.1016/j.compbiolchem.2004.09.006.
    """
    table = confusion(labels, probabilities).astype(np.float64)
    true, predicted, total = table.sum(1), table.sum(0), table.sum()
    covariance = np.trace(table) * total - true @ predicted
    spread = np.sqrt(total**2 - true @ true) * np.sqrt(total**2 - predicted @ predicted)
    return float(covariance / spread) if spread > 0 else 0.0


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-probability of the true class (nats)."""
    shares = np.clip(probabilities, SMALLEST, 1)
    shares = shares / shares.sum(1, keepdims=True)
    return float(-np.mean(np.log(shares[np.arange(len(labels)), labels])))


def ece(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error: 15 bins of equal width over the top probability.

    Source: Guo et al. (2017), https://arxiv.org/abs/1706.04599, section 2.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


METRICS = {
    "accuracy": Metric(accuracy, True, "share of texts classified right"),
    "macro_f1": Metric(macro_f1, True, "F1 averaged over classes"),
    "mcc": Metric(mcc, True, "Matthews correlation"),
    "log_loss": Metric(log_loss, False, "nats a text"),
    "ece": Metric(ece, False, "expected calibration error, 15 bins"),
}


def find(name: str, place: str = "task.metric") -> Metric:
    """Return the metric of that name.

    Raises:
        UserError: There is none.
    """
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"{place}={name} is no metric{nearest(name, METRICS)} (known: {known})")
    return METRICS[name]


def score(
    name: str, labels: np.ndarray, probabilities: np.ndarray, *, signed: bool = False
) -> float:
    """Return one metric; `signed` turns it so that higher is better."""
    metric = find(name)
    value = metric.function(labels, probabilities)
    return -value if signed and not metric.higher_is_better else value


def face(name: str) -> "evaluate.Metric":
    """Return the metric as an `evaluate.Metric`.

    Its predictions are rows of class probabilities, its references class numbers. (An object of
    `evaluate` is falsy until something was added to it.)
    """
    import datasets
    import evaluate

    metric = find(name)
    features = datasets.Features(
        {
            "predictions": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Value("int64"),
        }
    )

    class Face(evaluate.Metric):
        """The pure function of the same name, with evaluate's interface."""

        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=metric.words, citation="", inputs_description="", features=features
            )

        def _compute(
            self,
            *,
            predictions: Any = None,
            references: Any = None,
            **kwargs: Any,  # noqa: ARG002 - evaluate's own signature
        ) -> dict[str, float]:
            return {name: metric.function(np.asarray(references), np.asarray(predictions))}

    return Face(config_name=name, keep_in_memory=True)


def compute(
    names: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    """Return several metrics by name, through their `evaluate` faces."""
    results: dict[str, float] = {}
    for name in names:
        results |= face(name).compute(predictions=probabilities, references=labels) or {}
    return results


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return counts (C, C): true classes down, predicted classes across."""
    classes = probabilities.shape[1]
    flat = np.bincount(labels * classes + probabilities.argmax(1), minlength=classes**2)
    return flat.reshape(classes, classes)
