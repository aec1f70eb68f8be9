"""Texts in, their letters counted by script out: some scripts put no space between words."""

import functools
from typing import Any

import numpy as np

from bertbench.data.words import categories, code_points

# Blocks of the Unicode Standard, https://www.unicode.org/Public/UNIDATA/Blocks.txt
BLOCKS = {
    "Latin": ((0x41, 0x24F), (0x250, 0x2AF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2071, 0x209C),
              (0x212A, 0x212B), (0x2183, 0x2184), (0x2C60, 0x2C7F), (0xA720, 0xA7FF),
              (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF)),
    "Hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Han": ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
            (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    "Kana": ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F)),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF),
               (0xFFA0, 0xFFDC)),
    "Thai": ((0xE00, 0xE7F),),
    "Lao": ((0xE80, 0xEFF),),
    "Khmer": ((0x1780, 0x17FF),),
    "Myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Tibetan": ((0xF00, 0xFFF),),
}  # fmt: skip
OTHER = "other"
SCRIPTS = (*BLOCKS, OTHER)
UNSPACED = ("Thai", "Lao", "Khmer", "Myanmar", "Tibetan")


def count_letters(texts: list[str]) -> np.ndarray:
    """Count letters (Unicode category L) by script.

    Args:
        texts: Texts, (T,).

    Returns:
        int64, (T, scripts): in the order of `SCRIPTS`.
    """
    columns = len(SCRIPTS) + 1  # the first counts what is no letter
    found = _script_of()[code_points("".join(texts))]
    text = np.repeat(np.arange(len(texts)) * columns, [len(text) for text in texts])
    counts = np.bincount(text + found, minlength=len(texts) * columns)
    return counts.reshape(len(texts), columns)[:, 1:]


def unspaced_share(card: dict[str, Any]) -> float:
    """Return the share of a corpus's letters that are of scripts without spaces between words.

    There a run of letters is a clause, not a word, and what masks whole words would mask whole
    clauses.

    Args:
        card: Of a tokenised corpus, with `letters` by script.
    """
    letters = card["letters"]
    return sum(letters.get(name, 0) for name in UNSPACED) / max(1, sum(letters.values()))


@functools.cache
def _script_of() -> np.ndarray:
    """Return the script of each code point, counted from 1, 0 where it is no letter: uint8, (1,114,112,)."""
    is_letter = categories()[:, 0] == ord("L")
    script = np.full(len(is_letter), len(SCRIPTS), dtype=np.uint8)
    for number, blocks in enumerate(BLOCKS.values(), start=1):
        for first, last in blocks:
            script[first : last + 1] = number
    return np.where(is_letter, script, 0).astype(np.uint8)
