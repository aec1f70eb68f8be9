"""Documents in, rows of token ids out: sentences packed until a row is full.

FULL-SENTENCES of Liu et al. (2019), https://arxiv.org/abs/1907.11692, section 4.2: each row holds
whole sentences, contiguous, up to its length; it may run on into the next document, after one extra
separator.
"""

import re
from collections.abc import Iterator

import numpy as np
from transformers import PreTrainedTokenizerBase

from bertbench.types import Vocabulary

# A sentence ends at a line's end, or at . ! ? with closing quotes when a capital or digit follows.
BOUNDARY = re.compile(r"""\n+|(?<=[.!?])["')\]]*[ \t]+(?=["'(\[]*[A-Z0-9£$€])""")


def sentences(document: str) -> list[str]:
    """Cut a document into sentences; none is empty."""
    return [s for s in (piece.strip() for piece in BOUNDARY.split(document)) if s]


def pack(
    documents: list[str],
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Vocabulary,
    *,
    length: int,
) -> np.ndarray:
    """Pack documents into rows of [CLS] sentences [SEP], padded.

    Args:
        documents: Texts.
        tokenizer: Cuts each sentence into ids.
        vocabulary: Its special ids.
        length: Tokens of a row, L.

    Returns:
        int32, (S, L).
    """
    rows: list[list[int]] = []
    row: list[int] = []
    room = length - 2
    for ids in _stream(documents, tokenizer, vocabulary.sep, room):
        if row and len(row) + len(ids) > room:
            rows.append(row)
            row = []
        if not row and ids == [vocabulary.sep]:  # no separator at the start of a row
            continue
        row = row + ids
    if row:
        rows.append(row)
    packed = np.full((len(rows), length), vocabulary.pad, dtype=np.int32)
    for target, ids in zip(packed, rows, strict=True):
        target[: len(ids) + 2] = [vocabulary.cls, *ids, vocabulary.sep]
    return packed


def _stream(
    documents: list[str], tokenizer: PreTrainedTokenizerBase, sep: int, room: int
) -> Iterator[list[int]]:
    """Yield sentences of at most `room` ids, and a lone separator between documents."""
    for number, document in enumerate(documents):
        if number:
            yield [sep]
        cut = sentences(document)
        if not cut:
            continue
        for ids in tokenizer(cut, add_special_tokens=False, return_attention_mask=False)[
            "input_ids"
        ]:
            for start in range(0, len(ids), room):
                yield ids[start : start + room]
