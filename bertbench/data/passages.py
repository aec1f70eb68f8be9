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

from bertbench.data.encoding import template
from bertbench.errors import UserError
from bertbench.types import Answer

QUESTION = 64  # tokens at most: as in run_squad.py
LEAST = 8  # tokens of the context in a window, at least
LONGEST = 30  # tokens of an answer: as in run_squad.py
UNREAD = -100  # in the place of a token: nothing is learned there


class View(NamedTuple):
    """One window of a context behind its question."""

    ids: list[int]  # special tokens included
    second: int  # where the second segment begins
    begin: int  # place of the first token of the context
    tokens: range  # which tokens of the context it has


class Asked(NamedTuple):
    """An encoded question."""

    views: list[View]
    context: str
    offsets: list[tuple[int, int]]  # characters of the context that each of its tokens stands for


class Views(NamedTuple):
    """Padded windows of some questions."""

    ids: Tensor  # int64, (W, L)
    attention_mask: Tensor  # bool, (W, L)
    segment_ids: Tensor  # int64, (W, L)
    inside: Tensor  # bool, (W, L): where an answer may begin or end; the first token is none
    owner: Tensor  # int64, (W,): which question, in [0, T)


class Reading:
    """Cuts questions and contexts for one encoder, and pads them.

    Args:
        tokenizer: The encoder's own, a fast one.
        max_length: Tokens of a window, special tokens included.
        long_text: `window` reads all of a context, `head` its first window, `head_tail` its first and its
            last: joined in one, what follows what would be lost.
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
        if not texts:
            return []
        reader: Any = self.tokenizer  # typed loosely by transformers
        plain = {"add_special_tokens": False, "verbose": False}
        questions = reader([question for question, _ in texts], **plain)["input_ids"]
        distinct = list(dict.fromkeys(context for _, context in texts))  # one has many questions
        contexts = reader(distinct, return_offsets_mapping=True, **plain)
        known = {
            context: (contexts["input_ids"][i], trimmed(context, contexts["offset_mapping"][i]))
            for i, context in enumerate(distinct)
        }
        return [
            Asked(self._views(question, known[context][0]), context, known[context][1])
            for question, (_, context) in zip(questions, texts, strict=True)
        ]

    def longest(self, answers: Sequence[Sequence[Answer]]) -> int:
        """Return how many tokens an answer may have: LONGEST, or more where one in a hundred has more.

        Args:
            answers: Those of the training questions.
        """
        reader: Any = self.tokenizer
        first = [its[0].text for its in answers if its]
        if not first:
            return LONGEST
        ids = reader(first, add_special_tokens=False, verbose=False)["input_ids"]
        return max(LONGEST, int(np.quantile([len(one) for one in ids], 0.99, method="higher")))

    def _views(self, question: list[int], ids: list[int]) -> list[View]:
        before, between, after = self.template.pair
        special = len(before) + len(between) + len(after)
        question = question[: min(QUESTION, self.max_length - special - LEAST)]
        start = [*before, *question, *between]
        second = len(before) + len(question) + self.template.middle
        room = self.max_length - special - len(question)
        return [
            View([*start, *ids[part.start : part.stop], *after], second, len(start), part)
            for part in self._cut(len(ids), room)
        ]

    def _cut(self, count: int, room: int) -> list[range]:
        """Return the tokens of the context in each window."""
        if self.long_text == "head" or count <= room:
            return [range(min(count, room))]
        last = count - room
        stride = last if self.long_text == "head_tail" else max(room // 2, 1)
        return [range(start, start + room) for start in (*range(0, last, stride), last)]

    def collate(self, asked: Sequence[Asked]) -> Views:
        """Pad the windows of some encoded questions into one batch."""
        views = [view for one in asked for view in one.views]
        owner = np.repeat(np.arange(len(asked)), [len(one.views) for one in asked])
        shape = (len(views), max(len(view.ids) for view in views))
        ids = np.full(shape, self.tokenizer.pad_token_id, dtype=np.int64)
        mask, inside = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        segments = np.zeros(shape, dtype=np.int64)
        for row, (view, number) in enumerate(zip(views, owner.tolist(), strict=True)):
            length = len(view.ids)
            ids[row, :length], mask[row, :length] = view.ids, True
            segments[row, view.second : length] = 1
            told = asked[number].offsets[view.tokens.start : view.tokens.stop]
            # White space alone is no answer.
            inside[row, view.begin : view.begin + len(told)] = [end > begin for begin, end in told]
        inside[:, 0] = True
        return Views(*map(torch.from_numpy, (ids, mask, segments, inside, owner)))

    def settings(self) -> dict[str, object]:
        """Return what `Reading` needs beside the tokenizer to be made again."""
        return {"max_length": self.max_length, "long_text": self.long_text}


def targets(asked: Sequence[Asked], answers: Sequence[Sequence[Answer]]) -> np.ndarray:
    """Return the first and the last token of the first answer that a window holds whole.

    Args:
        asked: Encoded questions.
        answers: To each.

    Returns:
        int64 (W, 2); 0, 0 where the window holds no answer whole, or there is none; UNREAD twice in all
        windows of a question that has an answer which none of them holds: that it has none is not so.
    """
    found = []
    for one, its in zip(asked, answers, strict=True):
        held = _held(one, its)
        absent = UNREAD if its and not any(held) else 0
        found += [place if place else (absent, absent) for place in held]
    return np.array(found, dtype=np.int64)


def unread(asked: Sequence[Asked], answers: Sequence[Sequence[Answer]]) -> int:
    """Return how many questions have an answer, and no window that holds one whole."""
    return sum(
        bool(its) and not any(_held(one, its)) for one, its in zip(asked, answers, strict=True)
    )


def _held(asked: Asked, answers: Sequence[Answer]) -> list[tuple[int, int] | None]:
    """Return the first and last token of the first answer that each window holds whole."""
    touched = [tokens for tokens in (covered(asked, answer) for answer in answers) if tokens]
    found: list[tuple[int, int] | None] = []
    for view in asked.views:
        whole = [tokens for tokens in touched if _holds(view.tokens, tokens)]
        shift = view.begin - view.tokens.start
        found.append((whole[0].start + shift, whole[0].stop - 1 + shift) if whole else None)
    return found


def covered(asked: Asked, answer: Answer) -> range:
    """Return the fewest tokens of the context that an answer stands in; it may begin or end within one."""
    first, last = answer.start, answer.start + len(answer.text)
    touched = [
        token
        for token, (begin, end) in enumerate(asked.offsets)
        if max(begin, first) < min(end, last)
    ]
    return range(touched[0], touched[-1] + 1) if touched else range(0)


def decode(asked: Asked, view: int, start: int, end: int) -> str:
    """Return the characters of the context from token `start` to token `end` of a window."""
    chosen = asked.views[view]
    shift = chosen.tokens.start - chosen.begin
    return asked.context[asked.offsets[start + shift][0] : asked.offsets[end + shift][1]]


def trimmed(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans without white space at their ends: some tokenizers count the blank before a word."""
    found = []
    for begin, end in spans:
        part = text[begin:end]
        start = begin + len(part) - len(part.lstrip())
        found.append((start, max(start, begin + len(part.rstrip()))))
    return found


def _holds(whole: range, part: range) -> bool:
    return whole.start <= part.start and part.stop <= whole.stop


def lengths(asked: Sequence[Asked]) -> list[int]:
    """Return the longest window of each question, in tokens."""
    return [max(len(view.ids) for view in one.views) for one in asked]
