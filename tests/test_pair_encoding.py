"""Pairs to windows: the tokenizer's own where they fit, the longer gives way, windows lose nothing."""

import itertools

import numpy as np
import pytest
import toy_kinds
from conftest import WEIGHTS
from tokenizers import processors
from transformers import BertweetTokenizer, PreTrainedTokenizerFast

from bertbench import tokenizer as tokenizers
from bertbench.data.encoding import LONG_TEXT, Encoding, shares, template
from bertbench.data.encoding import window as in_pieces

KINDS = ("wordpiece", "byte_bpe", "unigram", "double", "slow")
every_kind = pytest.mark.parametrize("kind", KINDS)
PAIRS = [
    ("The goal.", "Was it new?"),
    ("a", "b"),
    ("the market and the bank " * 3, "the song"),
    ("", "the song"),
    ("🙂 café", "日本語 ▁ Ġ"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, packaged):
    """One of each kind; one with RoBERTa's double separator; one without a fast implementation."""
    found = dict(packaged)
    double = tokenizers.load(WEIGHTS / "roberta_tiny").backend_tokenizer
    sep, cls = (("</s>", double.token_to_id("</s>")), ("<s>", double.token_to_id("<s>")))
    double.post_processor = processors.RobertaProcessing(sep, cls)
    names = {f"{name}_token": token for name, token in tokenizers.ROBERTA.items()}
    found["double"] = PreTrainedTokenizerFast(tokenizer_object=double, **names)
    folder = tmp_path_factory.mktemp("slow")
    words = ["the", "song", "was", "new", "goal", "bank", "and", "market"]
    (folder / "vocab.txt").write_text("".join(f"{word} 1\n" for word in words))
    merges = {  # from the left, letter by letter
        f"{word[:i]} {word[i : i + 1]}{'</w>' if i == len(word) - 1 else ''}"
        for word in words
        for i in range(1, len(word))
    }
    (folder / "bpe.codes").write_text("".join(f"{merge} 1\n" for merge in sorted(merges)))
    found["slow"] = BertweetTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))
    assert not found["slow"].is_fast
    return found


def encoding(tokenizer, max_length=64, long_text="head"):
    return Encoding(tokenizer, max_length=max_length, long_text=long_text, positions=128)


def plain(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def parts(rule, window):
    """Return the tokens of each text in a window."""
    before, between, after = rule.template.pair
    middle = window.second + len(between) - rule.template.middle
    end = len(window.ids) - len(after)
    assert window.ids[: len(before)] == before
    assert window.ids[middle - len(between) : middle] == between
    assert window.ids[end:] == after
    return window.ids[len(before) : middle - len(between)], window.ids[middle:end]


@every_kind
def test_a_pair_that_fits_is_encoded_as_the_tokenizer_does(kind, trained):
    tokenizer = trained[kind]
    rule = encoding(tokenizer)
    for pair, [window] in zip(PAIRS, rule.encode(PAIRS), strict=True):
        assert window.ids == tokenizer(*pair)["input_ids"]
    batch = rule.collate(rule.encode(PAIRS))
    own = [tokenizer(*pair, return_token_type_ids=True)["token_type_ids"] for pair in PAIRS]
    if any(1 in types for types in own):
        expected = [types + [0] * (batch.ids.shape[1] - len(types)) for types in own]
        assert batch.segment_ids.tolist() == expected
    else:  # a family that has no segments leaves these out
        assert kind in ("double", "slow")
    assert batch.segment_ids[~batch.attention_mask].sum() == 0


@every_kind
def test_a_text_that_fits_is_encoded_as_the_tokenizer_does(kind, trained):
    tokenizer = trained[kind]
    texts = [text for pair in PAIRS for text in pair]
    for text, [window] in zip(texts, encoding(tokenizer).encode(texts), strict=True):
        assert window.ids == tokenizer(text)["input_ids"]
        assert window.second == len(window.ids)


def test_templates(trained):
    cls, sep = 2, 3
    assert template(trained["wordpiece"]) == (([cls], [sep]), ([cls], [sep], [sep]), 1)
    assert template(trained["double"]) == (([0], [2]), ([0], [2, 2], [2]), 2)
    assert template(trained["slow"]) == (([0], [2]), ([0], [2, 2], [2]), 2)


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram", "double"])
@pytest.mark.parametrize("max_length", [9, 16, 31])
def test_the_longer_gives_way_as_in_transformers(kind, max_length, trained):
    """Its `longest_first` cuts token by token from the longer one: the same but for one token."""
    tokenizer = trained[kind]
    rule = encoding(tokenizer, max_length)
    generator = np.random.Generator(np.random.Philox(key=max_length))
    for _ in range(40):
        counts = generator.integers(1, 40, size=2)
        pair = tuple(" ".join(["goal"] * count) for count in counts)
        [[window]] = rule.encode([pair])
        own = tokenizer(*pair, truncation="longest_first", max_length=max_length)
        assert len(window.ids) == len(own["input_ids"])
        owners = own.sequence_ids(0)
        for side, part in enumerate(parts(rule, window)):
            assert abs(len(part) - owners.count(side)) <= 1
            assert part == plain(tokenizer, pair[side])[: len(part)]


@pytest.mark.parametrize("room", [5, 6, 13, 125])
def test_shares_fill_the_room_and_favour_neither(room):
    for first in range(2 * room + 3):
        for second in range(2 * room + 3):
            one, other = shares(first, second, room)
            assert min(one, other) >= 1
            if first + second <= room:
                assert one >= first
                assert other >= second
            else:
                assert one + other == room or 0 in (first, second)
                assert one >= min(first, room // 2)
                assert other >= min(second, room // 2)
                assert one <= max(first, 1)
                assert other <= max(second, 1)


@every_kind
@pytest.mark.parametrize("max_length", [10, 17, 64])
def test_windows_of_a_pair_read_each_part_with_each(kind, max_length, trained):
    tokenizer = trained[kind]
    rule = encoding(tokenizer, max_length, "window")
    texts = ["the song was new " * 9, "goal and bank " * 2, "market", ""]
    for first in texts:
        for second in texts:
            [windows] = rule.encode([(first, second)])
            assert all(len(found.ids) <= max_length for found in windows)
            ids = plain(tokenizer, first), plain(tokenizer, second)
            room = max_length - sum(map(len, rule.template.pair))
            cuts = map(in_pieces, ids, shares(len(ids[0]), len(ids[1]), room))
            assert [parts(rule, found) for found in windows] == list(itertools.product(*cuts))


@every_kind
@pytest.mark.parametrize("long_text", LONG_TEXT)
@pytest.mark.parametrize("max_length", [8, 11, 30])
def test_no_window_of_a_pair_is_too_long(kind, long_text, max_length, trained):
    rule = encoding(trained[kind], max_length, long_text)
    texts = ["the song was new " * 9, "goal", "", "bank and goal " * 3]
    pairs = [(first, second) for first in texts for second in texts]
    encoded = rule.encode(pairs)
    assert [len(windows) >= 1 for windows in encoded] == [True] * len(pairs)
    for windows in encoded:
        for window in windows:
            assert len(window.ids) <= max_length
            parts(rule, window)
        assert long_text == "window" or len(windows) == 1
    batch = rule.collate(encoded)
    assert batch.owner.tolist() == [n for n, w in enumerate(encoded) for _ in w]


def test_pairs_of_a_task_are_read_as_pairs(tokenizer):
    data = toy_kinds.pairs()
    rule = encoding(tokenizer, 64)
    batch = rule.collate(rule.encode(data.train.texts))
    assert (batch.segment_ids.sum(1) > 1).all()
    assert (batch.ids[batch.segment_ids.bool()] != tokenizer.pad_token_id).all()
    assert rule.encode([]) == []
