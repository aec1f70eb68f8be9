"""Labelled texts or pairs of texts in, padded windows of token ids out.

A text is one window or several: `head` keeps its beginning, `head_tail` its beginning and end (Sun
et al. 2019, https://arxiv.org/abs/1905.05583, section 5.3.1), `window` all of it, cut in pieces that
are pooled later. Of a pair the longer text is cut first (Devlin et al. 2019, run_classifier.py); of two
that are cut in windows, each of the one is read with each of the other.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertbench.errors import UserError

Cut = Callable[[list[int], int], list[list[int]]]  # ids, room -> windows of at most `room` ids


class Window(NamedTuple):
    """What an encoder reads at once."""

    ids: list[int]  # special tokens included
    second: int  # where the second segment begins; their number where there is none


class Windows(NamedTuple):
    """Padded windows of some texts, and whose they are."""

    ids: Tensor  # int64, (W, L)
    attention_mask: Tensor  # bool, (W, L)
    segment_ids: Tensor  # int64, (W, L); 1 on the second segment, 0 elsewhere
    owner: Tensor  # int64, (W,): which text of the batch, in [0, T)


class Template(NamedTuple):
    """The special tokens that a tokenizer puts around texts."""

    alone: tuple[list[int], list[int]]  # before and after a text
    pair: tuple[list[int], list[int], list[int]]  # before, between and after two
    middle: int  # of the tokens between two, how many are of the first segment


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
        self.template = template(tokenizer)

    def encode(self, texts: Sequence[str | tuple[str, str]]) -> list[list[Window]]:
        """Return the windows of each text or pair, special tokens added."""
        if not texts or isinstance(texts[0], str):
            before, after = self.template.alone
            room = self.max_length - len(before) - len(after)
            return [
                [Window(ids := [*before, *w, *after], len(ids)) for w in self.cut(text, room)]
                for text in self.ids(texts)
            ]
        firsts, seconds = (self.ids([pair[side] for pair in texts]) for side in (0, 1))
        return [self._pair(*pair) for pair in zip(firsts, seconds, strict=True)]

    def ids(self, texts: Sequence[Any]) -> list[list[int]]:
        """Return the ids of each text, without special tokens."""
        if not texts:
            return []
        reader: Any = self.tokenizer  # typed loosely by transformers
        return reader(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    def _pair(self, first: list[int], second: list[int]) -> list[Window]:
        before, between, after = self.template.pair
        room = self.max_length - len(before) - len(between) - len(after)
        rooms = shares(len(first), len(second), room)
        windows = []
        for one in self.cut(first, rooms[0]):
            for other in self.cut(second, rooms[1]):
                begin = len(before) + len(one) + self.template.middle
                windows.append(Window([*before, *one, *between, *other, *after], begin))
        return windows

    def collate(self, texts: Sequence[list[Window]]) -> Windows:
        """Pad the windows of some encoded texts into one batch."""
        windows = [w for text in texts for w in text]
        longest = max(len(w.ids) for w in windows)
        ids = np.full((len(windows), longest), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(windows), longest), dtype=bool)
        segments = np.zeros((len(windows), longest), dtype=np.int64)
        for row, w in enumerate(windows):
            ids[row, : len(w.ids)], mask[row, : len(w.ids)] = w.ids, True
            segments[row, w.second : len(w.ids)] = 1
        owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        return Windows(*map(torch.from_numpy, (ids, mask, segments, owner)))

    def settings(self) -> dict[str, object]:
        """Return what `Encoding` needs beside the tokenizer to be made again."""
        return {"max_length": self.max_length, "long_text": self.long_text}


def template(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Return the special tokens that a tokenizer adds, as it adds them to one and to two short texts."""
    reader: Any = tokenizer
    more = {"return_special_tokens_mask": True, "return_token_type_ids": True}
    alone, both = reader("a", **more), reader("a", "a", **more)
    own, owned = (
        [i for i, special in enumerate(encoded["special_tokens_mask"]) if not special]
        for encoded in (alone, both)
    )
    ids, types = both["input_ids"], both["token_type_ids"]
    first, second = owned[: len(own)], owned[len(own) :]
    between = slice(first[-1] + 1, second[0])
    middle = types[between].count(0) if 1 in types else len(ids[between])
    return Template(
        (alone["input_ids"][: own[0]], alone["input_ids"][own[-1] + 1 :]),
        (ids[: first[0]], ids[between], ids[second[-1] + 1 :]),
        middle,
    )


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text have room: the longer one gives way, to half at most.

    Args:
        first: Tokens of the first text.
        second: Tokens of the second.
        room: Tokens for both.
    """
    if first + second <= room:
        return max(first, 1), max(second, 1)
    half = room // 2
    if first <= half:
        return max(first, 1), room - first
    if second <= half:
        return room - second, max(second, 1)
    return room - half, half


def lengths(texts: Sequence[list[Window]]) -> list[int]:
    """Return the longest window of each text, in tokens."""
    return [max(len(w.ids) for w in text) for text in texts]
