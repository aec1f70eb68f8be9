"""A task in, what needs no reading reaches on its test split out: scores to hold others against."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertbench.data.lengths import count
from bertbench.data.sentences import sentences
from bertbench.types import Guess, Split, TaskData

# The value of one of the kind's measures: its name, a split, predictions as the kind has them.
Score = Callable[[str, Split, Any], float]

REGULARISATION = 1.0  # of the regressions on lengths, which have few features


class Yardstick(NamedTuple):
    """A score that needs no reading."""

    measure: str  # its name in the kind's measures
    value: float
    words: str  # what was done for it


class Guessing(NamedTuple):
    """What is predicted of the test split without reading."""

    measure: str  # that it is made for
    guesses: Any  # as the kind has predictions
    words: str  # what was done for it


def measure(data: TaskData, *, score: Score, fitting: Collection[str]) -> dict[str, Yardstick]:
    """Return the yardsticks that this kind of task has, by name; the first of a rule has the rule's.

    Args:
        data: Its training split is learned from, its test split scored.
        score: Of a measure of the kind.
        fitting: Measures that fit the task's classes; others are left out.
    """
    if not len(data.train.ids) or not len(data.test.ids):
        return {}
    found: dict[str, Yardstick] = {}
    for rule, made in (("majority", majority(data, score)), ("length only", length_only(data))):
        for place, (name, guesses, words) in enumerate(made):
            title = f"{rule} in {name.replace('_', ' ')}" if place else rule
            if name in fitting:
                found[title] = Yardstick(name, score(name, data.test, guesses), words)
    return found


def majority(data: TaskData, score: Score) -> list[Guessing]:
    """Return what the commonest training label says of the test split; nothing of a kind without one.

    Args:
        data: See `measure`.
        score: See `measure`.
    """
    if data.kind == "span":
        return _constant_answer(data.train, data.test, score)
    rule = RULES.get(data.kind)
    return [] if rule is None else rule(data.train.labels, data.test.labels, data.classes)


def length_only(data: TaskData) -> list[Guessing]:
    """Return what the lengths of a text alone say; far above the majority, labels leak through them.

    A logistic regression, for numbers a ridge regression, on the logarithms of words and characters.

    Args:
        data: See `measure`; other kinds than classification and regression give nothing.
    """
    if data.kind not in ("classification", "regression") or len(np.unique(data.train.labels)) < 2:
        return []
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    numeric = data.kind == "regression"
    learner = Ridge(REGULARISATION) if numeric else LogisticRegression(C=1 / REGULARISATION)
    model: Any = make_pipeline(StandardScaler(), learner)
    model.fit(_features(data.train.texts), data.train.labels)
    guesses = model.predict(_features(data.test.texts))
    if numeric:
        words = "a ridge regression on the lengths"
        return [Guessing(name, guesses, words) for name in ("mae", "spearman")]
    words, chosen = "a logistic regression on the lengths", np.eye(len(data.classes))[guesses]
    return [Guessing(name, chosen, words) for name in ("accuracy", "macro_f1")]


def _features(texts: Sequence[Any]) -> np.ndarray:
    """Return the logarithms of words and characters, float64, (T, 2), of pairs (T, 4)."""
    return np.log1p(np.stack(list(count(texts).values()), axis=1))


def _commonest_class(train: np.ndarray, test: np.ndarray, classes: list[str]) -> list[Guessing]:
    best = int(np.bincount(train).argmax())
    chosen = np.tile(np.eye(len(classes))[best], (len(test), 1))
    names = ("accuracy", "macro_f1")
    return [Guessing(name, chosen, f"always {classes[best]}") for name in names]


def _commonest_set(train: np.ndarray, test: np.ndarray, classes: list[str]) -> list[Guessing]:
    sets, counts = np.unique(train, axis=0, return_counts=True)
    best = sets[counts.argmax()]
    named = ", ".join(name for name, has in zip(classes, best, strict=True) if has)
    chosen = np.tile(best.astype(np.float64), (len(test), 1))
    names = ("subset_accuracy", "micro_f1")
    return [Guessing(name, chosen, f"always {named or 'no class'}") for name in names]


def _middle(train: np.ndarray, test: np.ndarray, classes: list[str]) -> list[Guessing]:  # noqa: ARG001
    """Return the constants that the two errors are least for: the median, and the mean."""
    middles = (("mae", "median", float(np.median(train))), ("rmse", "mean", float(np.mean(train))))
    return [
        Guessing(name, np.full(len(test), value), f"always the {word}, {value:.4g}")
        for name, word, value in middles
    ]


def _commonest_tag(train: list[Any], test: list[Any], classes: list[str]) -> list[Guessing]:
    learnt = np.array([tag for tags in train for tag in tags], dtype=np.int64)
    if not len(learnt) or not any(map(len, test)):
        return []
    best = int(np.bincount(learnt).argmax())
    chosen = [np.tile(np.eye(len(classes))[best], (len(tags), 1)) for tags in test]
    names = ("word_accuracy", "span_f1")
    return [Guessing(name, chosen, f"always {classes[best]}") for name in names]


def _constant_answer(train: Split, test: Split, score: Score) -> list[Guessing]:
    """Return no answer, or each context's first sentence: whichever is better in training."""
    rules: dict[str, Callable[[Split], list[str]]] = {
        "never an answer": lambda split: [""] * len(split.ids),
        "the first sentence of the context": lambda split: [
            _first(text) for _, text in split.texts
        ],
    }
    scores = Counter(
        {said: score("f1", train, _guesses(rule(train))) for said, rule in rules.items()}
    )
    said = scores.most_common(1)[0][0]
    return [Guessing("f1", _guesses(rules[said](test)), said)]


def _guesses(answers: list[str]) -> list[Guess]:
    return [Guess(answer, answer, 0.0, 0.0) for answer in answers]


def _first(context: str) -> str:
    return next(iter(sentences(context)), "")


RULES: dict[str, Callable[[Any, Any, list[str]], list[Guessing]]] = {
    "classification": _commonest_class,
    "multilabel": _commonest_set,
    "regression": _middle,
    "token": _commonest_tag,
}
