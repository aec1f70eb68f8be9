"""Pairs of segments: how often they follow, how long rows are, where they are cut, what they lose."""

from typing import Any

import numpy as np
import pytest
from numbered import corpus, held, rows_of, sizes
from scipy.stats import binom, chi2, chisquare

from bertbench.data.packing import segment_pairs, sentence_pairs
from bertbench.types import FOLLOWS, IGNORE, NOT

PACKINGS = {"segments": segment_pairs, "sentences": sentence_pairs}
LIKELY = 1e-3  # of p-values: below it a draw is not what it is said to be
every_kind = pytest.mark.parametrize("kind", PACKINGS)
every_second = pytest.mark.parametrize("second", ["random", "swapped"])


def pack(kind, stream, *, second, share, short=0.0, length=64):
    more: dict[str, Any] = {"short": short} if kind == "segments" else {}
    return rows_of(PACKINGS[kind], stream, length=length, second=second, share=share, **more)


def unlike(seed, count):
    """Return sizes of one to 90 tokens, many of them small."""
    return (np.random.default_rng(seed).integers(1, 31, count) ** 2 // 10 + 1).tolist()


def truncated(first, second, room):
    """Return how many tokens of two segments are left, as BERT's released code takes them away.

    `truncate_seq_pair` of https://github.com/google-research/bert/blob/master/create_pretraining_data.py
    takes one token at a time from the first segment where it is longer, else from the second.
    """
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@every_kind
@every_second
@pytest.mark.parametrize("single", [0, 3])
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_share_of_pairs_that_do_not_follow_holds(kind, second, single, share):
    """Also where a third of the documents are a single sentence, which nothing follows."""
    documents = sizes(0, 400)
    if single:
        documents = [d[:1] if i % single == 0 else d for i, d in enumerate(documents)]
    related = pack(kind, corpus(documents), second=second, share=share).related
    related = related[related != IGNORE]
    error = np.sqrt(share * (1 - share) / len(related))
    assert len(related) > 1000
    assert abs((related == NOT).mean() - share) < 4 * error


def test_single_sentences_are_made_up_for_as_soon_as_a_row_allows():
    """Three in ten documents are: without it, rows that do not follow would be ever more ahead."""
    documents = [[20] if i % 10 < 3 else [20] * 7 for i in range(500)]
    related = pack("segments", corpus(documents), second="random", share=0.5).related
    ahead = np.cumsum(np.where(related == NOT, 1, -1))
    assert abs(ahead).max() < 4 * np.sqrt(len(related))


@pytest.mark.parametrize("second", ["random", "swapped"])
@pytest.mark.parametrize("short", [0, 0.1, 0.5, 1])
def test_short_rows_are_as_many_as_said_and_of_each_length_as_many(short, second):
    """Sentences of one token: a row that is not at a document's end is as long as was drawn."""
    room = 16
    stream = corpus([[1] * 4000] * 10)
    rows = pack("segments", stream, second=second, share=0, short=short, length=room + 3)
    pairs = held(rows)
    drawn = [
        len(pair.first) + len(pair.second)
        for pair in pairs
        if pair.related == FOLLOWS and (pair.second[-1] + 1) % 4000
    ]
    assert all((p.first[-1] + 1) % 4000 == 0 for p in pairs if p.related != FOLLOWS)
    assert len(drawn) > 2000
    found = np.bincount(drawn, minlength=room + 1)
    expected = np.full(room + 1, short / (room - 1))  # each length from 2 to the longest
    expected[:2] = 0
    expected[room] += 1 - short
    assert found[expected == 0].sum() == 0
    expected, found = expected[expected > 0], found[expected > 0]
    assert chisquare(found, expected * len(drawn)).pvalue > LIKELY or len(found) == 1


@pytest.mark.parametrize(
    ("second", "share"), [("random", 0), ("random", 1), ("swapped", 0), ("swapped", 1)]
)
def test_a_row_is_cut_between_any_two_of_its_sentences_alike(second, share):
    """Six sentences of four tokens fill a row: the first segment has one to five."""
    stream = corpus([[4] * 600 for _ in range(12)])
    pairs = held(pack("segments", stream, second=second, share=share, length=24 + 3))
    if second == "swapped":
        pairs = [pair for pair in pairs if len(pair.first) + len(pair.second) == 24]
        assert len(pairs) == 1200
    else:  # a row near a document's end has fewer sentences to cut
        pairs = [pair for pair in pairs if pair.first[0] % 2400 < 2400 - 24]
    found = np.bincount([len(pair.first) // 4 for pair in pairs], minlength=6)
    assert len(found) == 6
    assert found[0] == 0
    assert chisquare(found[1:]).pvalue > LIKELY


@every_kind
def test_a_random_segment_begins_with_any_sentence_and_fills_the_row_if_it_can(kind):
    """Ten sentences of four tokens a document, six a row; of single sentences the second is one too."""
    stream = corpus([[4] * 10] * 300)
    pairs = held(pack(kind, stream, second="random", share=1, length=24 + 3))
    found = np.bincount([pair.second[0] % 40 // 4 for pair in pairs])
    assert len(found) == 10
    assert chisquare(found).pvalue > LIKELY
    for first, second, _ in pairs:
        room = 40 - second[0] % 40
        wanted = 4 if kind == "sentences" else 24 - len(first)
        assert len(second) == min(room, wanted)


@every_kind
@every_second
@pytest.mark.parametrize("room", [5, 24, 61])
def test_of_too_long_pairs_the_longer_segment_loses_tokens_as_in_the_released_code(
    kind, second, room
):
    """Documents of two sentences, the first of which does not fill a row by itself."""
    firsts = [1 + size % (room - 1) for size in unlike(0, 1500)]
    stream = corpus([list(both) for both in zip(firsts, unlike(1, 1500), strict=True)])
    rows = pack(kind, stream, second=second, share=0.5 * (second == "swapped"), length=room + 3)
    size = np.diff(stream.sentences)
    cut = 0
    for pair in held(rows):
        first, other = (
            size[np.searchsorted(stream.sentences, segment[0], side="right") - 1]
            for segment in (pair.first, pair.second)
        )
        assert (len(pair.first), len(pair.second)) == truncated(first, other, room)
        cut += first + other > room
    assert len(rows.ids) == 1500
    assert cut > 300


@every_kind
def test_random_segments_lose_tokens_as_in_the_released_code(kind):
    sizes_of = unlike(2, 3000)
    stream = corpus([[size] for size in sizes_of])
    pairs = held(pack(kind, stream, second="random", share=1, length=40 + 3))
    starts = stream.sentences
    cut = 0
    for first, pair in zip(sizes_of, pairs, strict=True):
        other = sizes_of[int(np.searchsorted(starts, pair.second[0], side="right")) - 1]
        assert (len(pair.first), len(pair.second)) == truncated(first, other, 40)
        cut += first + other > 40
    assert cut > 1000


@every_kind
@every_second
def test_tokens_are_lost_in_front_and_behind_alike(kind, second):
    """Each token by a toss of its own: binomial in every row, not only half of them in all."""
    stream = corpus([[100, 250]] * 1000)
    rows = pack(kind, stream, second=second, share=0, length=128 + 3)
    front, lost = [], []
    for pair in held(rows):
        for segment in (pair.first, pair.second):
            sentence = int(np.searchsorted(stream.sentences, segment[0], side="right")) - 1
            begin, end = stream.sentences[sentence : sentence + 2]
            front.append(segment[0] - begin)
            lost.append(end - begin - len(segment))
    front, lost = np.array(front), np.array(lost)
    front, lost = front[lost > 0], lost[lost > 0]
    assert len(lost) == 2000
    assert abs(front.sum() - lost.sum() / 2) < 4 * np.sqrt(lost.sum() / 4)
    spread = ((front - lost / 2) ** 2 / (lost / 4)).sum()
    assert LIKELY < chi2(len(lost)).cdf(spread) < 1 - LIKELY
    assert (
        (front >= binom.ppf(1e-7, lost, 0.5)) & (front <= binom.ppf(1 - 1e-7, lost, 0.5))
    ).all()


def test_a_swapped_sentence_alone_loses_only_what_does_not_fit():
    stream = corpus([[250]] * 400)
    rows = pack("segments", stream, second="swapped", share=0.5, length=64 + 3)
    front = [pair.first[0] % 250 for pair in held(rows)]
    assert all(len(pair.first) == 64 and pair.related == IGNORE for pair in held(rows))
    assert abs(np.mean(front) - 93) < 4 * np.sqrt(186 / 4 / 400)
