"""Each word of a sentence has one token that stands for it, in order and inside itself, or is cut off."""

import itertools

import numpy as np
import pytest
import torch
import toy_kinds
from conftest import PACKAGED, SHARED

from bertbench.data.aligned import Alignment, by_word, cut, lengths
from bertbench.data.encoding import LONG_TEXT
from bertbench.data.formats.opening import open_records
from bertbench.errors import UserError
from bertbench.linear import Linear
from bertbench.models.tagger import FittedTagger
from bertbench.probing.words import FittedWords, WordReader

every_kind = pytest.mark.parametrize("kind", PACKAGED)
every_rule = pytest.mark.parametrize("long_text", LONG_TEXT)
NASTY = [
    ["Hello", "🙂", "world", "👩\u200d💻", "🇩🇪", "🙂🙂🙂"],
    ["e\u0301clair", "Z\u0308u\u0308rich", "\u0301", "naïve", "क\u094d", "\u0bcd"],
    ["\x00", "a\x07b", "\x85x", "\x1b", "end"],
    ["x" * 500, "y", "é" * 300, "🙂" * 200, "z"],
    ["\u200b", "\u200d", "word", "\ufeff", "soft\u00adhyphen"],
    ["Ġ", "▁", "Ġa", "▁a", "a▁b", "aĠb", "##a", "Ċ"],
    ["日本語", "に", "東京", "가각힣", "한국어", "ไทย"],
    ["New York", "a\tb", "c\u00a0d", "\u3000e", "f\n"],
    ["[SEP]", "<s>", "</s>", "[MASK]", "<mask>", "[CLS]", "[PAD]", "[UNK]"],
    ["\u00a8", "\u00a0x", "\ufb01", "½", "\ufdfa", "²", "①", "Ⅷ"],
    ["“", "”", "...", "--", "@user", "#tag", "http://t.co/x?y=1", ":-)", "''"],
    ["İstanbul", "ß", "\u0149", "ΑΣ", "ǆ"],
    ["one"],
    ["", "a", "", ""],
    [],
]


def alignment(tokenizer, max_length=128, long_text="window"):
    return Alignment(tokenizer, max_length=max_length, long_text=long_text, positions=512)


def offsets_of(tokenizer, words):
    encoded = tokenizer(
        " ".join(words), add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    return encoded["input_ids"], encoded["offset_mapping"]


def check_sentence(tokenizer, words, sentence, *, room):
    """Check the laws of a sentence in windows."""
    ids, offsets = offsets_of(tokenizer, words)
    seen = [word for piece in sentence.pieces for word in piece.words]
    assert seen == list(range(len(words))) == list(range(sentence.words))
    at = np.cumsum([0, *(len(word) + 1 for word in words)])
    spans = {}  # of the tokens of each word, told by the last character they stand for
    for token, (begin, end) in zip(ids, offsets, strict=True):
        word = int(np.searchsorted(at[1:] - 1, max(end, 1)))
        spans.setdefault(word, []).append((token, begin, end))
    for piece in sentence.pieces:
        assert len(piece.ids) <= room + 2
        assert piece.places == sorted(set(piece.places))
        bounds = [*piece.places, len(piece.ids) - 1]
        for word, place, after in zip(piece.words, piece.places, bounds[1:], strict=True):
            own = spans.get(word)
            if own is None:  # the normaliser has dropped it
                assert piece.ids[place] == tokenizer.unk_token_id
                continue
            # Its own characters, if any token has them; else the blank before, which is its own too.
            inside = [row for row in own if row[2] > at[word]] or own
            token, begin, end = inside[0]
            assert piece.ids[place] == token
            assert max(at[word] - 1, 0) <= begin <= end <= at[word + 1] - 1
            assert piece.ids[place : min(place + len(inside), after)] == [
                row[0] for row in inside[: after - place]
            ]


@every_kind
@pytest.mark.parametrize("max_length", [16, 128])
def test_every_nasty_word_has_one_first_token_inside_itself(kind, max_length, packaged):
    rule = alignment(packaged[kind], max_length)
    for words, sentence in zip(NASTY, rule.encode(NASTY), strict=True):
        check_sentence(packaged[kind], words, sentence, room=max_length - 2)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not beside the project")
@every_kind
@pytest.mark.parametrize("name", ["wnut17", "ud_atis"])
def test_every_word_of_real_sentences_has_one_first_token_inside_itself(name, kind, packaged):
    rule = alignment(packaged[kind])
    files = [path for path in sorted((SHARED / name).iterdir()) if path.name != "LICENSE.txt"]
    sentences = [
        row.cells["tokens"] for path in files for row in open_records(path, key="task.train").rows
    ]
    assert len(sentences) == {"wnut17": 5690, "ud_atis": 5432}[name]
    for words, sentence in zip(sentences, rule.encode(sentences), strict=True):
        check_sentence(packaged[kind], words, sentence, room=126)


def test_a_blank_alone_does_not_stand_for_the_word_behind_it(packaged):
    """ "▁" and "Ġ" are tokens of their own before what is rare."""
    for kind, blank in (("unigram", "▁"), ("byte_bpe", "Ġ")):
        tokenizer = packaged[kind]
        [sentence] = alignment(tokenizer).encode([["the", "🙂"]])
        tokens = tokenizer.convert_ids_to_tokens(sentence.pieces[0].ids)
        assert tokens[2] == blank
        assert sentence.pieces[0].places == [1, 3]


@pytest.mark.parametrize(
    ("ends", "first"),
    [
        ([2, 5], [0, 0]),  # "ab" and " cd"
        ([1, 2, 3, 5], [0, 1]),  # "a" "b" " " "cd"
        ([2, 3], [0, 0]),  # the second word was dropped but for its blank
        ([0, 2, 5], [1, 0]),  # nothing at all stands before the text
    ],
)
def test_the_first_token_by_hand(ends, first):
    words = by_word(["ab", "cd"], list(range(len(ends))), ends, unknown=99)
    assert [word.first for word in words] == first
    assert [token for word in words for token in word.ids] == list(range(len(ends)))


def test_a_word_without_tokens_is_unknown():
    assert [word.ids for word in by_word(["a", "b"], [7], [1], unknown=99)] == [[7], [99]]


@every_kind
@every_rule
@pytest.mark.parametrize("max_length", [8, 13, 40])
def test_no_piece_is_too_long_and_each_has_words_in_order(kind, long_text, max_length, packaged):
    sentences = [["goal"] * n for n in range(1, 40, 6)] + [words for words in NASTY if words]
    for sentence in alignment(packaged[kind], max_length, long_text).encode(sentences):
        seen = [word for piece in sentence.pieces for word in piece.words]
        assert seen == sorted(set(seen))
        assert seen
        for piece in sentence.pieces:
            assert len(piece.ids) <= max_length
            assert all(0 < place < len(piece.ids) - 1 for place in piece.places)
        if long_text == "window":
            assert seen == list(range(sentence.words))
        else:
            assert len(sentence.pieces) == 1
            assert seen[0] == 0 or long_text == "head_tail"


@pytest.mark.parametrize("seed", range(20))
@every_rule
def test_cuts_of_random_sentences(long_text, seed):
    """Head keeps the first words, head and tail the first and the last, windows all; none is torn."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    counts = generator.integers(1, 9, size=int(generator.integers(1, 40))).tolist()
    room = int(generator.integers(8, 30))
    pieces = cut(counts, room, long_text)
    flat = [word for piece in pieces for word in piece]
    assert all(sum(counts[word] for word in piece) <= room for piece in pieces)
    everything = list(range(len(counts)))
    if long_text == "window" or sum(counts) <= room:
        assert flat == everything
        for piece, after in itertools.pairwise(pieces):  # the next word had no room
            assert sum(counts[word] for word in piece) + counts[after[0]] > room
    elif long_text == "head":
        assert flat == everything[: len(flat)]
        assert sum(counts[: len(flat) + 1]) > room
    else:
        gap = next(i for i, word in enumerate([*flat, -1]) if word != i)
        assert flat[gap:] == everything[len(counts) - (len(flat) - gap) :]
        assert sum(counts[word] for word in flat) > room - 2 * 9


def test_a_word_longer_than_a_window_is_cut_alone():
    assert cut([3, 50, 2], 10, "window") == [[0], [1], [2]]
    assert cut([50, 2], 10, "head") == [[0]]
    assert cut([50, 2], 10, "head_tail") == [[1]] or cut([50, 2], 10, "head_tail") == [[0]]


@every_rule
def test_collate_says_where_each_word_stands(long_text, tokenizer):
    sentences = [*toy_kinds.token().train.texts[:9], ["goal"] * 30]
    rule = Alignment(tokenizer, max_length=16, long_text=long_text, positions=64)
    encoded = rule.encode(sentences)
    batch = rule.collate(encoded)
    expected = [
        (number, word, piece.ids[place])
        for number, sentence in enumerate(encoded)
        for piece in sentence.pieces
        for word, place in zip(piece.words, piece.places, strict=True)
    ]
    ids = batch.ids[batch.row, batch.place]
    found = torch.stack([batch.sentence, batch.word, ids], dim=1).tolist()
    assert [tuple(row) for row in found] == expected
    assert batch.attention_mask.sum(1).tolist() == [
        len(piece.ids) for sentence in encoded for piece in sentence.pieces
    ]
    assert lengths(encoded) == [max(len(p.ids) for p in s.pieces) for s in encoded]
    again = Alignment(tokenizer, positions=64, **rule.settings())
    assert again.encode(sentences) == encoded


def test_words_that_were_cut_off_have_the_commonest_tag(checkpoint_folder, compute):
    settings = {"layer": -1, "max_length": 16, "compute": compute}
    sentences = [["goal"] * 30, ["the", "bank"]]
    tagger = FittedTagger(
        checkpoint_folder, classes=4, dropout=0.0, long_text="head", commonest=2, **settings
    )
    reader = WordReader(checkpoint_folder, long_text="head", **settings)
    states, read = reader.read(sentences)
    generator = np.random.Generator(np.random.Philox(key=0))
    linear = Linear(generator.normal(size=(4, states.shape[1])), np.zeros(4))
    probe = FittedWords(reader, linear, 2)
    kept = int(read[:30].sum())
    assert 0 < kept < 30
    assert read[:kept].all()
    assert read[30:].all()
    for fitted in (tagger, probe):
        long, short = fitted.predict(sentences)
        np.testing.assert_array_equal(long[kept:], np.tile([0, 0, 1, 0], (30 - kept, 1)))
        assert not (long[:kept] == [0, 0, 1, 0]).all(1).any()
        assert not (short == [0, 0, 1, 0]).all(1).any()


def test_windows_give_each_word_the_state_of_its_own_window(checkpoint_folder, compute, tokenizer):
    """As if each window were a sentence."""
    settings = {"layer": -1, "max_length": 16, "compute": compute, "long_text": "window"}
    reader = WordReader(checkpoint_folder, **settings)
    words = [word for sentence in toy_kinds.token().train.texts[:4] for word in sentence]
    [sentence] = reader.encoding.encode([words])
    assert len(sentence.pieces) > 2
    whole, read = reader.read([words])
    assert read.all()
    for piece in sentence.pieces:
        alone, _ = reader.read([[words[i] for i in piece.words]])
        np.testing.assert_allclose(whole[piece.words], alone, rtol=0, atol=1e-6)


def test_what_cannot_be_read_is_refused(tokenizer):
    for max_length in (7, 65):
        with pytest.raises(UserError, match=rf"task\.max_length={max_length} .*64"):
            Alignment(tokenizer, max_length=max_length, long_text="head", positions=64)
