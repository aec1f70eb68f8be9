"""Labelled texts in, padded windows of token ids out.

A text is one window or several: `head` keeps its beginning, `head_tail` its beginning and end (Sun
et al. 2019, https://arxiv.org/abs/1905.05583, section 5.3.1), `window` all of it, cut in pieces that
are pooled later.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertbench.errors import UserError

Cut = Callable[[list[int], int], list[list[int]]]  # ids, room -> windows of at most `room` ids


class Windows(NamedTuple):
    """Padded windows of some texts, and whose they are."""

    ids: Tensor  # int64, (W, L)
    attention_mask: Tensor  # bool, (W, L)
    owner: Tensor  # int64, (W,): which text of the batch, in [0, T)


def head(ids: list[int], room: int) -> list[list[int]]:
    """Keep the first `room` ids."""
    return [ids[:room]]


def head_tail(ids: list[int], room: int) -> list[list[int]]:
    """Keep 128 / 510 of `room` from the beginning and the rest from the end."""
    if len(ids) <= room:
        return [ids]
    first = round(room * 128 / 510)
    return [ids[:first] + ids[len(ids) - (room - first) :]]


def window(ids: list[int], room: int) -> list[list[int]]:
    """Cut into consecutive pieces of `room` ids; the last may be shorter."""
    return [ids[i : i + room] for i in range(0, len(ids), room)] or [[]]


LONG_TEXT: dict[str, Cut] = {"head": head, "head_tail": head_tail, "window": window}


class Encoding:
    """Cuts and pads texts for one encoder.

    Args:
        tokenizer: The encoder's own.
        max_length: Tokens of a window, special tokens included.
        long_text: A key of LONG_TEXT.
        positions: The most tokens the encoder can take.

    Raises:
        UserError: `max_length` is below 8 or above `positions`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        long_text: str,
        positions: int,
    ) -> None:
        if not 8 <= max_length <= positions:
            raise UserError(
                f"task.max_length={max_length} must lie between 8 and the encoder's {positions} positions"
            )
        self.tokenizer, self.max_length, self.long_text = tokenizer, max_length, long_text
        self.cut = LONG_TEXT[long_text]

    def encode(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Return the windows of each text, special tokens added."""
        reader: Any = self.tokenizer  # typed loosely by transformers
        cls, sep = reader.cls_token_id, reader.sep_token_id
        encoded = reader(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        room = self.max_length - 2
        return [[[cls, *w, sep] for w in self.cut(ids, room)] for ids in encoded]

    def collate(self, texts: Sequence[list[list[int]]]) -> Windows:
        """Pad the windows of some encoded texts into one batch."""
        windows = [w for text in texts for w in text]
        longest = max(map(len, windows))
        ids = np.full((len(windows), longest), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(windows), longest), dtype=bool)
        for row, w in enumerate(windows):
            ids[row, : len(w)], mask[row, : len(w)] = w, True
        owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        return Windows(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(owner))

    def settings(self) -> dict[str, object]:
        """Return what `Encoding` needs beside the tokenizer to be made again."""
        return {"max_length": self.max_length, "long_text": self.long_text}


def lengths(texts: Sequence[list[list[int]]]) -> list[int]:
    """Return the longest window of each text, in tokens."""
    return [max(map(len, text)) for text in texts]
