"""What an encoder must beat: predictors of word frequencies, and of what follows the word before."""

import math
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
import toy

from bertbench import references
from bertbench.data.batching import as_batch
from bertbench.masking.token import TokenMasking, evaluation_masking
from bertbench.references import DISCOUNT, References, unigram_log_probabilities
from bertbench.types import IGNORE, Masked, Rows, Vocabulary

SMALL = Vocabulary(9, pad=0, cls=1, sep=2, mask=3, special=(0, 1, 2, 3))


@pytest.fixture(scope="module")
def rows(tokenizer, vocabulary):
    return toy.rows(toy.task().train.texts, tokenizer, vocabulary)


@pytest.fixture(scope="module")
def known(rows, vocabulary):
    return References(rows, vocabulary)


def packed(*lines):
    """Return rows of ids, padded."""
    length = max(map(len, lines))
    ids = np.array(
        [[*line, *[SMALL.pad] * (length - len(line))] for line in lines], dtype=np.uint16
    )
    starts, second = np.ones(ids.shape, dtype=bool), np.full(len(ids), length, dtype=np.int32)
    return Rows(ids, starts, second, np.full(len(ids), IGNORE))


def ordinary(vocabulary):
    return np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)


def test_what_may_follow_adds_up_to_one_behind_every_token(known, vocabulary):
    """Behind special ones and those that nothing ever followed, too."""
    words = ordinary(vocabulary)
    for left in range(vocabulary.size):
        total = np.exp(known.bigram(np.full(len(words), left), words)).sum()
        assert math.isclose(total, 1, rel_tol=1e-12)


def slow_bigram(rows, vocabulary):
    """The same by dictionaries: a function of left and right."""
    pairs, words = defaultdict(Counter), Counter(ordinary(vocabulary).tolist())
    for line in rows.ids.tolist():
        words.update(i for i in line if i not in vocabulary.special)
        for left, right in pairwise(line):
            if right not in vocabulary.special:
                pairs[left][right] += 1
    total = sum(words.values())

    def probability(left, right):
        unigram = words[right] / total
        if left == vocabulary.mask or not pairs[left]:
            return unigram
        count = sum(pairs[left].values())
        freed = DISCOUNT * len(pairs[left]) / count
        return max(pairs[left][right] - DISCOUNT, 0) / count + freed * unigram

    def likeliest(left):
        if left == vocabulary.mask or not pairs[left]:
            return max(words, key=lambda i: (words[i], -i))
        return max(pairs[left], key=lambda i: (pairs[left][i], -i))

    return probability, likeliest


def test_the_bigram_predictor_equals_one_of_dictionaries(rows, known, vocabulary):
    probability, likeliest = slow_bigram(rows, vocabulary)
    masking = TokenMasking(
        vocabulary, seed=1, rate=0.4, rate_end=None, swap=0.2, keep=0.2, views=None
    )
    batch = as_batch(rows, np.arange(len(rows.ids)), vocabulary, epoch=0)
    masked = masking(batch)
    losses, hits = [], []
    for line, labels in zip(masked.ids.tolist(), masked.labels.tolist(), strict=True):
        for place, label in enumerate(labels):
            if label != IGNORE:
                losses.append(-math.log(probability(line[place - 1], label)))
                hits.append(likeliest(line[place - 1]) == label)
    assert (
        vocabulary.mask in masked.ids[:, :-1][masked.labels[:, 1:] != IGNORE]
    )  # on the left, too
    found = known.tally(masked)
    assert found["bigram_loss"].over == found["unigram_loss"].over == len(losses)
    assert math.isclose(float(found["bigram_loss"].total), sum(losses), rel_tol=1e-9)
    assert int(found["bigram_accuracy"].total) == sum(hits)


def test_where_each_word_says_the_next_the_bigram_predictor_is_right():
    rows = packed(*[[1, 4, 5, 6, 7, 8, 2]] * 50)
    known = References(rows, SMALL)
    ids = torch.tensor([[1, 4, 3, 6, 3, 3, 2]])
    labels = torch.tensor([[IGNORE, IGNORE, 5, IGNORE, 7, 8, IGNORE]])
    found = known.tally(Masked(ids, labels))
    right = [
        known.bigram(np.array([left]), np.array([word]))[0] for left, word in ((4, 5), (6, 7))
    ]
    assert min(np.exp(right)) > 0.98
    assert int(found["bigram_accuracy"].total) >= 2  # the third stands behind a [MASK]
    assert math.isclose(
        float(found["bigram_loss"].total), -sum(right) - float(known.unigram[8]), rel_tol=1e-9
    )


def test_nothing_stands_before_the_first_position():
    known = References(packed([4, 5, 2]), SMALL)
    labels = torch.tensor([[4, IGNORE, IGNORE]])
    found = known.tally(Masked(torch.tensor([[3, 5, 2]]), labels))
    assert math.isclose(float(found["bigram_loss"].total), -float(known.unigram[4]))


def test_of_a_large_corpus_an_evenly_spread_part_is_counted(monkeypatch):
    rows = packed(*[[1, 4, 5, 2], [1, 6, 7, 2]] * 40)
    monkeypatch.setattr(references, "MOST", 40)
    counted = References(rows, SMALL).pairs
    assert counted.sum() == 20  # two pairs in each of ten rows
    monkeypatch.setattr(references, "AT_ONCE", 3 * rows.ids.shape[1])  # several parts
    assert np.array_equal(References(rows, SMALL).pairs.toarray(), counted.toarray())


@pytest.mark.parametrize("at_once", [1, 100, 1000])
def test_the_parts_in_which_is_counted_change_nothing(
    at_once, rows, known, vocabulary, monkeypatch
):
    monkeypatch.setattr(references, "AT_ONCE", at_once)
    again = References(rows, vocabulary)
    assert torch.equal(again.unigram, known.unigram)
    assert np.array_equal(again.pairs.toarray(), known.pairs.toarray())


def test_no_masked_word_is_no_loss(known, rows, vocabulary):
    batch = as_batch(rows, np.arange(2), vocabulary, epoch=0)
    nothing = Masked(batch.ids, torch.full_like(batch.ids, IGNORE))
    assert all(
        value.over == 0 and float(value.total) == 0 for value in known.tally(nothing).values()
    )


def test_the_word_before_tells_more_than_frequencies(known, rows, vocabulary):
    batch = as_batch(rows, np.arange(len(rows.ids)), vocabulary, epoch=0)
    found = known.tally(evaluation_masking(vocabulary)(batch))
    assert float(found["bigram_loss"].mean) < float(found["unigram_loss"].mean)
    assert torch.equal(known.unigram, unigram_log_probabilities(rows, vocabulary))
