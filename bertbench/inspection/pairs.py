"""One text or two in, what a tokenizer makes of them out: tokens, segments, words, and what is cut."""

from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from bertbench.config import Plain
from bertbench.data.words import word_starts
from bertbench.errors import UserError

CUT = "longest_first"  # one token at a time from the longer text: Devlin et al. (2019), run_classifier.py


def look_at_pair(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], *, length: int, segments: bool
) -> Plain:
    """Encode one text or two as an encoder reads them.

    Args:
        tokenizer: A fast one.
        texts: One or two, not empty.
        length: The most tokens, special ones included.
        segments: Whether the family has segment ids.

    Returns:
        For each of L tokens: `tokens`, `ids`, `segment_ids` (None without segments), `special` and
        `starts` (bool: it is a special token; a word begins), `text_of` (0 or 1, None for tokens between
        the texts) and `source` (the characters it stands for, or None). `unknown`: positions of unknown
        tokens. For each text: `lost`, how many tokens were cut off, `total`, how many it has, and `cut`,
        the characters that were cut.

    Raises:
        UserError: The tokenizer is slow, or `length` leaves no room for a token of each text.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which does not tell where words begin: "
            "give one with a tokenizer.json"
        )
    reader: Any = tokenizer  # typed loosely by transformers
    least = reader.num_special_tokens_to_add(pair=len(texts) == 2) + len(texts)
    if length < least:
        raise UserError(f"--length {length} leaves no room for text: it must be at least {least}")
    encoded = reader(
        *texts,
        truncation=CUT,
        max_length=length,
        padding=False,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    ids, owners = encoded["input_ids"], encoded.sequence_ids(0)
    offsets = encoded["offset_mapping"]
    wholes = [_whole(reader, text) for text in texts]
    starts = np.zeros(len(ids), dtype=bool)
    lost, cut = [], []
    for number, (text, whole) in enumerate(zip(texts, wholes, strict=True)):
        kept = [place for place, owner in enumerate(owners) if owner == number]
        begins = np.array([begin for begin, _ in whole], dtype=np.int64)
        counts = np.array([len(whole)], dtype=np.int64)
        starts[kept] = word_starts([text], begins, counts)[: len(kept)]
        lost.append(len(whole) - len(kept))
        cut.append(text[whole[len(kept)][0] :] if lost[-1] else "")
    unknown = [
        place
        for place, owner in enumerate(owners)
        if owner is not None and ids[place] == reader.unk_token_id
    ]
    special = set(reader.all_special_ids) - {reader.unk_token_id}
    return {
        "tokens": reader.convert_ids_to_tokens(ids),
        "ids": ids,
        "segment_ids": encoded["token_type_ids"] if segments else None,
        "special": [number in special for number in ids],
        "starts": starts.tolist(),
        "text_of": owners,
        "source": [
            None if owner is None else texts[owner][begin:end]
            for owner, (begin, end) in zip(owners, offsets, strict=True)
        ],
        "unknown": unknown,
        "total": [len(whole) for whole in wholes],
        "lost": lost,
        "cut": cut,
    }


def _whole(reader: Any, text: str) -> list[tuple[int, int]]:
    """Return where each token of a text begins and ends in it, when nothing is cut."""
    encoded = reader(
        text,
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    return encoded["offset_mapping"]
