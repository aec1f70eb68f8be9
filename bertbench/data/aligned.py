"""Sentences of words in, windows of tokens out that say where each word begins.

The first token of a word stands for it (Devlin et al. 2019, section 5.3). Windows are cut between
words: `head` keeps the first words, `head_tail` the first and the last, `window` all of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bertbench.data.encoding import LONG_TEXT, template
from bertbench.errors import UserError


class Piece(NamedTuple):
    """Some words of a sentence, as an encoder reads them at once."""

    ids: list[int]  # special tokens included
    places: list[int]  # of the first token of each word in it
    words: list[int]  # their numbers in the sentence


class Sentence(NamedTuple):
    """An encoded sentence."""

    pieces: list[Piece]
    words: int  # how many it has, those that were cut off included


class Pieces(NamedTuple):
    """Padded pieces of some sentences, and the words in them."""

    ids: Tensor  # int64, (W, L)
    attention_mask: Tensor  # bool, (W, L)
    row: Tensor  # int64, (N,): the piece of each word
    place: Tensor  # int64, (N,): its first token
    sentence: Tensor  # int64, (N,): whose word it is
    word: Tensor  # int64, (N,): its number in the sentence


class Alignment:
    """Cuts sentences for one encoder, and pads them.

    Args:
        tokenizer: The encoder's own, a fast one.
        max_length: Tokens of a piece, special tokens included.
        long_text: A key of LONG_TEXT.
        positions: The most tokens the encoder can take.

    Raises:
        UserError: `max_length` is below 8 or above `positions`, or the tokenizer is slow.
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
        if not tokenizer.is_fast:
            raise UserError(
                f"{type(tokenizer).__name__} is a slow tokenizer, which does not tell where words begin: "
                "give one with a tokenizer.json"
            )
        self.tokenizer, self.max_length, self.long_text = tokenizer, max_length, long_text
        self.around = template(tokenizer).alone

    def encode(self, texts: Sequence[Sequence[str]]) -> list[Sentence]:
        """Return the pieces of each sentence, special tokens added."""
        before, after = self.around
        room = self.max_length - len(before) - len(after)
        found = []
        for tokens in self._tokens(texts):
            pieces = []
            for words in cut([len(ids) for ids in tokens], room, self.long_text):
                ids, places = list(before), []
                for word in words:
                    places.append(len(ids))
                    ids += tokens[word][:room]
                pieces.append(Piece([*ids, *after], places, words))
            found.append(Sentence(pieces, len(tokens)))
        return found

    def collate(self, sentences: Sequence[Sentence]) -> Pieces:
        """Pad the pieces of some encoded sentences into one batch."""
        pieces = [piece for sentence in sentences for piece in sentence.pieces]
        longest = max(len(piece.ids) for piece in pieces)
        ids = np.full((len(pieces), longest), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(pieces), longest), dtype=bool)
        owners = np.repeat(np.arange(len(sentences)), [len(s.pieces) for s in sentences])
        words: list[tuple[int, int, int, int]] = []
        for row, (piece, owner) in enumerate(zip(pieces, owners.tolist(), strict=True)):
            ids[row, : len(piece.ids)], mask[row, : len(piece.ids)] = piece.ids, True
            words += [
                (row, place, owner, word)
                for place, word in zip(piece.places, piece.words, strict=True)
            ]
        columns = np.array(words, dtype=np.int64).reshape(-1, 4).T
        arrays = (ids, mask, *map(np.ascontiguousarray, columns))
        return Pieces(*map(torch.from_numpy, arrays))

    def settings(self) -> dict[str, object]:
        """Return what `Alignment` needs beside the tokenizer to be made again."""
        return {"max_length": self.max_length, "long_text": self.long_text}

    def _tokens(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """Return the ids of each word of each sentence; a word that the tokenizer drops is unknown.

        Words are read with blanks between them, as the encoder was trained to see them.
        """
        reader: Any = self.tokenizer  # typed loosely by transformers
        encoded = reader(
            [" ".join(words) for words in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        found = []
        for words, ids, offsets in zip(
            texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            ends = np.cumsum([len(word) + 1 for word in words]) - 1  # of each word
            tokens: list[list[int]] = [[] for _ in words]
            for token, (_, end) in zip(ids, offsets, strict=True):
                # By its last character: some tokenizers count the blank before a word to its token.
                tokens[int(np.searchsorted(ends, max(end, 1)))].append(token)
            found.append([own or [reader.unk_token_id] for own in tokens])
        return found


def cut(counts: Sequence[int], room: int, long_text: str) -> list[list[int]]:
    """Return the numbers of the words in each piece.

    Args:
        counts: Tokens of each word; one longer than `room` is cut.
        room: Tokens of a piece.
        long_text: A key of LONG_TEXT.
    """
    kept = [min(count, room) for count in counts]
    if long_text == "window" or sum(kept) <= room:
        pieces: list[list[int]] = [[]]
        filled = 0
        for word, count in enumerate(kept):
            if filled + count > room:
                pieces.append([])
                filled = 0
            pieces[-1].append(word)
            filled += count
        return pieces
    tokens = [word for word, count in enumerate(kept) for _ in range(count)]
    [chosen] = LONG_TEXT[long_text](tokens, room)
    whole = [w for w in dict.fromkeys(chosen) if chosen.count(w) == kept[w]]
    return [whole or [0]]


def lengths(sentences: Sequence[Sentence]) -> list[int]:
    """Return the longest piece of each sentence, in tokens."""
    return [max(len(piece.ids) for piece in sentence.pieces) for sentence in sentences]
