"""The linear baseline: word n-grams weighted by tf-idf, logistic regression on top; no encoder."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from bertbench.errors import UserError
from bertbench.linear import Linear, fit_linear, rank
from bertbench.setting import Setting
from bertbench.types import Outcome, TaskData

SETTINGS, IDF = "tfidf.json", "idf.safetensors"


class Tfidf:
    """Sublinear tf-idf over word n-grams (Wang and Manning 2012, https://aclanthology.org/P12-2018).

    It reads each text whole, however long. Stop words and C are chosen on validation.

    Args:
        ngrams: Longest n-gram in words; all shorter ones are used too.
        min_documents: An n-gram counts if it stands in so many training texts.
        stop_words: What to choose from: null keeps every word, `english` drops scikit-learn's list.
        penalties: Values of C to choose from.

    Raises:
        UserError: `ngrams` or `min_documents` is below 1, or `stop_words` names no list.
    """

    def __init__(
        self,
        *,
        ngrams: int,
        min_documents: int,
        stop_words: Sequence[str | None],
        penalties: Sequence[float],
    ) -> None:
        if not stop_words or not {*stop_words} <= {None, "english"}:
            raise UserError(
                f"mode.stop_words={list(stop_words)} must be a list of null and english, at least one"
            )
        if ngrams < 1 or min_documents < 1:
            raise UserError(
                f"mode.ngrams={ngrams} and mode.min_documents={min_documents} must both be at least 1"
            )
        self.ngrams, self.min_documents, self.penalties = ngrams, min_documents, penalties
        self.stop_words = list(dict.fromkeys(stop_words))

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        started = time.perf_counter()
        tried = [self._try(words, data, setting) for words in self.stop_words]
        tries = [found for found in tried if found is not None]
        if not tries:
            raise UserError("TF-IDF finds no words in the training texts")
        ranks = [rank(setting.metric, data.validation.labels, found) for _, _, found in tries]
        best = max(range(len(tries)), key=ranks.__getitem__)
        fitted, c, validation = tries[best]
        stats = {
            "chosen/C": c,
            "chosen/stop_words": float(fitted.settings["stop_words"] is not None),
            "cost/train_seconds": time.perf_counter() - started,
            "cost/parameters": float(fitted.linear.weights.size + fitted.linear.bias.size),
        }
        return Outcome(fitted, validation, fitted.predict(data.test.texts), stats)

    def _try(
        self, stop_words: str | None, data: TaskData, setting: Setting
    ) -> tuple["FittedTfidf", float, np.ndarray] | None:
        """Fit with one list of stop words; return the classifier, its C and validation probabilities.

        None where no word is left.
        """
        settings = {"ngrams": self.ngrams, "stop_words": stop_words}
        vectorizer = _vectorizer(**settings, min_df=self.min_documents)
        try:
            train = vectorizer.fit_transform(data.train.texts)
        except ValueError:  # scikit-learn's word for an empty vocabulary
            return None
        validation = vectorizer.transform(data.validation.texts)
        linear, c = fit_linear(
            train,
            data.train.labels,
            validation,
            data.validation.labels,
            classes=len(data.classes),
            penalties=self.penalties,
            metric=setting.metric,
        )
        return FittedTfidf(vectorizer, linear, settings), c, linear.predict(validation)


class FittedTfidf:
    """Texts in, probabilities out."""

    def __init__(
        self, vectorizer: TfidfVectorizer, linear: Linear, settings: dict[str, Any]
    ) -> None:
        self.vectorizer, self.linear, self.settings = vectorizer, linear, settings

    def predict(self, texts: list[str]) -> np.ndarray:
        """Return float64 class probabilities, (T, C)."""
        return self.linear.predict(self.vectorizer.transform(texts))

    def save(self, folder: Path) -> None:
        """Write vocabulary, weights and settings into `folder`."""
        vocabulary = {word: int(i) for word, i in self.vectorizer.vocabulary_.items()}
        settings = self.settings | {"vocabulary": vocabulary}
        (folder / SETTINGS).write_text(json.dumps(settings, sort_keys=True), encoding="utf-8")
        save_file({"idf": self.vectorizer.idf_}, folder / IDF)
        self.linear.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "FittedTfidf":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        vocabulary = settings.pop("vocabulary")
        vectorizer = _vectorizer(**settings, vocabulary=vocabulary)
        vectorizer.idf_ = load_file(folder / IDF)["idf"]
        return cls(vectorizer, Linear.load(folder), settings)


def _vectorizer(*, ngrams: int, stop_words: str | None, **more: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, ngrams), stop_words=stop_words, **more
    )
