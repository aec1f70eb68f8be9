"""Questions and contexts in, overlapping windows of tokens out that know their characters.

A context longer than a window is read in windows that overlap by half, so that an answer at the end of
one stands within another (Devlin et al. 2019, run_squad.py, has a stride of 128 in windows of 384).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertbench.data.encoding import head_tail, template
from bertbench.errors import UserError
from bertbench.types import Answer

QUESTION = 64  # tokens at most: as in run_squad.py
LEAST = 8  # tokens of the context in a window, at least


class View(NamedTuple):
    """One window of a context behind its question."""

    ids: list[int]  # special tokens included
    second: int  # where the second segment begins
    begin: int  # place of the first token of the context
    offsets: list[tuple[int, int]]  # characters of the context that each of its tokens stands for


class Asked(NamedTuple):
    """An encoded question."""

    views: list[View]
    context: str


class Views(NamedTuple):
    """Padded windows of some questions."""

    ids: Tensor  # int64, (W, L)
    attention_mask: Tensor  # bool, (W, L)
    segment_ids: Tensor  # int64, (W, L)
    inside: Tensor  # bool, (W, L): tokens of the context, and the first token, which stands for no answer
    owner: Tensor  # int64, (W,): which question, in [0, T)


class Reading:
    """Cuts questions and contexts for one encoder, and pads them.

    Args:
        tokenizer: The encoder's own, a fast one.
        max_length: Tokens of a window, special tokens included.
        long_text: `window` reads all of a context, `head` its first window, `head_tail` one of its
            beginning and its end.
        positions: The most tokens the encoder can take.

    Raises:
        UserError: `max_length` is too small or above `positions`, or the tokenizer is slow.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        long_text: str,
        positions: int,
    ) -> None:
        if not 32 <= max_length <= positions:
            raise UserError(
                f"task.max_length={max_length} must lie between 32 and the encoder's {positions} positions, "
                "to hold a question and some of its context"
            )
        if not tokenizer.is_fast:
            raise UserError(
                f"{type(tokenizer).__name__} is a slow tokenizer, which does not tell which characters a "
                "token stands for: give one with a tokenizer.json"
            )
        self.tokenizer, self.max_length, self.long_text = tokenizer, max_length, long_text
        self.template = template(tokenizer)

    def encode(self, texts: Sequence[tuple[str, str]]) -> list[Asked]:
        """Return the windows of each question, special tokens added."""
        reader: Any = self.tokenizer  # typed loosely by transformers
        plain = {"add_special_tokens": False, "verbose": False}
        questions = reader([question for question, _ in texts], **plain)["input_ids"]
        contexts = reader([context for _, context in texts], return_offsets_mapping=True, **plain)
        return [
            self._asked(question, ids, offsets, context)
            for question, ids, offsets, (_, context) in zip(
                questions, contexts["input_ids"], contexts["offset_mapping"], texts, strict=True
            )
        ]

    def _asked(
        self, question: list[int], ids: list[int], offsets: list[tuple[int, int]], context: str
    ) -> Asked:
        before, between, after = self.template.pair
        special = len(before) + len(between) + len(after)
        question = question[: min(QUESTION, self.max_length - special - LEAST)]
        room = self.max_length - special - len(question)
        start = [*before, *question, *between]
        second = len(before) + len(question) + self.template.middle
        views = []
        for rows in self._cut(len(ids), room):
            chosen = [ids[i] for i in rows]
            told = [trimmed(context, offsets[i]) for i in rows]
            views.append(View([*start, *chosen, *after], second, len(start), told))
        return Asked(views, context)

    def _cut(self, count: int, room: int) -> list[list[int]]:
        """Return the tokens of the context in each window."""
        if self.long_text == "head" or count <= room:
            return [list(range(min(count, room)))]
        if self.long_text == "head_tail":
            return head_tail(list(range(count)), room)
        stride = max(room // 2, 1)
        starts = [*range(0, count - room, stride), count - room]
        return [list(range(start, start + room)) for start in starts]

    def collate(self, asked: Sequence[Asked]) -> Views:
        """Pad the windows of some encoded questions into one batch."""
        views = [view for one in asked for view in one.views]
        shape = (len(views), max(len(view.ids) for view in views))
        ids = np.full(shape, self.tokenizer.pad_token_id, dtype=np.int64)
        mask, inside = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        segments = np.zeros(shape, dtype=np.int64)
        for row, view in enumerate(views):
            length = len(view.ids)
            ids[row, :length], mask[row, :length] = view.ids, True
            segments[row, view.second : length] = 1
            inside[row, view.begin : view.begin + len(view.offsets)] = True
        inside[:, 0] = True
        owner = np.repeat(np.arange(len(asked)), [len(one.views) for one in asked])
        return Views(*map(torch.from_numpy, (ids, mask, segments, inside, owner)))

    def settings(self) -> dict[str, object]:
        """Return what `Reading` needs beside the tokenizer to be made again."""
        return {"max_length": self.max_length, "long_text": self.long_text}


def targets(asked: Sequence[Asked], answers: Sequence[Sequence[Answer]]) -> np.ndarray:
    """Return the first and the last token of the first answer in each window.

    Args:
        asked: Encoded questions.
        answers: To each.

    Returns:
        int64 (W, 2); 0, 0 where the window does not hold the answer whole, or there is none.
    """
    found = []
    for one, its in zip(asked, answers, strict=True):
        for view in one.views:
            found.append(place(view, its[0]) if its else (0, 0))
    return np.array(found, dtype=np.int64)


def place(view: View, answer: Answer) -> tuple[int, int]:
    """Return the first and last token of an answer in a window; (0, 0) where it is not whole in it."""
    first, last = answer.start, answer.start + len(answer.text)
    touched = [i for i, (begin, end) in enumerate(view.offsets) if begin < last and end > first]
    if not touched or view.offsets[touched[0]][0] > first or view.offsets[touched[-1]][1] < last:
        return 0, 0
    return view.begin + touched[0], view.begin + touched[-1]


def decode(asked: Asked, view: int, start: int, end: int) -> str:
    """Return the characters of the context from token `start` to token `end` of a window."""
    chosen = asked.views[view]
    first = chosen.offsets[start - chosen.begin][0]
    return asked.context[first : chosen.offsets[end - chosen.begin][1]]


def trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Return a span without white space at its ends: some tokenizers count the blank before a word."""
    begin, end = span
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    return begin, end


def lengths(asked: Sequence[Asked]) -> list[int]:
    """Return the longest window of each question, in tokens."""
    return [max(len(view.ids) for view in one.views) for one in asked]
