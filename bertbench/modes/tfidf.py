"""The linear baseline: word n-grams weighted by tf-idf, logistic regression on top; no encoder."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from bertbench.errors import UserError
from bertbench.linear import Linear, fit_linear
from bertbench.setting import Setting
from bertbench.types import Outcome, TaskData

SETTINGS, IDF = "tfidf.json", "idf.safetensors"


class Tfidf:
    """Sublinear tf-idf over word n-grams (Wang and Manning 2012, https://aclanthology.org/P12-2018).

    It reads each text whole, however long. C is chosen on validation.

    Args:
        ngrams: Longest n-gram in words; all shorter ones are used too.
        min_documents: An n-gram counts if it stands in so many training texts.
        penalties: Values of C to choose from.

    Raises:
        UserError: `ngrams` or `min_documents` is below 1.
    """

    def __init__(self, *, ngrams: int, min_documents: int, penalties: Sequence[float]) -> None:
        if ngrams < 1 or min_documents < 1:
            raise UserError(
                f"mode.ngrams={ngrams} and mode.min_documents={min_documents} must both be at least 1"
            )
        self.ngrams, self.min_documents, self.penalties = ngrams, min_documents, penalties

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        started = time.perf_counter()
        vectorizer = TfidfVectorizer(
            sublinear_tf=True, ngram_range=(1, self.ngrams), min_df=self.min_documents
        )
        try:
            train = vectorizer.fit_transform(data.train.texts)
        except ValueError as error:
            raise UserError(f"TF-IDF finds no words in the training texts ({error})") from error
        linear, c = fit_linear(
            train,
            data.train.labels,
            vectorizer.transform(data.validation.texts),
            data.validation.labels,
            classes=len(data.classes),
            penalties=self.penalties,
            metric=setting.metric,
        )
        fitted = FittedTfidf(vectorizer, linear, ngrams=self.ngrams)
        stats = {
            "chosen/C": c,
            "cost/train_seconds": time.perf_counter() - started,
            "cost/parameters": float(linear.weights.size + linear.bias.size),
        }
        return Outcome(
            fitted, fitted.predict(data.validation.texts), fitted.predict(data.test.texts), stats
        )


class FittedTfidf:
    """Texts in, probabilities out."""

    def __init__(self, vectorizer: TfidfVectorizer, linear: Linear, *, ngrams: int) -> None:
        self.vectorizer, self.linear, self.ngrams = vectorizer, linear, ngrams

    def predict(self, texts: list[str]) -> np.ndarray:
        """Return float64 class probabilities, (T, C)."""
        return self.linear.predict(self.vectorizer.transform(texts))

    def save(self, folder: Path) -> None:
        """Write vocabulary, weights and settings into `folder`."""
        vocabulary = {word: int(i) for word, i in self.vectorizer.vocabulary_.items()}
        settings = {"ngrams": self.ngrams, "vocabulary": vocabulary}
        (folder / SETTINGS).write_text(json.dumps(settings, sort_keys=True), encoding="utf-8")
        save_file({"idf": self.vectorizer.idf_}, folder / IDF)
        self.linear.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "FittedTfidf":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            ngram_range=(1, settings["ngrams"]),
            vocabulary=settings["vocabulary"],
        )
        vectorizer.idf_ = load_file(folder / IDF)["idf"]
        return cls(vectorizer, Linear.load(folder), ngrams=settings["ngrams"])
