"""Label sets and the probability of each class in, one number out: multilabel classification.

Every function takes labels, bool (T, C), and probabilities, float64 (T, C) in [0, 1], of which a text's
need not add up to one. It refuses what has another shape, no text or no class, nan, or a value outside
[0, 1] (ValueError).
"""

import numpy as np

THRESHOLD = 0.5  # a class is predicted if it is more likely than not
SMALLEST = np.finfo(np.float64).eps  # a probability of zero would make the log loss infinite


def micro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return F1 over all decisions, one a text and class; in [0, 1].

    A class is predicted where its probability is above 0.5. Without a positive in labels and
    predictions F1 is 0, as in scikit-learn. Source: Lewis et al. (2004), RCV1,
    https://www.jmlr.org/papers/v5/lewis04a.html.

    Args:
        labels: bool, (T, C).
        probabilities: float64, (T, C).

    Raises:
        ValueError: See the module.
    """
    right, positive = _counts(labels, probabilities)
    return float(2 * right.sum() / max(positive.sum(), 1))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return F1 averaged over the classes that occur in the labels or the predictions; in [0, 1].

    A class is predicted where its probability is above 0.5. Where no class occurs it is 0. Source:
    Lewis et al. (2004), RCV1, https://www.jmlr.org/papers/v5/lewis04a.html; that classes which occur
    nowhere do not count is the rule of `bertbench.metrics.macro_f1`, too.

    Args:
        labels: bool, (T, C).
        probabilities: float64, (T, C).

    Raises:
        ValueError: See the module.
    """
    right, positive = _counts(labels, probabilities)
    present = positive > 0
    return float(np.mean(2 * right[present] / positive[present])) if present.any() else 0.0


def mean_average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the average precision, averaged over the classes that have a positive; in [0, 1].

    Average precision is the sum of (R_n - R_(n-1)) P_n over the distinct probabilities from high to
    low, so texts of one probability enter at once, without an order:
    https://scikit-learn.org/stable/modules/generated/sklearn.metrics.average_precision_score.html.
    Where no class has a positive it is 0.

    Args:
        labels: bool, (T, C).
        probabilities: float64, (T, C).

    Raises:
        ValueError: See the module.
    """
    _check(labels, probabilities)
    classes = np.flatnonzero(labels.any(0))
    if not len(classes):
        return 0.0
    return float(np.mean([_average_precision(labels[:, c], probabilities[:, c]) for c in classes]))


def binary_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-probability of what is true (nats a text and class).

    Each class is a decision of its own; the mean is over texts and classes. Probabilities are kept
    a machine epsilon away from 0 and 1, as in scikit-learn's log_loss, so the loss is finite.

    Args:
        labels: bool, (T, C).
        probabilities: float64, (T, C).

    Raises:
        ValueError: See the module.
    """
    _check(labels, probabilities)
    shares = np.clip(probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return float(-np.mean(np.where(labels, np.log(shares), np.log1p(-shares))))


def subset_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of texts whose set of classes is predicted without an error; in [0, 1].

    A class is predicted where its probability is above 0.5; an empty set can be right, too. Source:
    https://scikit-learn.org/stable/modules/generated/sklearn.metrics.accuracy_score.html.

    Args:
        labels: bool, (T, C).
        probabilities: float64, (T, C).

    Raises:
        ValueError: See the module.
    """
    _check(labels, probabilities)
    return float(np.mean(np.all((probabilities > THRESHOLD) == labels, axis=1)))


def _counts(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, by class, true positives (C,), and positives of labels plus those of predictions (C,)."""
    _check(labels, probabilities)
    predicted = probabilities > THRESHOLD
    return (labels & predicted).sum(0), labels.sum(0) + predicted.sum(0)


def _average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision of one class; both are (T,), with at least one positive."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)  # of each run
    found = np.cumsum(positive[order])[last]
    return float(np.sum(np.diff(found, prepend=0) * (found / (last + 1))) / found[-1])


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if labels.ndim != 2 or labels.shape != probabilities.shape or not labels.size:
        raise ValueError(
            f"labels {labels.shape} and probabilities {probabilities.shape} do not fit: give both as "
            "(T, C) with a text and a class at least"
        )
    if labels.dtype != np.bool_:
        raise ValueError(f"labels are {labels.dtype}: give bool, True where a class holds")
    wrong = ~((probabilities >= 0) & (probabilities <= 1))  # nan compares as False
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"the probability of row {row}, class {column} is {probabilities[row, column]}: give "
            "numbers from 0 to 1"
        )
