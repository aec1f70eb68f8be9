"""Texts with labels in, the labels that a linear model of the other texts does not believe out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.data.duplicates import parts_of
from bertbench.data.splits import stratified, take
from bertbench.types import Flaw, Split

FOLDS = 5  # a class must have a text in each to be looked at
MOST = 20_000  # texts; more take too long for a look
REGULARISATION = 10.0  # C of the regression


def suspicious_labels(train: Split, classes: list[str], *, seed: int) -> Flaw:
    """Return the training rows whose label a linear model of the other rows does not believe."""
    name, looked = "suspicious labels", doubtable(train.labels)
    rest = len(train.ids) - len(looked)
    train = take(train, looked)
    reason = refused(train.labels)
    chances = None if reason else out_of_fold(train.texts, train.labels, seed=seed)
    if chances is None:
        reason = reason or "the training texts have no words"
        return Flaw(name, 0, 0, [], f"Wrong labels were not looked for: {reason}.")
    rows = disbelieved(chances, train.labels)
    tail = f"of {len(looked):,} training labels look wrong to a linear model of the other texts"
    tail += f" ({rest:,} more are of classes too rare to look at)" if rest else ""
    if len(rows):
        given, seen = classes[train.labels[rows[0]]], classes[chances[rows[0]].argmax()]
        tail += f", first {train.ids[rows[0]]}: labelled {given}, reads like {seen}"
    ids = [train.ids[row] for row in rows]
    return Flaw(name, len(ids), len(looked), ids, f"{len(ids):,} {tail}.")


def doubtable(labels: np.ndarray) -> np.ndarray:
    """Return the rows of classes that have a text for each fold, ascending.

    Args:
        labels: int64, (T,), in [0, C).
    """
    return np.flatnonzero(np.bincount(labels, minlength=1)[labels] >= FOLDS)


def refused(labels: np.ndarray) -> str | None:
    """Return why labels cannot be doubted, None where they can.

    Args:
        labels: int64, (T,), in [0, C), of the `doubtable` rows.
    """
    if len(labels) > MOST:
        return f"there are {len(labels):,} training texts, more than {MOST:,}"
    if len(np.unique(labels)) < 2:
        return f"fewer than two classes have {FOLDS} training texts"
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
