"""A tokenised corpus in, what each row holds out: the input formats of RoBERTa's comparison.

Liu et al. (2019), https://arxiv.org/abs/1907.11692, section 4.2, compare four: SEGMENT-PAIR, SENTENCE-PAIR,
FULL-SENTENCES and DOC-SENTENCES. One function each, which tells the pieces of the stream of tokens that
a row is made of; `packed.py` writes them down.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bertbench.errors import UserError
from bertbench.runtime import numpy_generator
from bertbench.types import FOLLOWS, IGNORE, NOT, Tokens

Piece = tuple[int, int]  # begin and end in the stream of tokens
RANDOM, SWAPPED = "random", "swapped"


class Sequence(NamedTuple):
    """What a row holds: pieces of the stream; None stands for a separator between documents."""

    first: list[Piece | None]
    second: list[Piece] | None = None
    related: int = IGNORE  # FOLLOWS or NOT


def full_sentences(
    tokens: Tokens,
    documents: np.ndarray,
    *,
    length: int,
    seed: int,  # noqa: ARG001 - nothing is drawn
) -> Iterator[Sequence]:
    """Yield rows of whole, contiguous sentences, packed until full, across documents.

    FULL-SENTENCES of Liu et al. (2019), section 4.2: one more separator stands between documents.

    Args:
        tokens: The corpus.
        documents: int64: which documents, in this order.
        length: Tokens of a row, L, with [CLS] and [SEP].
        seed: Unused.
    """
    yield from _packed(tokens, documents, room=length - 2, across=True)


def doc_sentences(
    tokens: Tokens,
    documents: np.ndarray,
    *,
    length: int,
    seed: int,  # noqa: ARG001 - nothing is drawn
) -> Iterator[Sequence]:
    """Yield rows as `full_sentences`, but none runs on into the next document.

    DOC-SENTENCES of Liu et al. (2019), section 4.2. Rows at a document's end are shorter; the paper puts
    more of them into a batch, here a budget in tokens counts what was read.
    """
    yield from _packed(tokens, documents, room=length - 2, across=False)


def segment_pairs(
    tokens: Tokens,
    documents: np.ndarray,
    *,
    length: int,
    seed: int,
    second: str,
    share: float,
    short: float,
) -> Iterator[Sequence]:
    """Yield [CLS] A [SEP] B [SEP]: two segments of several sentences each.

    SEGMENT-PAIR: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section A.2, and its released
    create_pretraining_data.py. Sentences are gathered until a row is full, or until a shorter length drawn
    for `short` of the rows (there, of the documents), and cut in two at random; A is the first part. With
    `second=random`, B is the other part, or (`share` of the rows) a stretch of another document, and what B
    would have been begins the next row. With `second=swapped` (ALBERT: Lan et al. 2020,
    https://arxiv.org/abs/1909.11942, section 3.1), A and B follow each other in `1 - share` of the rows and
    are swapped in the others. What is too long loses tokens from either end of its longer segment, each end
    as often.

    A single sentence, at a document's end or as long as a row, cannot be cut. The released codes give it a
    B from another document. So does `second=random`, but one row that would have one is made to follow
    instead, so that the shares hold while there are such rows; with `second=swapped` it stands alone, for
    the masked words only.

    Args:
        tokens: The corpus.
        documents: int64: which documents, in this order; none is empty.
        length: Tokens of a row, L, with [CLS] and both [SEP].
        seed: Of every draw.
        second: `random` or `swapped`.
        share: Of pairs in which B does not follow A, in [0, 1].
        short: Share of rows with a shorter length, drawn between 2 and the longest, in [0, 1].

    Raises:
        UserError: `second`, `share` or `short` is out of range, or there is no other document.
    """
    _check(second, documents, share=share, short=short)
    generator = numpy_generator(seed, "segment pairs")
    room, owed = length - 3, 0
    for place, document in enumerate(documents.tolist()):
        sentences = _sentences(tokens, document)
        at = 0
        while at < len(sentences):
            target = room
            if generator.random() < short:
                target = int(generator.integers(2, room + 1))
            end = _gather(sentences, at, target)
            chunk, at = sentences[at:end], end
            cut = 1 if len(chunk) == 1 else int(generator.integers(1, len(chunk)))
            follows = bool(generator.random() >= share)
            if len(chunk) == 1 and second == SWAPPED:
                yield Sequence([*_trimmed(chunk, room, generator)])
                continue
            if second == RANDOM and len(chunk) == 1 and follows:
                follows, owed = False, owed + 1
            elif second == RANDOM and owed and not follows and len(chunk) > 1:
                follows, owed = True, owed - 1
            first, other = chunk[:cut], chunk[cut:]
            if second == RANDOM and not follows:
                at -= len(other)
                other = _elsewhere(tokens, documents, place, target - _size(first), generator)
            yield _pair(first, other, room, generator, follows=follows, swap=second == SWAPPED)


def sentence_pairs(
    tokens: Tokens,
    documents: np.ndarray,
    *,
    length: int,
    seed: int,
    second: str,
    share: float,
) -> Iterator[Sequence]:
    """Yield [CLS] A [SEP] B [SEP] of two single sentences.

    SENTENCE-PAIR of Liu et al. (2019), section 4.2; see `segment_pairs` for `second` and `share`.
    """
    _check(second, documents, share=share, short=0)
    generator = numpy_generator(seed, "sentence pairs")
    room, owed = length - 3, 0
    for place, document in enumerate(documents.tolist()):
        sentences = _sentences(tokens, document)
        at = 0
        while at < len(sentences):
            first, other = sentences[at : at + 1], sentences[at + 1 : at + 2]
            follows = bool(generator.random() >= share)
            if not other and second == SWAPPED:
                yield Sequence([*_trimmed(first, room, generator)])
                break
            if second == RANDOM and not other and follows:
                follows, owed = False, owed + 1
            elif second == RANDOM and owed and not follows and other:
                follows, owed = True, owed - 1
            at += 2
            if second == RANDOM and not follows:
                at -= len(other) or 1
                other = _elsewhere(tokens, documents, place, 1, generator)
            yield _pair(first, other, room, generator, follows=follows, swap=second == SWAPPED)


def _packed(
    tokens: Tokens, documents: np.ndarray, *, room: int, across: bool
) -> Iterator[Sequence]:
    row: list[Piece | None] = []
    size, last = 0, -1
    for document in documents.tolist():
        for begin, end in _pieces(tokens, document, room):
            between = bool(row) and document != last
            if row and ((between and not across) or size + between + end - begin > room):
                yield Sequence(row)
                row, size, between = [], 0, False
            if between:
                row.append(None)
            before = row[-1] if row else None
            if before is not None and before[1] == begin:
                row[-1] = (before[0], end)
            else:
                row.append((begin, end))
            size += between + end - begin
            last = document
    if row:
        yield Sequence(row)


def _sentences(tokens: Tokens, document: int) -> list[Piece]:
    begin, end = tokens.documents[document : document + 2].tolist()
    borders = tokens.sentences[begin : end + 1].tolist()
    return list(pairwise(borders))


def _pieces(tokens: Tokens, document: int, room: int) -> Iterator[Piece]:
    """Yield the sentences of a document; one longer than `room` comes in pieces."""
    for begin, end in _sentences(tokens, document):
        for start in range(begin, end, room):
            yield start, min(start + room, end)


def _gather(sentences: list[Piece], at: int, target: int) -> int:
    """Return the end of the shortest stretch of sentences from `at` that has `target` tokens."""
    size = 0
    for end in range(at, len(sentences)):
        size += sentences[end][1] - sentences[end][0]
        if size >= target:
            return end + 1
    return len(sentences)


def _elsewhere(
    tokens: Tokens,
    documents: np.ndarray,
    place: int,
    target: int,
    generator: np.random.Generator,
) -> list[Piece]:
    """Return about `target` tokens of another document, from a sentence drawn at random."""
    other = int(generator.integers(len(documents) - 1))
    other += other >= place
    sentences = _sentences(tokens, int(documents[other]))
    at = int(generator.integers(len(sentences)))
    return sentences[at : _gather(sentences, at, target)]


def _pair(
    first: list[Piece],
    second: list[Piece],
    room: int,
    generator: np.random.Generator,
    *,
    follows: bool,
    swap: bool,
) -> Sequence:
    if swap and not follows:
        first, second = second, first
    longer = [_size(first), _size(second)]
    lost = [0, 0]
    if (excess := sum(longer) - room) > 0:
        # One token at a time from the longer one comes to this: the longer down to the other, then both.
        difference = longer[0] - longer[1]
        alone = min(abs(difference), excess)
        lost[0 if difference > 0 else 1] = alone
        rest = excess - alone
        lost[0] += rest // 2
        lost[1] += rest - rest // 2  # of two as long, the second loses first
    return Sequence(
        [*_cut(first, lost[0], generator)],
        _cut(second, lost[1], generator),
        FOLLOWS if follows else NOT,
    )


def _trimmed(pieces: list[Piece], room: int, generator: np.random.Generator) -> list[Piece]:
    return _cut(pieces, max(_size(pieces) - room, 0), generator)


def _cut(pieces: list[Piece], lost: int, generator: np.random.Generator) -> list[Piece]:
    """Take `lost` tokens away, each from the front or the back with equal chance."""
    if not lost:
        return pieces
    front = int(generator.binomial(lost, 0.5))
    return _drop_back(_drop_front(pieces, front), lost - front)


def _drop_front(pieces: list[Piece], count: int) -> list[Piece]:
    kept = []
    for begin, end in pieces:
        gone = min(count, end - begin)
        count -= gone
        if begin + gone < end:
            kept.append((begin + gone, end))
    return kept


def _drop_back(pieces: list[Piece], count: int) -> list[Piece]:
    mirrored = [(-end, -begin) for begin, end in reversed(pieces)]
    return [(-end, -begin) for begin, end in reversed(_drop_front(mirrored, count))]


def _size(pieces: list[Piece]) -> int:
    return sum(end - begin for begin, end in pieces)


def _check(second: str, documents: np.ndarray, *, share: float, short: float) -> None:
    if second not in (RANDOM, SWAPPED):
        raise UserError(f"packing.second={second} must be {RANDOM} or {SWAPPED}")
    for name, value in (("share", share), ("short", short)):
        if not 0 <= value <= 1:
            raise UserError(f"packing.{name}={value} must lie in [0, 1]")
    if second == RANDOM and len(documents) < 2:
        raise UserError(
            f"pairs with a second segment from another document need two documents to train on and two "
            f"held out, but one part has {len(documents)}: add documents, raise pretrain.heldout, or "
            "choose objective=mlm packing=full_sentences"
        )
