"""Answers and predictions as strings in, one number out: extractive question answering.

The rules are those of SQuAD: Rajpurkar et al. (2016), section 6.1, https://aclanthology.org/D16-1264,
and, for questions without an answer, Rajpurkar et al. (2018), https://aclanthology.org/P18-2124. That a
question has no answer is an empty list of answers; that a prediction is none is the empty string. A gold
answer that normalises to nothing is no answer, as in the script of version 2.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

Measure = Callable[[str, Sequence[str]], float]  # prediction, gold answers

ARTICLES = re.compile(r"\b(?:an?|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII alone
DIGITS = 9  # sums of F1 that agree to so many decimals differ by rounding alone


def normalise(text: str) -> str:
    """Return a text in lower case, without punctuation and articles, words one space apart.

    In this order: lower case; the 32 signs of ASCII's punctuation go, with nothing in their place;
    "a", "an" and "the" go, a space in their place; then white space. Source: Rajpurkar et al. (2016),
    section 6.1.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if a prediction equals one of the gold answers once both are normalised, else 0.

    Args:
        prediction: The empty string where the question is said to have no answer.
        answers: Gold answers, none where the question has no answer.
    """
    return float(normalise(prediction) in _targets(answers))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return F1 of the words of a prediction and a gold answer, in [0, 1]; the best over gold answers.

    Words are those of the normalised texts, as bags. An empty side gives 1 if both are empty, else 0.

    Args:
        prediction: The empty string where the question is said to have no answer.
        answers: Gold answers, none where the question has no answer.
    """
    words = normalise(prediction).split()
    return max(_overlap(words, target.split()) for target in _targets(answers))


MEASURES: dict[str, Measure] = {"f1": token_f1, "exact_match": exact_match}  # of one answer


def mean_exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Return `exact_match` averaged over questions, in [0, 1].

    Args:
        predictions: (T,).
        answers: Gold answers of each question, T lists.

    Raises:
        ValueError: The two do not fit, or there is no question.
    """
    return _mean(exact_match, predictions, answers)


def mean_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Return `token_f1` averaged over questions, in [0, 1].

    Args:
        predictions: (T,).
        answers: Gold answers of each question, T lists.

    Raises:
        ValueError: The two do not fit, or there is no question.
    """
    return _mean(token_f1, predictions, answers)


def best_threshold(
    no_answer_scores: np.ndarray,
    predictions: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    measure: Measure = token_f1,
) -> tuple[float, float]:
    """Find the threshold above which a question is best said to have no answer.

    A question whose score is above the threshold gets the empty string, any other its prediction; the
    threshold that gives the highest mean is taken, and the lowest of equals. It is one of the scores
    or, where it is best to answer nothing, the next number below all of them. Source: Rajpurkar et al.
    (2018) and its script; unlike there, questions of one score stand or fall together.

    Args:
        no_answer_scores: float64, (T,); higher where an answer is less likely.
        predictions: (T,): what is said if something is said.
        answers: Gold answers of each question, T lists.
        measure: `token_f1` or `exact_match`.

    Returns:
        The threshold, in the unit of the scores, and the mean it gives, in [0, 1].

    Raises:
        ValueError: The three do not fit, there is no question, or a score is not finite.
    """
    _check(predictions, answers)
    if no_answer_scores.shape != (len(predictions),):
        raise ValueError(
            f"no-answer scores {no_answer_scores.shape} and {len(predictions)} predictions do not fit: "
            "give each question one"
        )
    wrong = np.flatnonzero(~np.isfinite(no_answer_scores))
    if len(wrong):
        raise ValueError(
            f"the no-answer score of row {wrong[0]} is {no_answer_scores[wrong[0]]}: give finite numbers"
        )
    said = np.array([measure(told, gold) for told, gold in zip(predictions, answers, strict=True)])
    unsaid = np.array([measure("", gold) for gold in answers])
    levels, which = np.unique(no_answer_scores.astype(np.float64), return_inverse=True)
    thresholds = np.append(np.nextafter(levels[0], -np.inf), levels)
    changes = np.bincount(which, said - unsaid)
    totals = unsaid.sum() + np.append(0.0, np.cumsum(changes))
    best = int(np.argmax(np.round(totals, DIGITS)))  # the first, so the lowest
    kept = np.where(no_answer_scores > thresholds[best], unsaid, said)
    return float(thresholds[best]), float(np.mean(kept))


def _targets(answers: Sequence[str]) -> list[str]:
    """Return the normalised gold answers; the empty string where the question has none."""
    return [target for target in map(normalise, answers) if target] or [""]


def _overlap(words: list[str], target: list[str]) -> float:
    if not words or not target:
        return float(words == target)
    common = (Counter(words) & Counter(target)).total()
    return 2 * common / (len(words) + len(target))


def _mean(measure: Measure, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    _check(predictions, answers)
    scores = [measure(told, gold) for told, gold in zip(predictions, answers, strict=True)]
    return sum(scores) / len(scores)


def _check(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(answers) or not len(predictions):
        raise ValueError(
            f"{len(predictions)} predictions and {len(answers)} lists of gold answers do not fit: give "
            "as many, and one at least"
        )
