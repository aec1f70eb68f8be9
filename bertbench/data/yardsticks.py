"""A task in, what needs no reading reaches on its test split out: scores to hold others against."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertbench.data.lengths import count
from bertbench.data.sentences import sentences
from bertbench.types import Split, TaskData

AnswerScore = Callable[[Sequence[str], Sequence[Sequence[str]]], float]  # given answers, gold ones

REGULARISATION = 1.0  # of the regressions on lengths, which have few features


class Yardstick(NamedTuple):
    """A score that needs no reading."""

    measure: str  # its name in the kind's measures
    value: float
    words: str  # what was done for it


def measure(data: TaskData, *, answer_score: AnswerScore) -> dict[str, Yardstick]:
    """Return the yardsticks that this kind of task has, by name.

    Args:
        data: Its training split is learned from, its test split scored.
        answer_score: F1 over the words of given answers (T,) against gold ones, (T,) lists of texts; the
            empty answer says that there is none.
    """
    found = {
        "majority": majority(data, answer_score=answer_score),
        "length only": length_only(data),
    }
    return {name: yardstick for name, yardstick in found.items() if yardstick is not None}


def majority(data: TaskData, *, answer_score: AnswerScore) -> Yardstick | None:
    """Return what the commonest training label reaches; None for a kind that has no such thing.

    Args:
        data: See `measure`.
        answer_score: See `measure`.
    """
    if not len(data.train.ids) or not len(data.test.ids):
        return None
    if data.kind == "span":
        return _constant_answer(data.train, data.test, answer_score)
    rule = RULES.get(data.kind)
    return None if rule is None else rule(data.train.labels, data.test.labels, data.classes)


def length_only(data: TaskData) -> Yardstick | None:
    """Return what the lengths of a text alone reach; far above the majority, labels leak through them.

    A logistic regression, for numbers a ridge regression, on the logarithms of words and characters.

    Args:
        data: See `measure`; other kinds than classification and regression give None.
    """
    if data.kind not in ("classification", "regression"):
        return None
    if not len(data.train.ids) or not len(data.test.ids) or len(np.unique(data.train.labels)) < 2:
        return None
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    numeric = data.kind == "regression"
    learner = Ridge(REGULARISATION) if numeric else LogisticRegression(C=1 / REGULARISATION)
    model: Any = make_pipeline(StandardScaler(), learner)
    model.fit(_features(data.train.texts), data.train.labels)
    guesses = model.predict(_features(data.test.texts))
    if numeric:
        return _error(guesses, data.test.labels, "a ridge regression on the lengths")
    right = float(np.mean(guesses == data.test.labels))
    return Yardstick("accuracy", right, "a logistic regression on the lengths")


def _features(texts: Sequence[Any]) -> np.ndarray:
    """Return the logarithms of words and characters, float64, (T, 2), of pairs (T, 4)."""
    return np.log1p(np.stack(list(count(texts).values()), axis=1))


def _error(guesses: np.ndarray | float, labels: np.ndarray, words: str) -> Yardstick:
    return Yardstick("mae", float(np.mean(np.abs(guesses - labels))), words)


def _commonest_class(train: np.ndarray, test: np.ndarray, classes: list[str]) -> Yardstick:
    best = int(np.bincount(train).argmax())
    right = float(np.mean(test == best))
    return Yardstick("accuracy", right, f"always {classes[best]}")


def _commonest_set(train: np.ndarray, test: np.ndarray, classes: list[str]) -> Yardstick:
    sets, counts = np.unique(train, axis=0, return_counts=True)
    best = sets[counts.argmax()]
    named = ", ".join(name for name, has in zip(classes, best, strict=True) if has)
    right = float(np.mean((np.asarray(test) == best).all(1)))
    return Yardstick("subset_accuracy", right, f"always {named or 'no class'}")


def _mean(train: np.ndarray, test: np.ndarray, classes: list[str]) -> Yardstick:  # noqa: ARG001
    mean = float(np.mean(train))
    return _error(mean, test, f"always the mean, {mean:.4g}")


def _commonest_tag(train: list[Any], test: list[Any], classes: list[str]) -> Yardstick | None:
    learnt, gold = (
        np.array([tag for tags in found for tag in tags], dtype=np.int64)
        for found in (train, test)
    )
    if not len(learnt) or not len(gold):
        return None
    best = int(np.bincount(learnt).argmax())
    return Yardstick("word_accuracy", float(np.mean(gold == best)), f"always {classes[best]}")


def _constant_answer(train: Split, test: Split, score: AnswerScore) -> Yardstick:
    """Return what no answer, or each context's first sentence, reaches: whichever is better in training."""
    rules: dict[str, Callable[[Split], list[str]]] = {
        "never an answer": lambda split: [""] * len(split.ids),
        "the first sentence of the context": lambda split: [
            _first(text) for _, text in split.texts
        ],
    }
    scores = Counter({said: score(rule(train), _gold(train)) for said, rule in rules.items()})
    said = scores.most_common(1)[0][0]
    return Yardstick("f1", score(rules[said](test), _gold(test)), said)


def _first(context: str) -> str:
    return next(iter(sentences(context)), "")


def _gold(split: Split) -> list[list[str]]:
    return [[answer.text for answer in answers] for answers in split.labels]


RULES: dict[str, Callable[[Any, Any, list[str]], Yardstick | None]] = {
    "classification": _commonest_class,
    "multilabel": _commonest_set,
    "regression": _mean,
    "token": _commonest_tag,
}
