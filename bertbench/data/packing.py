"""Documents in, rows of token ids out: sentences packed until a row is full.

FULL-SENTENCES of Liu et al. (2019), https://arxiv.org/abs/1907.11692, section 4.2: each row holds
whole sentences, contiguous, up to its length; it may run on into the next document, after one extra
separator.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from bertbench.types import Vocabulary

# A sentence ends at a line's end, or at . ! ? and up to two closing marks, when a capital letter, a
# digit or a currency sign follows.
OPENING = r"""[ \t]+(?=["'(\[]*[A-Z0-9£$€])"""
CLOSING = r"""["')\]]"""
BOUNDARY = re.compile(
    rf"\n+|(?:(?<=[.!?])|(?<=[.!?]{CLOSING})|(?<=[.!?]{CLOSING}{CLOSING})){OPENING}"
)


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
    room, last = length - 2, -1
    for document, ids in _stream(documents, tokenizer, room):
        between = [vocabulary.sep] if document != last else []
        if row and len(row) + len(between) + len(ids) > room:
            rows.append(row)
            row = []
        row = [*row, *(between if row else []), *ids]
        last = document
    if row:
        rows.append(row)
    packed = np.full((len(rows), length), vocabulary.pad, dtype=np.int32)
    for target, ids in zip(packed, rows, strict=True):
        target[: len(ids) + 2] = [vocabulary.cls, *ids, vocabulary.sep]
    return packed


def _stream(
    documents: list[str], tokenizer: PreTrainedTokenizerBase, room: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield (document, ids) of each sentence; one longer than `room` comes in pieces."""
    reader: Any = tokenizer  # typed loosely by transformers
    for number, document in enumerate(documents):
        cut = sentences(document)
        if not cut:
            continue
        for ids in reader(cut, add_special_tokens=False, return_attention_mask=False)["input_ids"]:
            for start in range(0, len(ids), room):
                yield number, ids[start : start + room]
