"""The linear baseline of each kind of task: counts of words under a linear model; no encoder."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench import strength
from bertbench.baselines import texts
from bertbench.baselines.answering import FittedPassages
from bertbench.baselines.matching import Matcher
from bertbench.baselines.passages import Passages
from bertbench.baselines.words import WordTagger
from bertbench.errors import UserError
from bertbench.kinds import find, rank
from bertbench.scores.answers import MEASURES
from bertbench.setting import Setting
from bertbench.types import Outcome, TaskData


class Tfidf:
    """What a task is worth without an encoder.

    Texts and pairs: sublinear tf-idf over n-grams of words or of characters (Wang and Manning 2012,
    https://aclanthology.org/P12-2018), chosen on validation, as stop words and C are. Ranks: that, the
    cosine or BM25. Words: features of each and its neighbours. Questions: the sentence of the largest
    overlap. It reads each text whole, however long.

    Args:
        ngrams: Longest n-gram in words; all shorter ones are used too.
        characters: Longest n-gram in characters, within words; null tries words alone.
        min_documents: An n-gram counts if it stands in so many training texts.
        stop_words: What to choose from: null keeps every word, `english` drops scikit-learn's list.
        penalties: Values of C to choose from.
        ridge: The same for regression, where the best C is smaller.

    Raises:
        UserError: `ngrams` or `min_documents` is below 1, `characters` below 2, `stop_words` is no list, or
            `ridge` is empty or not positive.
    """

    def __init__(
        self,
        *,
        ngrams: int,
        characters: int | None,
        min_documents: int,
        stop_words: Sequence[str | None],
        penalties: Sequence[float],
        ridge: Sequence[float],
    ) -> None:
        if not stop_words or not {*stop_words} <= {None, "english"}:
            raise UserError(
                f"mode.stop_words={list(stop_words)} must be a list of null and english, at least one"
            )
        if ngrams < 1 or min_documents < 1:
            raise UserError(
                f"mode.ngrams={ngrams} and mode.min_documents={min_documents} must both be at least 1"
            )
        if characters is not None and characters < 2:
            raise UserError(f"mode.characters={characters} must be null or at least 2")
        strength.check(ridge, "mode.ridge")
        self.min_documents, self.penalties, self.ridge = min_documents, penalties, ridge
        self.grams = [texts.Grams("word", ngrams, words) for words in dict.fromkeys(stop_words)]
        if characters is not None:
            self.grams.append(texts.Grams("character", characters, None))

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        ways = {"text": self._texts, "token": self._words, "span": self._spans}
        started = time.perf_counter()
        outcome = ways[find(data.kind).reading](data, setting)
        outcome.stats["cost/train_seconds"] = time.perf_counter() - started
        return outcome._replace(test=outcome.fitted.predict(data.test.texts))

    def _texts(self, data: TaskData, setting: Setting) -> Outcome:
        tried = [
            texts.fit(
                grams,
                data,
                setting.metric,
                min_documents=self.min_documents,
                penalties=self.ridge if data.kind == "regression" else self.penalties,
            )
            for grams in self.grams
        ]
        tries = [found for found in tried if found is not None]
        if not tries:
            raise UserError("TF-IDF finds no words in the training texts")
        ranks = [rank(data, setting.metric, found) for _, found, _ in tries]
        best = max(range(len(tries)), key=ranks.__getitem__)
        fitted, validation, chosen = tries[best]
        stats = chosen | {
            "chosen/stop_words": float(fitted.grams.stop_words is not None),
            "chosen/characters": float(fitted.grams.analyzer == "character"),
            "cost/parameters": float(fitted.parameters),
        }
        if data.kind == "ranking":
            matcher, rule = _matcher(data, setting)
            found = matcher.predict(data.validation.texts)
            if rank(data, setting.metric, found) > ranks[best]:
                return Outcome(matcher, found, None, rule | {"cost/parameters": 0.0})
        return Outcome(fitted, validation, None, stats)

    def _words(self, data: TaskData, setting: Setting) -> Outcome:
        measure = find(data.kind).measures[setting.metric]
        sign = 1 if measure.higher_is_better else -1

        def score(labels: Any, predictions: Any) -> float:
            split = data.validation._replace(labels=labels)
            return sign * measure.function(split, predictions, data.classes)

        tagger, c = WordTagger.fit(
            data.train.texts,
            data.train.labels,
            data.validation.texts,
            data.validation.labels,
            classes=len(data.classes),
            penalties=self.penalties,
            score=score,
        )
        parameters = tagger.linear.weights.size + tagger.linear.bias.size
        stats = {"chosen/C": c, "cost/parameters": float(parameters)}
        return Outcome(tagger, tagger.predict(data.validation.texts), None, stats)

    def _spans(self, data: TaskData, setting: Setting) -> Outcome:
        passages, chosen = Passages.fit(
            data.train.texts,
            data.train.labels,
            data.validation.texts,
            data.validation.labels,
            score=MEASURES[setting.metric],
        )
        stats = chosen | {"cost/parameters": float(len(passages.counts))}
        fitted = FittedPassages(passages)
        return Outcome(fitted, fitted.predict(data.validation.texts), None, stats)


def _matcher(data: TaskData, setting: Setting) -> tuple[Matcher, dict[str, float]]:
    """Choose between the cosine and BM25 by the metric of the task."""
    measure = find(data.kind).measures[setting.metric]

    def score(labels: np.ndarray, found: np.ndarray, groups: list[str] | None) -> float:
        split = data.validation._replace(labels=labels, groups=groups)
        return measure.function(split, found, data.classes)

    return Matcher.fit(
        data.train.texts,
        data.validation.texts,
        data.validation.labels,
        data.validation.groups,
        score=score,
    )
