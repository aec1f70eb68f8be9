"""Packed training rows in, predictors out that know how often words are, or follow one another, alone.

What an encoder must beat: one that does no better than the frequencies of words has learnt nothing yet,
and one that does no better than the word before has learnt nothing of its context.
"""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from bertbench.data.excerpts import evenly_spread
from bertbench.data.mapped import release
from bertbench.tally import Sum, Tally
from bertbench.types import IGNORE, Masked, Rows, Vocabulary

AT_ONCE = 2**21  # tokens whose words are counted at once
MOST = 2**24  # tokens whose successors are counted, evenly spread over the rows
DISCOUNT = 0.75  # off each count of a pair; usual, as in NLTK's nltk.lm.KneserNeyInterpolated


class References:
    """The unigram and the bigram predictor of some rows.

    The bigram predictor reads the token on the left as the encoder does, in the corrupted input: behind a
    [MASK], and behind what never stood there, it falls back to the unigram one. Its guess
    is what followed most often by count: the smoothing has no say in its accuracy.

    Source: absolute discounting, interpolated: Ney, Essen and Kneser (1994), "On structuring probabilistic
    dependences in stochastic language modelling", Computer Speech and Language 8(1),
    https://doi.org/10.1006/csla.1994.1001.

    Args:
        rows: Packed training documents; may be memory-mapped.
        vocabulary: Says which ids are special; they are never predicted.
    """

    def __init__(self, rows: Rows, vocabulary: Vocabulary) -> None:
        self.mask = vocabulary.mask
        # Float64, (V,); without padding.
        self.unigram, self.tokens = _frequencies(rows, vocabulary)
        self.pairs = _pair_counts(rows, vocabulary)  # (V, V): left, right
        self.totals = np.asarray(self.pairs.sum(1)).reshape(-1)  # (V,)
        self.kinds = np.diff(self.pairs.indptr)  # (V,): different successors
        self.likeliest = _likeliest(self.pairs, int(self.unigram.argmax()))  # (V,)

    def bigram(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the natural logarithm of P(right | left), float64, (N,).

        Args:
            left: int64, (N,): ids before; that of [MASK] says nothing.
            right: int64, (N,): ordinary ids.
        """
        if not len(left):  # scipy would make a matrix of nothing
            return np.zeros(0)
        unigram = np.exp(self.unigram.numpy()[right])
        known = (left != self.mask) & (self.totals[left] > 0)
        total = np.where(known, self.totals[left], 1)
        counts = np.asarray(self.pairs[left, right]).reshape(-1)
        kept = np.maximum(counts - DISCOUNT, 0) / total
        freed = DISCOUNT * self.kinds[left] / total
        return np.log(np.where(known, kept + freed * unigram, unigram))

    def tally(self, masked: Masked) -> Tally:
        """Return loss and accuracy of both over the predicted tokens of a batch."""
        predicted = masked.labels != IGNORE
        targets = masked.labels[predicted]
        return _unigram_tally(targets, self.unigram) | self._bigram_tally(masked, predicted)

    def _bigram_tally(self, masked: Masked, predicted: Tensor) -> Tally:
        before = masked.ids.roll(1, dims=1)
        before[:, 0] = self.mask  # nothing stands there
        left, right = (ids[predicted].numpy().copy() for ids in (before, masked.labels))
        said = np.where(left == self.mask, int(self.unigram.argmax()), self.likeliest[left])
        return {
            "bigram_loss": Sum(torch.tensor(-self.bigram(left, right).sum()), len(right)),
            "bigram_accuracy": Sum(torch.tensor((said == right).sum()), len(right)),
        }


def in_words(found: dict[str, float], name: str) -> str:
    """Say the loss and the accuracy of one predictor.

    Args:
        found: `X_loss`, nats a predicted token, and `X_accuracy` of each predictor X.
        name: Which.
    """
    return f"{found[f'{name}_loss']:.2f} nats ({found[f'{name}_accuracy']:.1%} right)"


def unigram_log_probabilities(rows: Rows, vocabulary: Vocabulary) -> Tensor:
    """Return log-probabilities (V,) of ordinary ids by their count in `rows`, plus one each."""
    return _frequencies(rows, vocabulary)[0]


def _frequencies(rows: Rows, vocabulary: Vocabulary) -> tuple[Tensor, int]:
    """Return those log-probabilities, and how many tokens the rows have beside padding."""
    counts = np.ones(vocabulary.size)
    step = _rows_at_once(rows)
    for start in range(0, len(rows.ids), step):
        part = rows.ids[start : start + step].reshape(-1)
        counts += np.bincount(part, minlength=vocabulary.size)
        release(rows.ids)
    tokens = rows.ids.size - int(counts[vocabulary.pad] - 1)
    counts[list(vocabulary.special)] = 0
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(counts / counts.sum())), tokens


def _rows_at_once(rows: Rows) -> int:
    return max(AT_ONCE // max(rows.ids.shape[1], 1), 1)


def _unigram_tally(targets: Tensor, unigram: Tensor) -> Tally:
    return {
        "unigram_loss": Sum(-unigram[targets].sum(), len(targets)),
        "unigram_accuracy": Sum((targets == unigram.argmax()).sum(), len(targets)),
    }


def _pair_counts(rows: Rows, vocabulary: Vocabulary) -> sparse.csr_matrix:
    """Count which ordinary token follows which token: float64, (V, V)."""
    size, length = vocabulary.size, max(rows.ids.shape[1], 1)
    special = np.zeros(size, dtype=bool)
    special[list(vocabulary.special)] = True
    chosen = evenly_spread(len(rows.ids), max(MOST // length, 1))
    counts = sparse.csr_matrix((size, size))
    step = _rows_at_once(rows)
    for start in range(0, len(chosen), step):
        ids = rows.ids[chosen[start : start + step]].astype(np.int64)
        left, right = ids[:, :-1].reshape(-1), ids[:, 1:].reshape(-1)
        ordinary = ~special[right]
        place = (left[ordinary], right[ordinary])
        ones = np.ones(len(place[0]))
        counts = counts + sparse.coo_matrix((ones, place), (size, size)).tocsr()
        release(rows.ids)
    return sparse.csr_matrix(counts)


def _likeliest(pairs: sparse.csr_matrix, commonest: int) -> np.ndarray:
    """Return the id that follows each id most often, int64, (V,); the commonest where none ever did."""
    found = np.asarray(pairs.argmax(1)).reshape(-1)
    return np.where(np.diff(pairs.indptr) > 0, found, commonest)
