"""Static vectors: counts, their information and its factors, each against the slow way."""

from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bertbench.data import cooccurrence
from bertbench.data import excerpts as excerpting
from bertbench.data.cooccurrence import factors, near, ppmi
from bertbench.data.excerpts import excerpts
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


def test_neighbours_do_not_reach_into_the_next_document():
    """One document of four tokens, or two of two: the pair across the border is lost."""
    whole, halves = corpus([[5, 6, 7, 8]]), corpus([[5, 6]], [[7, 8]])
    found = [near(t, np.arange(len(texts(t))), VOCABULARY, window=1) for t in (whole, halves)]
    assert [counts[6, 7] for counts in found] == [1, 0]
    assert [counts[5, 6] for counts in found] == [counts[7, 8] for counts in found] == [1, 1]


def test_a_special_token_counts_as_distance_but_not_as_neighbour():
    found = near(corpus([[5, 4, 6]]), np.arange(1), VOCABULARY, window=2)
    assert found[5, 6] == found[6, 5] == 0.5  # two apart
    assert found.sum() == 1


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_factors_are_those_of_a_dense_decomposition(tokens, power):
    """Up to signs: their inner products are the same. With power 1 they are those of the matrix's rows."""
    information = ppmi(near(tokens, np.arange(60), VOCABULARY, window=3), smoothing=0.75).toarray()
    left, sizes, _ = np.linalg.svd(information)
    assert sizes[24] > 1.001 * sizes[25]  # or the best approximation is not one
    wanted = left[:, :25] * sizes[:25] ** power
    settings = SETTINGS | {"eigenvalues": power}
    found = factors(tokens, np.arange(60), VOCABULARY, width=25, **settings)
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-3)


def test_factors_and_their_contexts_are_the_best_approximation(tokens):
    """No matrix of that rank is nearer: Eckart and Young (1936)."""
    information = ppmi(near(tokens, np.arange(60), VOCABULARY, window=3), smoothing=0.75).toarray()
    whole = SETTINGS | {"eigenvalues": 0.0}  # the left singular vectors alone
    basis = factors(tokens, np.arange(60), VOCABULARY, width=10, **whole)
    missed = np.linalg.norm(information - basis @ (basis.T @ information))
    sizes = np.linalg.svd(information, compute_uv=False)
    assert missed == pytest.approx(np.sqrt((sizes[10:] ** 2).sum()), rel=1e-3)


def test_the_same_corpus_gives_the_same_bytes(tokens):
    first, second = (factors(tokens, np.arange(60), VOCABULARY, width=8, **SETTINGS) for _ in "ab")
    assert first.dtype == np.float32
    assert first.tobytes() == second.tobytes()


def test_the_number_of_threads_changes_no_bit():
    """Large enough for the linear algebra to share it out among threads."""
    draw, size = np.random.default_rng(0), 500
    weights = 1 / np.arange(1, size - 4)
    documents = [
        [(draw.choice(size - 5, 60, p=weights / weights.sum()) + 5).tolist()] for _ in range(500)
    ]
    tokens, vocabulary = corpus(*documents), VOCABULARY._replace(size=size)
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            found.append(factors(tokens, np.arange(500), vocabulary, width=64, **SETTINGS))
    assert found[0].tobytes() == found[1].tobytes()


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


def test_what_is_counted_are_the_excerpts(tokens, monkeypatch):
    """Also where a corpus is small: of a document that is long its beginning."""
    monkeypatch.setattr(excerpting, "LONGEST", 12)
    monkeypatch.setattr(cooccurrence, "MOST", len(tokens.ids))
    chosen = np.arange(60)
    some, parts = excerpts(tokens, chosen, len(tokens.ids))
    assert len(parts) == 60
    found = near(tokens, chosen, VOCABULARY, window=3).toarray()
    np.testing.assert_allclose(found, slow_near(some, parts, 3), rtol=1e-12)
    assert found.sum() < slow_near(tokens, chosen, 3).sum()


def test_a_corpus_of_single_words_has_no_vectors():
    tokens = corpus([[5]], [[6]])
    assert not factors(tokens, np.arange(2), VOCABULARY, width=4, **SETTINGS).any()


@pytest.mark.parametrize(
    ("name", "value"), [("window", 0), ("smoothing", 0), ("smoothing", 1.5), ("eigenvalues", -1)]
)
def test_a_setting_out_of_its_range_is_named(tokens, name, value):
    with pytest.raises(UserError, match=f"embeddings.{name}={value}"):
        factors(tokens, np.arange(60), VOCABULARY, width=4, **SETTINGS | {name: value})
