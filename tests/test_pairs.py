"""SEGMENT-PAIR and SENTENCE-PAIR: what the two segments of a row are, and that nothing is lost."""

import functools
from typing import Any

import numpy as np
import pytest
from numbered import (
    CLS,
    PAD,
    SEP,
    corpus,
    document_of,
    every,
    held,
    rows_of,
    sentence_of,
    sizes,
    written,
)

from bertbench.data.packing import segment_pairs, sentence_pairs
from bertbench.errors import UserError
from bertbench.types import FOLLOWS, IGNORE, NOT

LENGTH = 64
ROOM = LENGTH - 3
PACKINGS = {"segments": segment_pairs, "sentences": sentence_pairs}
every_kind = pytest.mark.parametrize("kind", PACKINGS)
every_second = pytest.mark.parametrize("second", ["random", "swapped"])
every_share = pytest.mark.parametrize("share", [0, 0.3, 0.5, 1])
every_short = pytest.mark.parametrize("short", [0.0, 0.1])


@functools.cache  # nobody writes into it
def tokens():
    """Return about 100,000 tokens of random documents."""
    return corpus(sizes(0, 400))


def pack(kind, stream, documents=None, *, second, share=0.5, short=0.0, length=LENGTH):
    more: dict[str, Any] = {"short": short} if kind == "segments" else {}
    return rows_of(
        PACKINGS[kind], stream, documents, length=length, second=second, share=share, **more
    )


@functools.cache  # nobody writes into it
def packed_rows(kind, second, share=0.5, short=0.0):
    return pack(kind, tokens(), second=second, share=share, short=short)


@functools.cache  # nobody writes into it
def pairs_of(*settings):
    return held(packed_rows(*settings))


def own(pair, second):
    """Return where what a row holds of the document that is being read begins and ends."""
    ours = pair.first
    if second == "swapped" or pair.related == FOLLOWS:
        ours = np.concatenate([pair.first, pair.second])
    return int(ours.min()), int(ours.max()) + 1


def full(pair):
    """Tell whether a row may have lost tokens: all others hold whole sentences."""
    return len(pair.first) + len(pair.second) == ROOM


def cannot_be_cut(kind, begin):
    """Tell whether a row of full length that begins at this place has a single sentence."""
    sentence = sentence_of(tokens(), begin)
    if sentence + 1 in tokens().documents:
        return True
    return kind == "segments" and np.diff(tokens().sentences)[sentence] >= ROOM


@every_kind
@every_second
@every_short
def test_a_row_is_cls_first_sep_second_sep_and_then_only_padding(kind, second, short):
    rows = packed_rows(kind, second, 0.5, short)
    assert len(rows.ids) > 1000
    for row, begin, related in zip(rows.ids, rows.second, rows.related, strict=True):
        used = int((row != PAD).sum())
        separators = np.flatnonzero(row == SEP).tolist()
        assert row[0] == CLS
        assert CLS not in row[1:]
        assert (row[used:] == PAD).all()
        assert separators[0] > 1
        assert separators[-1] == used - 1
        if related == IGNORE:
            assert second == "swapped"
            assert begin == LENGTH
            assert len(separators) == 1
        else:
            assert begin == separators[0] + 1
            assert len(separators) == 2
            assert separators[1] > begin


@every_kind
@every_second
@every_short
def test_a_segment_is_a_stretch_of_one_document_cut_at_its_ends_alone(kind, second, short):
    borders = set(tokens().sentences.tolist())
    for pair in pairs_of(kind, second, 0.5, short):
        for segment in (pair.first, pair.second):
            if not len(segment):
                continue
            ends = segment[[0, -1]]
            assert (np.diff(segment) == 1).all()
            assert len(set(document_of(tokens(), ends))) == 1
            assert full(pair) or {ends[0], ends[1] + 1} <= borders
            assert kind == "segments" or len(set(sentence_of(tokens(), ends))) == 1


@every_kind
@every_second
@every_short
def test_what_follows_begins_where_the_first_segment_ends(kind, second, short):
    """Swapped segments follow each other too, the first after the second."""
    seen = 0
    for pair in pairs_of(kind, second, 0.5, short):
        before, after = pair.first, pair.second
        if pair.related == NOT and second == "swapped":
            before, after = after, before
        elif pair.related != FOLLOWS:
            continue
        seen += 1
        sentences = sentence_of(tokens(), np.array([before[-1], after[0]]))
        assert document_of(tokens(), before[0]) == document_of(tokens(), after[-1])
        assert before[-1] < after[0]
        assert full(pair) or before[-1] + 1 == after[0]
        assert kind == "segments" or np.diff(sentences) == 1
    assert seen > 700


@every_kind
def test_a_random_second_segment_is_of_another_document_each_as_often(kind):
    pairs = [pair for pair in pairs_of(kind, "random") if pair.related == NOT]
    ours = document_of(tokens(), np.array([pair.first[0] for pair in pairs]))
    others = document_of(tokens(), np.array([pair.second[0] for pair in pairs]))
    count = len(every(tokens()))
    assert (ours != others).all()
    assert len(set(others.tolist())) > 0.9 * count
    after = (count - 1 - ours) / (count - 1)  # how likely the other comes later in the corpus
    error = np.sqrt((after * (1 - after)).sum())
    assert abs((others > ours).sum() - after.sum()) < 4 * error


@every_kind
def test_swapped_means_that_the_second_segment_comes_before_the_first(kind):
    for pair in pairs_of(kind, "swapped"):
        if pair.related != IGNORE:
            assert (pair.related == NOT) == (pair.second[0] < pair.first[0])


@every_kind
@every_second
def test_with_a_share_of_one_no_pair_follows(kind, second):
    related = packed_rows(kind, second, 1).related
    assert set(related.tolist()) == ({NOT} if second == "random" else {NOT, IGNORE})


@every_kind
def test_with_a_share_of_nought_exactly_what_cannot_be_cut_has_a_random_second(kind):
    for pair in pairs_of(kind, "random", 0):
        assert (pair.related == NOT) == cannot_be_cut(kind, pair.first[0])


@every_kind
@every_share
def test_with_swapped_segments_exactly_what_cannot_be_cut_stands_alone(kind, share):
    for pair in pairs_of(kind, "swapped", share):
        begin = own(pair, "swapped")[0]
        assert (pair.related == IGNORE) == cannot_be_cut(kind, begin)
        assert (pair.related == IGNORE) == (not len(pair.second))


@every_kind
@every_second
@every_share
@every_short
def test_a_row_reads_on_where_the_row_before_stopped(kind, second, share, short):
    """What a random segment took the place of begins the next row; only full rows lose tokens."""
    end, before = 0, None
    for pair in pairs_of(kind, second, share, short):
        begin, next_end = own(pair, second)
        assert begin >= end
        assert begin == end or full(pair) or (before is not None and full(before))
        end, before = next_end, pair
    assert end == len(tokens().ids) or full(before)


@every_kind
@every_second
@every_share
@every_short
def test_where_no_row_is_too_long_every_token_is_read_exactly_once(kind, second, share, short):
    """Fourteen sentences of four tokens fill a row, whatever the cut and the random segment."""
    stream = corpus([[4] * (1 + 7 * i % 60) for i in range(200)])
    rows = pack(kind, stream, second=second, share=share, short=short, length=56 + 3)
    ours = [np.arange(*own(pair, second)) for pair in held(rows)]
    assert np.array_equal(np.concatenate(ours), np.arange(len(stream.ids)))


@every_kind
def test_the_hand_worked_example(kind):
    """Five words a row: two sentences fill it, and can be cut in one way only."""
    stream = written("10 11\n12 13 15\n14", "20")
    for share, first, related in (
        (0, [CLS, 10, 11, SEP, 12, 13, 15, SEP], FOLLOWS),
        (1, [CLS, 12, 13, 15, SEP, 10, 11, SEP], NOT),
    ):
        rows = pack(kind, stream, second="swapped", share=share, length=8)
        assert rows.ids.tolist() == [
            first,
            [CLS, 14, SEP, PAD, PAD, PAD, PAD, PAD],
            [CLS, 20, SEP, PAD, PAD, PAD, PAD, PAD],
        ]
        assert rows.second.tolist() == [4 + share, 8, 8]
        assert rows.related.tolist() == [related, IGNORE, IGNORE]
    rows = pack(kind, stream, np.array([1, 0]), second="random", share=1, length=8)
    assert rows.ids[1:].tolist() == [
        [CLS, 10, 11, SEP, 20, SEP, PAD, PAD],
        [CLS, 12, 13, 15, SEP, 20, SEP, PAD],
        [CLS, 14, SEP, 20, SEP, PAD, PAD, PAD],
    ]
    assert rows.related.tolist() == [NOT] * 4


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (kind, settings, message)
        for settings, message in (
            ({"second": "else"}, r"packing\.second=else must be random or swapped"),
            ({"share": -0.1}, r"packing\.share=-0\.1 must lie in \[0, 1\]"),
            ({"share": 1.1}, r"packing\.share=1\.1 must lie in \[0, 1\]"),
            ({"short": -0.1}, r"packing\.short=-0\.1 must lie in \[0, 1\]"),
            ({"short": 1.1}, r"packing\.short=1\.1 must lie in \[0, 1\]"),
            ({"documents": np.array([3])}, "two held out, but one part has 1: add documents"),
            ({"documents": np.arange(0)}, "two held out, but one part has 0: add documents"),
        )
        for kind in PACKINGS
        if kind == "segments" or "short" not in settings
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, message):
    with pytest.raises(UserError, match=message):
        pack(kind, tokens(), **{"second": "random", **settings})


@every_kind
def test_swapped_segments_need_no_other_document(kind):
    assert len(pack(kind, tokens(), np.array([3]), second="swapped").ids)
    assert pack(kind, tokens(), np.arange(0), second="swapped").ids.shape == (0, LENGTH)
