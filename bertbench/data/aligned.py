"""Sentences of words in, windows of tokens out that say where each word begins.

The first token of a word stands for it (Devlin et al. 2019, section 5.3), but none that is the blank
before it alone, as some tokenizers have where a word begins rarely. Windows are cut between words:
`head` keeps the first words, `head_tail` the first and the last, `window` all of them.
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


class Word(NamedTuple):
    """A word in tokens."""

    ids: list[int]  # at least one
    first: int  # which of them stands for it


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
        for sentence in self._read(texts):
            pieces = []
            for words in cut([len(word.ids) for word in sentence], room, self.long_text):
                ids, places = list(before), []
                for word in words:
                    places.append(len(ids) + sentence[word].first)
                    ids += sentence[word].ids[:room]
                pieces.append(Piece([*ids, *after], places, words))
            found.append(Sentence(pieces, len(sentence)))
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

    def _read(self, texts: Sequence[Sequence[str]]) -> list[list[Word]]:
        """Return the tokens of each word of each sentence; a word that the tokenizer drops is unknown.

        Words are read with blanks between them, as the encoder was trained to see them.
        """
        if not texts:
            return []
        reader: Any = self.tokenizer  # typed loosely by transformers
        encoded = reader(
            [" ".join(words) for words in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [
            by_word(words, ids, [end for _, end in offsets], reader.unk_token_id)
            for words, ids, offsets in zip(
                texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
            )
        ]


def by_word(
    words: Sequence[str], ids: Sequence[int], token_ends: Sequence[int], unknown: int
) -> list[Word]:
    """Return the tokens of each word of a sentence.

    Args:
        words: With one blank between two of them they are the text.
        ids: Its tokens.
        token_ends: Where each ends in the text: some tokenizers count the blank before a word to it.
        unknown: The id of a word that has no token.
    """
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    owners = np.searchsorted(starts[1:] - 1, np.maximum(token_ends, 1))
    before = np.array(token_ends) <= starts[owners]
    tokens: list[list[int]] = [[] for _ in words]
    for token, owner in zip(ids, owners.tolist(), strict=True):
        tokens[owner].append(token)
    blanks = np.bincount(owners[before], minlength=len(words)).tolist()
    return [
        Word(own or [unknown], blank if blank < len(own) else 0)
        for own, blank in zip(tokens, blanks, strict=True)
    ]


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
