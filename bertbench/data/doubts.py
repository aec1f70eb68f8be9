"""Texts with labels in, the labels that a linear model of the other texts does not believe out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.data.duplicates import parts_of
from bertbench.data.splits import stratified

FOLDS = 5  # each class must have a text in each
MOST = 20_000  # texts; more take too long for a look
REGULARISATION = 10.0  # C of the regression


def refused(labels: np.ndarray, classes: list[str]) -> str | None:
    """Return why labels cannot be doubted, None where they can.

    Args:
        labels: int64, (T,), in [0, C).
        classes: Their names, (C,).
    """
    counts = np.bincount(labels, minlength=1)
    small = np.flatnonzero((counts > 0) & (counts < FOLDS))
    if len(labels) > MOST:
        return f"there are {len(labels):,} training texts, more than {MOST:,}"
    if len(small):
        return f"the class {classes[small[0]]} has {counts[small[0]]} training texts, fewer than {FOLDS}"
    if (counts > 0).sum() < 2:
        return "the training texts are of one class"
    return None


def out_of_fold(texts: Sequence[Any], labels: np.ndarray, *, seed: int) -> np.ndarray | None:
    """Return probabilities of each text by a TF-IDF regression that did not see it: float64, (T, C).

    Args:
        texts: (T,).
        labels: int64, (T,), in [0, C); each class that occurs does so at least FOLDS times.
        seed: Decides the folds.

    Returns:
        None where the texts have no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    try:
        features: Any = TfidfVectorizer(sublinear_tf=True).fit_transform(
            ["\n".join(parts_of(text) or ()) for text in texts]
        )
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None
    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    for part in stratified(labels, [1 / FOLDS] * FOLDS, seed=seed):
        rest = np.setdiff1d(np.arange(len(labels)), part)
        model = LogisticRegression(C=REGULARISATION, max_iter=1000, tol=1e-3)
        model.fit(features[rest], labels[rest])
        probabilities[part[:, None], model.classes_] = model.predict_proba(features[part])
    return probabilities


def disbelieved(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rows whose given label is unlikely and another likely, the most striking first.

    A class is likely where its probability is at least the mean over the rows that are labelled with it:
    Northcutt et al. (2021), https://arxiv.org/abs/1911.00068, section 3.

    Args:
        probabilities: float64, (T, C), out of sample.
        labels: int64, (T,), as given.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(labels)), labels]
    sums = np.bincount(labels, own, minlength=len(counts))
    likely = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    best, seen = probabilities.max(1), probabilities.argmax(1)
    rows = np.flatnonzero((seen != labels) & (best >= likely[seen]) & (own < likely[labels]))
    return rows[np.argsort((own - best)[rows], kind="stable")]
