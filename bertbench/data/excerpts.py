"""A corpus and a number of tokens in, beginnings of documents from all over it out."""

import numpy as np

from bertbench.types import Tokens

GOLDEN = (5**0.5 - 1) / 2
LOOKED_AT = 2**16  # documents, evenly spread, of which the lengths are read
LONGEST = 2048  # tokens of one document, unless there are too few documents


def excerpts(tokens: Tokens, documents: np.ndarray, most: int) -> tuple[Tokens, np.ndarray]:
    """Choose documents evenly spread over a corpus, of each no more than its beginning.

    A corpus may be a thousand times what a measurement needs, and a document may be a whole book: then
    many get a share. Nothing is copied and no id is read.

    Args:
        tokens: The corpus.
        documents: int64: which of its documents.
        most: Tokens, about: the last document that is chosen may exceed it.

    Returns:
        The same stream cut otherwise, and int64: which of its documents are the excerpts, in the
        corpus's order. Documents without a token are left out.
    """
    looked_at = np.sort(documents[evenly_spread(len(documents), LOOKED_AT)])
    count = len(looked_at)
    begins, ends = tokens.documents[looked_at], tokens.documents[looked_at + 1]
    longest = max(LONGEST, most // max(count, 1))
    # Of multiples of the golden ratio, modulo 1, the first so many are evenly spread, however many.
    order = np.argsort(np.argsort((np.arange(count) * GOLDEN) % 1))
    chosen: list[tuple[int, int]] = []  # begin and end among the sentences
    size = 0
    for place in order.tolist():
        if size >= most:
            break
        begin, end = int(begins[place]), int(ends[place])
        borders = tokens.sentences[begin : end + 1]
        fitting = int(np.searchsorted(borders, borders[0] + longest, side="right")) - 1
        kept = min(max(fitting, 1), end - begin)
        if (held := int(borders[kept] - borders[0])) > 0:
            chosen.append((begin, begin + kept))
            size += held
    borders = np.array(sorted(chosen), dtype=np.int64).reshape(-1)
    # What lies between two excerpts becomes a document, too, which nobody asks for.
    return tokens._replace(documents=borders), np.arange(0, len(borders), 2)


def evenly_spread(count: int, most: int) -> np.ndarray:
    """Return which of `count` things are taken, ascending: all, or `most` evenly spread; int64."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
