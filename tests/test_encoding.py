"""Texts to windows: what each rule keeps, that none is too long, and how they are padded."""

import pytest
import toy

from bertbench.data.encoding import LONG_TEXT, Encoding, Window, head, head_tail, lengths, window
from bertbench.errors import UserError

every_rule = pytest.mark.parametrize("long_text", LONG_TEXT)


def encoding(tokenizer, long_text="head", max_length=16, positions=64):
    return Encoding(tokenizer, max_length=max_length, long_text=long_text, positions=positions)


def plain_ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def ids_of(encoded):
    """Return the ids of each window of each text."""
    return [[w.ids for w in text] for text in encoded]


def windows_of(*texts):
    """Return encoded texts of windows of these ids, each of one segment."""
    return [[Window(ids, len(ids)) for ids in text] for text in texts]


TEXTS = [*toy.corpus()[:12], "", "goal"]


def test_head_keeps_the_beginning():
    assert head(list(range(9)), 4) == [[0, 1, 2, 3]]


def test_head_tail_keeps_128_and_382_of_510():
    """Sun et al. (2019), section 5.3.1: the first 128 and the last 382 tokens."""
    assert head_tail(list(range(1000)), 510) == [[*range(128), *range(1000 - 382, 1000)]]


@pytest.mark.parametrize("room", range(6, 130, 7))
def test_head_tail_fills_the_room_with_a_beginning_and_an_end(room):
    ids = list(range(200))
    ((*kept,),) = head_tail(ids, room)
    assert len(kept) == room
    first = next(i for i, number in enumerate([*kept, -1]) if i != number)
    assert 0 < first < room / 2
    assert kept[first:] == ids[len(ids) - (room - first) :]


@pytest.mark.parametrize("count", [0, 1, 13, 14])
@every_rule
def test_a_text_that_fits_is_kept_whole(long_text, count):
    ids = list(range(count))
    assert LONG_TEXT[long_text](ids, 14) == [ids]


@pytest.mark.parametrize("count", [1, 13, 14, 15, 28, 29, 100])
def test_windows_lose_nothing_and_repeat_nothing(count):
    ids = list(range(count))
    pieces = window(ids, 14)
    assert [i for piece in pieces for i in piece] == ids
    assert [len(piece) for piece in pieces[:-1]] == [14] * (len(pieces) - 1)


@every_rule
@pytest.mark.parametrize("max_length", [8, 16, 33, 64])
def test_no_window_is_longer_than_max_length(tokenizer, long_text, max_length):
    encoded = encoding(tokenizer, long_text, max_length).encode(TEXTS)
    assert all(len(w.ids) <= max_length for text in encoded for w in text)
    assert max(lengths(encoded)) == max_length or max_length == 64


@every_rule
def test_every_text_has_windows_each_in_special_tokens(tokenizer, long_text):
    encoded = ids_of(encoding(tokenizer, long_text).encode(TEXTS))
    assert len(encoded) == len(TEXTS)
    for text in encoded:
        assert text
        for w in text:
            assert w[0] == tokenizer.cls_token_id
            assert w[-1] == tokenizer.sep_token_id
            assert not {tokenizer.cls_token_id, tokenizer.sep_token_id} & set(w[1:-1])


def test_windows_of_a_text_hold_all_its_tokens(tokenizer):
    encoded = ids_of(encoding(tokenizer, "window").encode(TEXTS))
    for text, windows in zip(TEXTS, encoded, strict=True):
        assert [i for w in windows for i in w[1:-1]] == plain_ids(tokenizer, text)
    assert max(map(len, encoded)) > 2


def test_head_of_a_text_is_its_first_tokens(tokenizer):
    for text, (kept,) in zip(TEXTS, ids_of(encoding(tokenizer).encode(TEXTS)), strict=True):
        assert kept[1:-1] == plain_ids(tokenizer, text)[:14]


def test_the_encoding_of_a_text_that_fits_is_the_tokenizers_own(tokenizer):
    text = "The match was new."
    ((ours,),) = ids_of(encoding(tokenizer, max_length=64).encode([text]))
    assert ours == tokenizer(text)["input_ids"]


def test_collate_pads_to_the_longest_and_names_the_owner(tokenizer):
    pad = tokenizer.pad_token_id
    batch = encoding(tokenizer).collate(windows_of([[7, 8, 9], [7, 9]], [[7, 8, 8, 9]], [[7, 9]]))
    assert batch.ids.tolist() == [
        [7, 8, 9, pad],
        [7, 9, pad, pad],
        [7, 8, 8, 9],
        [7, 9, pad, pad],
    ]
    assert batch.attention_mask.int().tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 0, 0],
    ]
    assert batch.owner.tolist() == [0, 0, 1, 2]


@every_rule
def test_collate_loses_no_token(tokenizer, long_text):
    rule = encoding(tokenizer, long_text)
    encoded = rule.encode(TEXTS)
    batch = rule.collate(encoded)
    back = [[] for _ in TEXTS]
    for ids, mask, owner in zip(batch.ids, batch.attention_mask, batch.owner, strict=True):
        back[owner].append(ids[mask].tolist())
        assert (ids[~mask] == tokenizer.pad_token_id).all()
    assert back == ids_of(encoded)


def test_length_of_a_text_is_that_of_its_longest_window():
    assert lengths(windows_of([[1, 2], [1, 2, 3]], [[1]])) == [3, 1]


@pytest.mark.parametrize("max_length", [65, 512, 7, 0, -1])
def test_a_length_the_encoder_cannot_take_is_refused(tokenizer, max_length):
    with pytest.raises(UserError, match=rf"task\.max_length={max_length} .*8 .*64"):
        encoding(tokenizer, max_length=max_length, positions=64)


@every_rule
def test_settings_make_the_same_encoding_again(tokenizer, long_text):
    first = encoding(tokenizer, long_text, 12)
    again = Encoding(tokenizer, positions=64, **first.settings())
    assert again.encode(TEXTS) == first.encode(TEXTS)
