"""Words by offsets: examples by hand, each tokenizer's own marks, BERT's ideographs; letters by script."""

import re
import unicodedata

import numpy as np
import pytest
import toy
from transformers import BertTokenizer

from bertbench import tokenizer as tokenizers
from bertbench.data.scripts import SCRIPTS, count_letters, unspaced_share
from bertbench.data.words import code_points, number_words, word_starts

KINDS = {"wordpiece": 200, "byte_bpe": 400, "unigram": 75}  # and sizes of vocabularies
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def trained():
    """One tokenizer of each kind, which knows the characters of the worked examples."""
    texts = [*toy.corpus(), "Zürich don't 1,234.5! U.S. 日本語 🙂 naive café" * 3]
    return {
        kind: getattr(tokenizers, kind)(
            texts, vocab_size=size, **({} if kind == "byte_bpe" else {"lowercase": True})
        )
        for kind, size in KINDS.items()
    }


def begins_of(tokenizer, text):
    """Return tokens, and whether each begins a word."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    begins = np.array([begin for begin, _ in encoding.offsets], dtype=np.int64)
    return encoding.tokens, word_starts([text], begins, np.array([len(begins)])).tolist()


def grouped(tokenizer, text):
    """Return tokens, joined into words."""
    words = []
    for token, begins in zip(*begins_of(tokenizer, text), strict=True):
        words = [*words, token] if begins else [*words[:-1], words[-1] + token]
    decoder = tokenizer.backend_tokenizer.decoder
    if "ByteLevel" in str(decoder):
        return [decoder.decode([word]).strip() for word in words]
    return [word.replace("##", "").replace("▁", "") for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't go", ["don", "'", "t", "go"]),
        ("the U.S. market", ["the", "u", ".", "s", ".", "market"]),
        ("1,234.5!", ["1", ",", "234", ".", "5", "!"]),
        ("Zürich", ["zurich"]),
        ("Zu\u0308rich", ["zurich"]),
        ("日本語", ["日", "本", "語"]),
        ("the 🙂 song", ["the", "🙂", "song"]),
        ("go  to   it", ["go", "to", "it"]),
    ],
)
def test_tokens_make_up_the_words_that_were_worked_out_by_hand(trained, text, words):
    for kind in ("wordpiece", "unigram"):
        if kind == "unigram" and text == "日本語":
            continue  # may be one piece; see below
        assert grouped(trained[kind], text) == words
    cased = "".join(text.split())  # byte BPE keeps case and accents
    found = grouped(trained["byte_bpe"], text)
    assert len(found) == len(words)
    assert "".join(found) == cased


def test_tokens_by_hand():
    """(text, where its tokens begin, which begin a word), as each tokenizer gives them."""
    cases = [
        ("unhappily", [0, 2, 5], [1, 0, 0]),  # WordPiece: un ##happ ##ily
        ("a bcd", [0, 1, 2, 4], [1, 1, 0, 0]),  # BPE: a, Ġ, bc, d: the space is of what follows
        ("a bcd", [0, 1, 4], [1, 1, 0]),  # BPE: a, Ġbc, d; or Unigram: ▁a, ▁bc, d
        ("🙂🙂x", [0, 0, 0, 0, 1, 1, 1, 1, 2], [1, 0, 0, 0, 1, 0, 0, 0, 1]),  # bytes
        ("b", [0, 0], [1, 0]),  # Unigram: a lone ▁, then b
        ("½", [0, 0, 0], [1, 0, 0]),  # Unigram after NFKD: 1 / 2
        ("日本語", [0], [1]),  # one piece of several words begins one
        ("日本語", [0, 2], [1, 1]),
        ("don't", [0, 3], [1, 1]),  # BPE: don 't
        ("a_b2", [0, 1, 2, 3], [1, 0, 0, 0]),
        ("x\u00adtra", [0, 2], [1, 0]),  # a soft hyphen
        ("e\u0301te", [0, 1, 2], [1, 0, 0]),  # a combining accent
        ("❤\ufe0fa", [0, 1, 2], [1, 0, 1]),  # a variation selector is of its symbol
        ("a ", [0, 1], [1, 1]),
    ]
    for text, begins, expected in cases:
        found = word_starts([text], np.array(begins), np.array([len(begins)]))
        assert found.tolist() == [bool(i) for i in expected], text
    together = word_starts(
        [text for text, _, _ in cases] + [""],
        np.concatenate([begins for _, begins, _ in cases]),
        np.array([len(begins) for _, begins, _ in cases] + [0]),
    )
    assert together.tolist() == [bool(i) for _, _, expected in cases for i in expected]


@every_kind
def test_words_of_letters_are_those_of_the_tokenizers_own_marks(trained, kind):
    """`##` goes on in WordPiece; Ġ begins a word in byte BPE, and ▁ in Unigram."""
    own = {
        "wordpiece": lambda token: not token.startswith("##"),
        "byte_bpe": lambda token: token.startswith("Ġ"),
        "unigram": lambda token: token.startswith("▁"),
    }[kind]
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefgilmnoprstuy"))
    seen = set()
    for _ in range(200):
        words = ["".join(generator.choice(letters, generator.integers(1, 9))) for _ in range(6)]
        tokens, begins = begins_of(trained[kind], " ".join(words))
        assert begins == [number == 0 or own(token) for number, token in enumerate(tokens)]
        seen |= set(begins)
    assert seen == {True, False}


def test_ideographs_are_those_of_bert():
    """transformers keeps the code of google-research/bert."""
    bert = BertTokenizer(vocab={"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})
    normalise = bert.backend_tokenizer.normalizer.normalize_str
    for code in (0x33FF, 0x3400, 0x4DBF, 0x4DC0, 0x4DFF, 0x4E00, 0x9FFF, 0xA000, 0xF8FF, 0xF900,
                 0xFAD9, 0xFB00, 0x1F2FF, 0x20000, 0x2A6DF, 0x2A700, 0x2B734, 0x2B740, 0x2B81D,
                 0x2F7FF, 0x2F800, 0x2FA1D, 0x2FA20, 0x3042, 0x30A2, 0xAC00):  # fmt: skip
        padded = normalise(f"a{chr(code)}b").startswith("a ")
        number = number_words(code_points(f"a{chr(code)}b"))
        alone = number[0] != number[1] != number[2]
        is_letter = chr(code).isalpha()
        assert alone == padded or not is_letter, hex(code)


def test_letters_are_counted_by_script():
    texts = ["abc é Ж, 1!", "日本 カナ 한 ไทย", "", "ა"]
    found = [dict(zip(SCRIPTS, row, strict=True)) for row in count_letters(texts).tolist()]
    assert [{k: n for k, n in row.items() if n} for row in found] == [
        {"Latin": 4, "Cyrillic": 1},
        {"Han": 2, "Kana": 2, "Hangul": 1, "Thai": 3},
        {},
        {"other": 1},
    ]


NAMED = {"LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "ARABIC": "Arabic",
         "HEBREW": "Hebrew", "DEVANAGARI": "Devanagari", "CJK": "Han", "HIRAGANA": "Kana",
         "KATAKANA": "Kana", "HANGUL": "Hangul", "THAI": "Thai", "LAO": "Lao", "KHMER": "Khmer",
         "MYANMAR": "Myanmar", "TIBETAN": "Tibetan"}  # fmt: skip


def test_scripts_are_those_of_the_letters_names():
    """Unicode names a letter after its script: checked in the Basic Multilingual Plane."""
    letters = [chr(c) for c in range(0x10000) if unicodedata.category(chr(c))[0] == "L"]
    named = [NAMED.get(unicodedata.name(c, "?").split()[0].split("-")[0]) for c in letters]
    rows = count_letters(letters).argmax(axis=1)
    wrong = [
        c
        for c, name, row in zip(letters, named, rows.tolist(), strict=True)
        if name is not None and SCRIPTS[row] != name
    ]
    # Small capitals and subscripts of phonetic alphabets, which stand among Latin ones.
    assert [
        c for c in wrong if not re.search("SMALL CAPITAL|SUBSCRIPT", unicodedata.name(c))
    ] == []


def test_the_share_of_scripts_without_spaces():
    letters = dict.fromkeys(SCRIPTS, 0)
    assert unspaced_share({"letters": letters}) == 0
    assert unspaced_share({"letters": letters | {"Latin": 3}}) == 0
    assert unspaced_share({"letters": letters | {"Latin": 3, "Thai": 1, "Lao": 2}}) == 0.5
