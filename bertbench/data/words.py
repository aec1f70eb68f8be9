"""Texts and where their tokens begin in; which tokens begin a word out, for any fast tokenizer.

Offsets into the text tell what a tokenizer's own marks (`##`, a leading space) tell each in its way.
"""

import functools
import sys
import unicodedata

import numpy as np

SPACE, LETTER, MARK, ALONE = range(4)  # what a character is to the words around it

# Ideographs, each a word of its own: `_is_chinese_char` of Devlin et al. (2019),
# https://github.com/google-research/bert/blob/master/tokenization.py
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def word_starts(texts: list[str], begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Tell which tokens begin a word.

    A word is a maximal run of letters, digits, marks and underscores; each ideograph and each other
    visible character is a word of its own, as BERT's basic tokenizer cuts them (Devlin et al. 2019).
    A token belongs to the word of its first visible character; one of spaces alone, such as Unigram's
    lone "▁" or byte BPE's "Ġ", to the word that follows. A token begins a word where its word is not
    that of the token before.

    Args:
        texts: Texts, (T,).
        begins: Where each token begins in its own text, in characters: int64, (P,), text by text.
        counts: Tokens of each text: int64, (T,).

    Returns:
        bool, (P,).
    """
    # A space after each text keeps its last word apart from the next text's first.
    lengths = np.array([len(text) + 1 for text in texts], dtype=np.int64)
    owner = number_words(code_points(" ".join(texts) + " "))
    word = owner[begins + np.repeat(np.cumsum(lengths) - lengths, counts)]  # (P,)
    starts = np.ones(len(word), dtype=np.bool_)
    np.not_equal(word[1:], word[:-1], out=starts[1:])
    first = np.cumsum(counts) - counts
    starts[first[counts > 0]] = True
    return starts


def number_words(codes: np.ndarray) -> np.ndarray:
    """Return the number of the word that each character belongs to; a space's is the next one's.

    Args:
        codes: Code points of a text, (characters,).

    Returns:
        int64, (characters,): counted from 1; never falls.
    """
    kind = _kinds()[codes]
    marks = kind == MARK
    if marks.any():  # a mark is of the kind of what it stands on
        bases = np.where(marks, 0, np.arange(len(kind)))
        kind = kind[np.maximum.accumulate(bases)]
        kind[kind == MARK] = LETTER  # at the very beginning
        after_space = marks & (kind == SPACE)
        kind[after_space] = LETTER
    before = np.concatenate([[SPACE], kind[:-1]])
    begins = (kind == ALONE) & ~marks
    begins |= (kind == LETTER) & (before != LETTER)
    return np.cumsum(begins) + (kind == SPACE)


def code_points(text: str) -> np.ndarray:
    """Return the code point of each character: uint32, (characters,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@functools.cache
def categories() -> np.ndarray:
    """Return the Unicode category of each code point, as two ASCII letters: uint8, (1,114,112, 2)."""
    names = "".join(map(unicodedata.category, map(chr, range(sys.maxunicode + 1))))
    return np.frombuffer(names.encode("ascii"), dtype=np.uint8).reshape(-1, 2)


@functools.cache
def _kinds() -> np.ndarray:
    """Return what each code point is to the words around it: uint8, (1,114,112,)."""
    major, minor = categories().T
    kinds = np.full(len(major), ALONE, dtype=np.uint8)
    kinds[np.isin(major, [ord("L"), ord("N")])] = LETTER
    kinds[ord("_")] = LETTER
    # Invisible ones (soft hyphen, joiners) part no word: BERT's tokenizer leaves them out.
    invisible = (major == ord("C")) & np.isin(minor, [ord("c"), ord("f")])
    kinds[(major == ord("M")) | invisible] = MARK
    for first, last in IDEOGRAPHS:
        kinds[first : last + 1] = ALONE
    kinds[major == ord("Z")] = SPACE
    kinds[[code for code in range(0x100) if chr(code).isspace()]] = SPACE
    return kinds
