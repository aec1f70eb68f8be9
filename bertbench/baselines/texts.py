"""Texts or pairs in, predictions out: n-grams weighted by tf-idf under a linear model; no encoder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from bertbench import predictors
from bertbench.baselines.pairs import pair_features
from bertbench.predictors import Predictor
from bertbench.types import TaskData

SETTINGS, IDF = "tfidf.json", "idf.safetensors"
ANALYZERS = {"word": "word", "character": "char_wb"}  # scikit-learn's names


class Grams(NamedTuple):
    """What is counted."""

    analyzer: str  # a key of ANALYZERS
    longest: int  # n-gram, in words or characters; all shorter ones are counted too
    stop_words: str | None


class FittedTfidf:
    """Texts in, predictions of their kind out."""

    def __init__(
        self, vectorizer: TfidfVectorizer, linear: Predictor, grams: Grams, kind: str
    ) -> None:
        self.vectorizer, self.linear, self.grams, self.kind = vectorizer, linear, grams, kind

    def predict(self, texts: list[Any]) -> np.ndarray:
        """Return predictions (T, C) or (T,)."""
        return self.linear.predict(features(self.vectorizer, texts))

    @property
    def parameters(self) -> int:
        """Numbers of the linear model."""
        model: Any = self.linear
        return int(sum(np.size(part) for part in model))

    def save(self, folder: Path) -> None:
        """Write vocabulary, weights and settings into `folder`."""
        vocabulary = {word: int(i) for word, i in self.vectorizer.vocabulary_.items()}
        settings = self.grams._asdict() | {"kind": self.kind, "vocabulary": vocabulary}
        (folder / SETTINGS).write_text(json.dumps(settings, sort_keys=True), encoding="utf-8")
        save_file({"idf": self.vectorizer.idf_}, folder / IDF)
        self.linear.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "FittedTfidf":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        vocabulary, kind = settings.pop("vocabulary"), settings.pop("kind", "classification")
        grams = Grams(**settings)
        vectorizer = make_vectorizer(grams, vocabulary=vocabulary)
        vectorizer.idf_ = load_file(folder / IDF)["idf"]
        return cls(vectorizer, predictors.load(folder, kind), grams, kind)


def fit(
    grams: Grams, data: TaskData, metric: str, *, min_documents: int, penalties: Sequence[float]
) -> tuple[FittedTfidf, np.ndarray, dict[str, float]] | None:
    """Fit with one way of counting.

    Args:
        grams: What is counted.
        data: The task.
        metric: Validation chooses by it.
        min_documents: An n-gram counts if it stands in so many training texts.
        penalties: Values of C to choose from.

    Returns:
        What was fitted, its predictions on validation, and what was chosen; None where no word is left.
    """
    vectorizer = make_vectorizer(grams, min_df=min_documents)
    try:
        vectorizer.fit([part for text in data.train.texts for part in _parts(text)])
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None
    train, validation = (
        features(vectorizer, split.texts) for split in (data.train, data.validation)
    )
    linear, chosen = predictors.fit(data, metric, train, validation, penalties=penalties)
    fitted = FittedTfidf(vectorizer, linear, grams, data.kind)
    return fitted, linear.predict(validation), chosen


def features(vectorizer: TfidfVectorizer, texts: list[Any]) -> Any:
    """Return sparse features of texts (T, D), or of pairs (T, 4 D + 3)."""
    if not texts or isinstance(texts[0], str):
        return vectorizer.transform(texts)
    first, second = (vectorizer.transform([pair[side] for pair in texts]) for side in (0, 1))
    return pair_features(first, second)


def make_vectorizer(grams: Grams, **more: Any) -> TfidfVectorizer:
    """Return a vectorizer that has not counted yet."""
    shortest = 1 if grams.analyzer == "word" else 2
    return TfidfVectorizer(
        sublinear_tf=True,
        analyzer=ANALYZERS[grams.analyzer],
        ngram_range=(shortest, max(grams.longest, shortest)),
        stop_words=grams.stop_words,
        **more,
    )


def _parts(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text
