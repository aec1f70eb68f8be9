"""Static vectors: counts, their information and its factors, each against the slow way."""

from itertools import pairwise

import numpy as np
import pytest

from bertbench.data import cooccurrence
from bertbench.data.cooccurrence import factors, near, ppmi
from bertbench.errors import UserError
from bertbench.types import Tokens, Vocabulary

VOCABULARY = Vocabulary(40, pad=0, cls=1, sep=2, mask=3, special=(0, 1, 2, 3, 4))
SETTINGS = {"window": 3, "smoothing": 0.75, "eigenvalues": 0.5, "seed": 0}


def corpus(*documents):
    """Lay out documents, lists of sentences of ids."""
    sentences = [sentence for document in documents for sentence in document]
    ids = np.array([i for sentence in sentences for i in sentence], dtype=np.uint16)
    return Tokens(
        ids,
        np.ones(len(ids), dtype=bool),
        np.cumsum([0, *map(len, sentences)], dtype=np.int64),
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
    )


@pytest.fixture(scope="module")
def tokens():
    """Some documents of random ids of a few frequencies; id 4 is unknown words, 39 never occurs."""
    draw = np.random.default_rng(7)
    weights = 1 / np.arange(1, 36)
    documents = [
        [
            (draw.choice(35, size, p=weights / weights.sum()) + 4).tolist()
            for size in draw.integers(1, 9, 6)
        ]
        for _ in range(60)
    ]
    return corpus(*documents)


def texts(tokens):
    """Return the ids of each document."""
    borders = tokens.sentences[tokens.documents]
    return [tokens.ids[a:b].tolist() for a, b in pairwise(borders)]


def slow_near(tokens, documents, window):
    counts = np.zeros((VOCABULARY.size, VOCABULARY.size))
    for text in (texts(tokens)[d] for d in documents):
        for i, a in enumerate(text):
            for j, b in enumerate(text):
                distance = abs(i - j)
                if 0 < distance <= window and not {a, b} & set(VOCABULARY.special):
                    counts[a, b] += (window + 1 - distance) / window
    return counts


def slow_ppmi(counts, smoothing):
    joint = counts / counts.sum()
    own = joint.sum(1)
    context = counts.sum(0) ** smoothing
    context /= context.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(joint / np.outer(own, context))
    return np.where(joint > 0, np.maximum(value, 0), 0)


@pytest.mark.parametrize("window", [1, 3, 50])
def test_neighbours_are_counted_by_distance_within_documents(tokens, window, monkeypatch):
    chosen = np.arange(0, 60, 2)
    monkeypatch.setattr(cooccurrence, "AT_ONCE", 100)  # several parts
    found = near(tokens, chosen, VOCABULARY, window=window).toarray()
    np.testing.assert_allclose(found, slow_near(tokens, chosen, window), rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_the_information_is_that_of_the_formula(tokens, smoothing):
    counts = near(tokens, np.arange(60), VOCABULARY, window=3)
    found = ppmi(counts, smoothing=smoothing).toarray()
    np.testing.assert_allclose(found, slow_ppmi(counts.toarray(), smoothing), atol=1e-6)


def test_the_factors_are_those_of_a_dense_decomposition(tokens):
    """Up to signs: their inner products are the same."""
    information = ppmi(near(tokens, np.arange(60), VOCABULARY, window=3), smoothing=0.75).toarray()
    left, sizes, _ = np.linalg.svd(information)
    wanted = left[:, :25] * np.sqrt(sizes[:25])
    found = factors(tokens, np.arange(60), VOCABULARY, width=25, **SETTINGS)
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-3)


def test_the_same_corpus_gives_the_same_bytes(tokens):
    first, second = (factors(tokens, np.arange(60), VOCABULARY, width=8, **SETTINGS) for _ in "ab")
    assert first.dtype == np.float32
    assert first.tobytes() == second.tobytes()


def test_special_and_unseen_tokens_have_no_vector(tokens):
    found = factors(tokens, np.arange(60), VOCABULARY, width=8, **SETTINGS)
    without = np.flatnonzero(~found.any(1))
    assert set(without) == {*VOCABULARY.special, 39}


def test_a_width_beyond_the_vocabulary_is_filled_with_zeros(tokens):
    found = factors(tokens, np.arange(60), VOCABULARY, width=64, **SETTINGS)
    assert found.shape == (40, 64)
    assert not found[:, 40:].any()


def test_tokens_of_like_contexts_are_near_each_other():
    """Ids 5 and 6 stand in one frame, 7 and 8 in another."""
    draw = np.random.default_rng(0)
    frames = [([10, 11], [12], (5, 6)), ([13, 14], [15], (7, 8))]
    documents = [
        [[*before, int(draw.choice(middle)), *after, int(draw.integers(16, 39))]]
        for before, after, middle in frames
        for _ in range(200)
    ]
    tokens = corpus(*documents)
    found = factors(tokens, np.arange(400), VOCABULARY, width=6, **SETTINGS)
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    like, unlike = unit[5] @ unit[6], max(unit[5] @ unit[7], unit[6] @ unit[8])
    assert like > 0.9 > 0.5 > unlike


def test_of_a_large_corpus_a_part_is_counted(tokens, monkeypatch):
    whole = near(tokens, np.arange(60), VOCABULARY, window=3).sum()
    monkeypatch.setattr(cooccurrence, "MOST", len(tokens.ids) // 4)
    part = near(tokens, np.arange(60), VOCABULARY, window=3).sum()
    assert 0.15 < part / whole < 0.4


def test_a_corpus_of_single_words_has_no_vectors():
    tokens = corpus([[5]], [[6]])
    assert not factors(tokens, np.arange(2), VOCABULARY, width=4, **SETTINGS).any()


@pytest.mark.parametrize(
    ("name", "value"), [("window", 0), ("smoothing", 0), ("smoothing", 1.5), ("eigenvalues", -1)]
)
def test_a_setting_out_of_its_range_is_named(tokens, name, value):
    with pytest.raises(UserError, match=f"embeddings.{name}={value}"):
        factors(tokens, np.arange(60), VOCABULARY, width=4, **SETTINGS | {name: value})
