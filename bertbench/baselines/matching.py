"""Pairs of texts in, how well each matches out, by the words both have: nothing is learned but counts."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from bertbench.errors import UserError

SETTINGS, COUNTS = "matcher.json", "matcher.safetensors"
WORD = re.compile(r"\w+")

Pairs = Sequence[tuple[str, str]]  # query, candidate
Score = Callable[[np.ndarray, np.ndarray, list[str] | None], float]  # labels, matches, groups


class Collection(NamedTuple):
    """What is known of the texts that words were counted in."""

    texts: int
    length: float  # words a text, on average
    counts: dict[str, int]  # texts that have the word


class Shared(NamedTuple):
    """T pairs, and the words that both texts of one have, all pairs together: K of them."""

    pair: np.ndarray  # int64, (K,): whose they are
    seen: np.ndarray  # int64, (K,): texts of the collection that have the word
    first: np.ndarray  # int64, (K,): how often it stands in the query
    second: np.ndarray  # int64, (K,): and in the candidate
    norms: np.ndarray  # float64, (T,): product of the lengths of the two TF-IDF vectors
    lengths: np.ndarray  # float64, (T,): words of the candidate, in averages of the collection
    texts: int  # of the collection


class Matcher(NamedTuple):
    """A function of pairs whose rule was chosen on validation."""

    collection: Collection
    rule: tuple[float, float] | None  # BM25's k1 and b; None for the cosine

    @classmethod
    def fit(
        cls,
        train_pairs: Pairs,
        validation_pairs: Pairs,
        validation_labels: np.ndarray,
        groups: list[str] | None,
        *,
        score: Score,
        k1: Sequence[float] = (0.6, 0.9, 1.2, 1.6, 2.0),
        b: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    ) -> tuple["Matcher", dict[str, float]]:
        """Choose between the cosine of TF-IDF vectors and BM25; the cosine wins among equals.

        The values to choose from lie around those that Robertson and Zaragoza (2009) call reasonably
        good: k1 from 1.2 to 2, b from 0.5 to 0.8.

        Args:
            train_pairs: Words are counted in their candidates, each once.
            validation_pairs: T pairs.
            validation_labels: float64, (T,).
            groups: The query of each pair, (T,), if the metric asks for it.
            score: What decides: labels (T,), matches (T,) and groups in, higher is better.
            k1: What to choose from: how slowly a repeated word stops counting.
            b: What to choose from: how much of the candidate's length is discounted, in [0, 1].

        Returns:
            The matcher, and what was chosen: whether it is BM25, and its k1 and b.

        Raises:
            UserError: There are no words, or `k1` or `b` is out of range.
        """
        if min(k1, default=0) < 0 or not all(0 <= value <= 1 for value in b):
            raise UserError(
                f"mode.k1={list(k1)} must not be below 0, mode.b={list(b)} be in [0, 1]"
            )
        collection = collect([candidate for _, candidate in train_pairs])
        shared = _shared(collection, validation_pairs)
        rules = [None, *((x, y) for x in k1 for y in b)]
        qualities = [score(validation_labels, _matches(shared, rule), groups) for rule in rules]
        rule = rules[int(np.argmax(qualities))]
        chosen = {"chosen/bm25": float(rule is not None)}
        if rule is not None:
            chosen |= {"chosen/k1": rule[0], "chosen/b": rule[1]}
        return cls(collection, rule), chosen

    def predict(self, texts: Pairs) -> np.ndarray:
        """Return how well each pair matches, float64 (T,), whatever other pairs there are."""
        return _matches(_shared(self.collection, texts), self.rule)

    def save(self, folder: Path) -> None:
        """Write counts and rule into `folder`."""
        texts, length, counts = self.collection
        settings = {"rule": self.rule, "texts": texts, "length": length, "words": list(counts)}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        save_file({"counts": np.array([*counts.values()], dtype=np.int64)}, folder / COUNTS)

    @classmethod
    def load(cls, folder: Path) -> "Matcher":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        numbers = load_file(folder / COUNTS)["counts"].tolist()
        counts = dict(zip(settings["words"], numbers, strict=True))
        rule = settings["rule"]
        collection = Collection(settings["texts"], settings["length"], counts)
        return cls(collection, None if rule is None else (rule[0], rule[1]))


def tfidf_cosine(train_texts: Sequence[str], pairs: Pairs) -> np.ndarray:
    """Return the cosine of sublinear TF-IDF vectors, as scikit-learn weighs words; 0 without words.

    A word that no training text has is the rarest of all instead of none: it is often a name.

    Args:
        train_texts: What the words are weighed by; a text that comes twice counts once.
        pairs: T pairs.

    Returns:
        float64, (T,), in [0, 1].

    Raises:
        UserError: No training text has a word.
    """
    return _matches(_shared(collect(train_texts), pairs), None)


def bm25(
    train_candidates: Sequence[str], pairs: Pairs, *, k1: float = 1.2, b: float = 0.75
) -> np.ndarray:
    """Return BM25 (Robertson and Zaragoza 2009, https://doi.org/10.1561/1500000019, section 3).

    The sum over the words of the query of tf / (k1 (1 - b + b dl / avdl) + tf) times the word's weight,
    with 1 added within the logarithm of the weight, as Lucene does, so that no common word counts
    against a candidate; a word counts as often as the query has it. The constant factor k1 + 1 that
    some write is left out, as there.

    Args:
        train_candidates: What the words are weighed by; a text that comes twice counts once.
        pairs: T pairs of query and candidate.
        k1: How slowly a repeated word stops counting.
        b: How much of the candidate's length is discounted, in [0, 1].

    Returns:
        float64, (T,), at least 0.

    Raises:
        UserError: No training candidate has a word.
    """
    return _matches(_shared(collect(train_candidates), pairs), (k1, b))


def collect(texts: Sequence[str]) -> Collection:
    """Count in how many texts each word stands; a text that comes twice counts once.

    Raises:
        UserError: No text has a word.
    """
    distinct = list(dict.fromkeys(texts))
    found = [_words(text) for text in distinct]
    counts = Counter(word for words in found for word in words)
    if not counts:
        raise UserError("no training text has a word: there is nothing to match by")
    length = sum(words.total() for words in found) / len(distinct)
    return Collection(len(distinct), length, {word: counts[word] for word in sorted(counts)})


def _matches(shared: Shared, rule: tuple[float, float] | None) -> np.ndarray:
    return _cosine(shared) if rule is None else _okapi(shared, *rule)


def _cosine(shared: Shared) -> np.ndarray:
    idf = _idf(shared.texts, shared.seen)
    products = (1 + np.log(shared.first)) * (1 + np.log(shared.second)) * idf**2
    cosines = np.bincount(shared.pair, products, minlength=len(shared.norms)) / shared.norms
    return np.minimum(cosines, 1)  # rounding may lead above it


def _okapi(shared: Shared, k1: float, b: float) -> np.ndarray:
    saturation = k1 * (1 - b + b * shared.lengths[shared.pair])
    idf = np.log1p((shared.texts - shared.seen + 0.5) / (shared.seen + 0.5))
    gains = shared.first * idf * shared.second / (saturation + shared.second)
    return np.bincount(shared.pair, gains, minlength=len(shared.lengths))


def _shared(collection: Collection, pairs: Pairs) -> Shared:
    known = {text: _words(text) for text in dict.fromkeys(text for pair in pairs for text in pair)}
    norms = {text: _norm(collection, words) for text, words in known.items()}
    rows: list[tuple[int, int, int, int]] = []
    for place, pair in enumerate(pairs):
        query, candidate = known[pair[0]], known[pair[1]]
        rows += [
            (place, collection.counts.get(word, 0), query[word], candidate[word])
            for word in query
            if word in candidate
        ]
    return Shared(
        *np.array(rows, dtype=np.int64).reshape(-1, 4).T,
        norms=np.array([norms[first] * norms[second] for first, second in pairs]),
        lengths=np.array([known[text].total() for _, text in pairs]) / collection.length,
        texts=collection.texts,
    )


def _norm(collection: Collection, words: Counter[str]) -> float:
    """Return the length of a text's TF-IDF vector; 1 where it has no word."""
    counts = np.array([collection.counts.get(word, 0) for word in words])
    weights = (1 + np.log([*words.values()])) * _idf(collection.texts, counts)
    return float(np.linalg.norm(weights)) or 1.0


def _idf(texts: int, count: np.ndarray) -> np.ndarray:
    return np.log((1 + texts) / (1 + count)) + 1


def _words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower()))
