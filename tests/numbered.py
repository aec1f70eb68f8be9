"""Sizes of sentences in, a corpus in which every token is its own id out; and rows of it, read back."""

from functools import partial
from typing import NamedTuple

import numpy as np

from bertbench.data import packed
from bertbench.data.packing import doc_sentences, full_sentences, segment_pairs, sentence_pairs
from bertbench.types import Rows, Tokens, Vocabulary

PAD, CLS, SEP, MASK = 0, 1, 2, 3
FIRST = 10  # id of the first token of a corpus
NUMBERS = Vocabulary(
    size=10**6, pad=PAD, cls=CLS, sep=SEP, mask=MASK, special=(PAD, CLS, SEP, MASK)
)
PACKINGS = {
    f"{name}_{second}": partial(function, second=second, share=0.5, **more)
    for name, function, more in (
        ("segments", segment_pairs, {"short": 0.1}),
        ("sentences", sentence_pairs, {}),
    )
    for second in ("random", "swapped")
} | {"full": full_sentences, "doc": doc_sentences}


class Held(NamedTuple):
    """What a row holds, as its separators tell: places in the stream of tokens, as int64."""

    first: np.ndarray
    second: np.ndarray  # empty where there is one segment only
    related: int


def corpus(documents, dtype=np.int32) -> Tokens:
    """Lay out documents, lists of sentences' sizes in tokens; an id is FIRST and the token's place."""
    sizes = [size for document in documents for size in document]
    sentences = np.cumsum([0, *sizes], dtype=np.int64)
    starts = np.random.default_rng(0).random(sentences[-1]) < 0.7
    starts[sentences[:-1][np.array(sizes, dtype=np.int64) > 0]] = True
    return Tokens(
        np.arange(FIRST, FIRST + sentences[-1]).astype(dtype),
        starts,
        sentences,
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
    )


def written(*texts) -> Tokens:
    """Lay out texts: an id is a word, a sentence a line."""
    documents = [[line.split() for line in text.splitlines() if line.split()] for text in texts]
    tokens = corpus([[len(line) for line in document] for document in documents])
    ids = [int(word) for document in documents for line in document for word in line]
    return tokens._replace(ids=np.array(ids, dtype=np.int32))


def sizes(seed, documents, *, sentences=25, words=40, long=0.02):
    """Return documents of up to so many sentences of up to so many words; few have up to 200."""
    generator = np.random.default_rng(seed)
    return [
        [
            int(generator.integers(1, 201 if generator.random() < long else words + 1))
            for _ in range(generator.integers(1, sentences + 1))
        ]
        for _ in range(documents)
    ]


def every(tokens: Tokens) -> np.ndarray:
    """Return the numbers of all documents."""
    return np.arange(len(tokens.documents) - 1)


def rows_of(
    packing, tokens, documents=None, *, length, vocabulary=NUMBERS, seed=0, **settings
) -> Rows:
    """Pack some documents of a corpus, by default all."""
    documents = every(tokens) if documents is None else documents
    sequences = packing(tokens, documents, length=length, seed=seed, **settings)
    return packed.in_memory(sequences, tokens, vocabulary, length=length)


def held(rows: Rows) -> list[Held]:
    """Read packed pairs back; `Rows.second` is not looked at."""
    found = []
    for row, related in zip(rows.ids.astype(np.int64), rows.related.tolist(), strict=True):
        separators = np.flatnonzero(row == SEP).tolist()
        first = row[1 : separators[0]] - FIRST
        second = row[separators[0] + 1 : separators[-1]] - FIRST
        found.append(Held(first, second, related))
    return found


def sentence_of(tokens: Tokens, places):
    """Return which sentence each place belongs to; none is empty."""
    return np.searchsorted(tokens.sentences, places, side="right") - 1


def document_of(tokens: Tokens, places):
    """Return which document each place belongs to; none is empty."""
    return np.searchsorted(tokens.sentences[tokens.documents], places, side="right") - 1
