"""Sentences as lists of words in, class probabilities for every word out: the baseline of token tasks.

Each word is told by what it looks like and what stands beside it, and classified on its own by a
multinomial logistic regression; nothing ties the class of a word to that of the one before.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from bertbench import strength
from bertbench.errors import UserError
from bertbench.linear import Linear, each_linear
from bertbench.metrics import log_loss

FILE = "features.json"
AFFIX = 4  # characters of the longest prefix and suffix
BESIDE = (-2, -1, 1, 2)  # the neighbours that are looked at
OUTSIDE = "\n"  # stands where a sentence has no neighbour; no word is a line's end

Labels = Sequence[np.ndarray]  # one array a sentence


def accuracy(labels: Labels, probabilities: Labels) -> float:
    """Return the share of words whose most probable class is right.

    Args:
        labels: int64, one (words of the sentence,) each.
        probabilities: float64, one (words of the sentence, C) each.
    """
    return float(np.mean(np.concatenate(probabilities).argmax(1) == np.concatenate(labels)))


class WordTagger(NamedTuple):
    """A fitted classifier of words in sentences."""

    features: dict[str, int]  # the column of each feature
    linear: Linear  # weights (C, D)

    @classmethod
    def fit(
        cls,
        train_texts: list[list[str]],
        train_labels: Labels,
        validation_texts: list[list[str]],
        validation_labels: Labels,
        *,
        classes: int,
        penalties: Sequence[float],
        score: Callable[[Labels, Labels], float] = accuracy,
        min_count: int = 2,
    ) -> tuple["WordTagger", float]:
        """Fit one regression a penalty, keep the best on validation; among equals, the lower log loss.

        The features are those of Ratnaparkhi (1996, https://aclanthology.org/W96-0213, table 1)
        without the tags before, and the shape of a word.

        Args:
            train_texts: The words of T sentences.
            train_labels: int64, one (words of the sentence,) each, in [0, C).
            validation_texts: The words of T' sentences.
            validation_labels: Likewise.
            classes: C.
            penalties: Values of scikit-learn's C, the inverse strength of the L2 penalty.
            score: Decides which is best, from labels and probabilities a sentence; higher is better.
            min_count: A feature counts if so many training words have it.

        Returns:
            The tagger and its C.

        Raises:
            UserError: `penalties` is empty or not positive, `min_count` is below 1, no feature is left,
                or all words are of one class.
        """
        strength.check(penalties)
        features = _vocabulary(train_texts, min_count)
        train, labels = _matrix(train_texts, features), np.concatenate(train_labels)
        validation, true = _matrix(validation_texts, features), np.concatenate(validation_labels)

        def judge(linear: Linear) -> tuple[float, float]:
            found = linear.predict(validation)
            value = score(validation_labels, _sentences(found, validation_texts))
            return value, -log_loss(true, found)

        models = each_linear(train, labels, classes=classes, penalties=penalties)
        linear, c = strength.best(models, judge)
        return cls(features, linear), c

    def predict(self, texts: list[list[str]]) -> list[np.ndarray]:
        """Return class probabilities, one float64 (words of the sentence, C) a sentence."""
        return _sentences(self.linear.predict(_matrix(texts, self.features)), texts)

    def save(self, folder: Path) -> None:
        """Write features and weights into `folder`."""
        (folder / FILE).write_text(json.dumps(list(self.features)), encoding="utf-8")
        self.linear.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "WordTagger":
        """Read what `save` wrote."""
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls({feature: column for column, feature in enumerate(kept)}, Linear.load(folder))


def shape(word: str) -> str:
    """Return a word's shape: X, x and d for capitals, other letters and digits, other signs as they are.

    A run of one sign is cut to two: "Obama" is Xxx, "2017-08" is dd-dd.
    """
    signs = (
        "X" if s.isupper() else "x" if s.isalpha() else "d" if s.isdigit() else s for s in word
    )
    return re.sub(r"(.)\1{2,}", r"\1\1", "".join(signs), flags=re.DOTALL)


def _vocabulary(texts: Iterable[list[str]], min_count: int) -> dict[str, int]:
    """Return the features that at least `min_count` words have, in the order of their names."""
    if min_count < 1:
        raise UserError(f"mode.min_count={min_count} must be at least 1")
    counts = Counter(chain.from_iterable(_described(texts)))
    kept = sorted(feature for feature, count in counts.items() if count >= min_count)
    if not kept:
        raise UserError(
            f"mode.min_count={min_count} leaves no feature of the training words: lower it"
        )
    return {feature: column for column, feature in enumerate(kept)}


def _sentences(rows: np.ndarray, texts: Sequence[list[str]]) -> list[np.ndarray]:
    """Cut the rows of all words into those of each sentence."""
    ends = np.cumsum([len(words) for words in texts], dtype=np.int64)
    return [rows[end - len(words) : end] for end, words in zip(ends, texts, strict=True)]


def _described(texts: Iterable[list[str]]) -> Iterator[list[str]]:
    """Yield the features of every word, sentence after sentence."""
    known: dict[str, list[str]] = {}
    for words in texts:
        lowered = [word.lower() for word in words]
        last = len(words) - 1
        for place, word in enumerate(words):
            if word not in known:
                known[word] = _alone(word)
            found = list(known[word])
            for step in BESIDE:
                inside = 0 <= place + step <= last
                found.append(f"{step:+d}={lowered[place + step] if inside else OUTSIDE}")
            if place == 0:
                found.append("first")
            if place == last:
                found.append("last")
            yield found


def _alone(word: str) -> list[str]:
    """Return the features of a word that its neighbours do not change; none twice."""
    low = word.lower()
    found = ["bias", f"word={low}", f"shape={shape(word)}"]
    for size in range(1, min(AFFIX, len(low)) + 1):
        found += [f"prefix={low[:size]}", f"suffix={low[-size:]}"]
    told = {
        "capitalised": word[:1].isupper(),
        "capitals": word.isupper(),
        "digits": any(sign.isdigit() for sign in word),
        "hyphen": "-" in word,
    }
    return found + [name for name, holds in told.items() if holds]


def _matrix(texts: Sequence[list[str]], features: dict[str, int]) -> csr_matrix:
    """Return which features each word has, float64 (words of all sentences, D)."""
    columns: list[int] = []
    ends = [0]
    for found in _described(texts):
        columns.extend(sorted(features[name] for name in found if name in features))
        ends.append(len(columns))
    shape = (len(ends) - 1, len(features))
    return csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)
