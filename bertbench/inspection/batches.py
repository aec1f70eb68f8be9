"""Packed rows and a masking in, what pretraining reads of them in each epoch out."""

from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from bertbench.budget import Budget, Spent
from bertbench.config import Plain
from bertbench.data.batching import as_batch
from bertbench.types import FOLLOWS, IGNORE, Batch, Masked, Masking, Rows, Vocabulary

UNTOUCHED, HIDDEN, SWAPPED, KEPT = "", "hidden", "swapped", "kept"  # what became of a position
SAMPLED = 1000  # rows from which the tokens of an epoch are estimated
END = 1 - 1e-9  # of the budget: as much as can be gone before a step


def look_at_rows(
    rows: Rows,
    masking: Masking,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Vocabulary,
    *,
    count: int,
    spent: list[float],
    segments: bool,
) -> Plain:
    """Mask the first rows of a packed corpus, epoch by epoch.

    Args:
        rows: S sequences.
        masking: Of the pretraining.
        tokenizer: Names the ids.
        vocabulary: Says which ids are special.
        count: How many rows; all of them where there are fewer.
        spent: For each epoch, the share of the budget that is gone when it begins, in [0, 1].
        segments: Whether the family has segment ids.

    Returns:
        `rows`: for each its number `sequence`, `tokens`, `ids`, `segment_ids` (None without segments),
        `second` (where the second segment begins, or None), `related` (`follows`, `does not follow` or
        None), and in `epochs` what is read: `tokens`, `ids` and `fates` (`hidden`, `swapped`, `kept`, or
        empty where nothing is predicted). `epochs`: for each the counts `maskable`, `picked`, `hidden`,
        `swapped`, `kept`, and `spent`. `shared`: for each later epoch how many picked positions it shares
        with the first, and whether all that is read and predicted is the same.
    """
    chosen = np.arange(min(count, len(rows.ids)))
    batch = as_batch(rows, chosen, vocabulary, epoch=0)
    shown = [_row(batch, row, rows, tokenizer, segments=segments) for row in range(len(chosen))]
    epochs, made = [], []
    for epoch, share in enumerate(spent):
        masked = masking(batch._replace(epoch=epoch, spent=min(share, END)))
        fates = _fates(batch, masked, vocabulary)  # str, (B, L)
        for row, one in enumerate(shown):
            size = len(one["ids"])
            ids = masked.ids[row, :size].tolist()
            read = {"epoch": epoch + 1, "tokens": _names(tokenizer, ids), "ids": ids}
            one["epochs"].append(read | {"fates": fates[row, :size].tolist()})
        counts = {name: int((fates == name).sum()) for name in (HIDDEN, SWAPPED, KEPT)}
        picked = {"maskable": int(batch.maskable.sum()), "picked": sum(counts.values())}
        epochs.append({"epoch": epoch + 1, "spent": share} | picked | counts)
        made.append(masked)
    shared = [_compared(made[0], later, number) for number, later in enumerate(made[1:], start=2)]
    return {"rows": shown, "epochs": epochs, "shared": shared}


def spent_at_epochs(
    rows: Rows, vocabulary: Vocabulary, budget: Budget, *, batch_size: int, epochs: int
) -> list[float]:
    """Return the share of a pretraining's budget that is gone when each epoch begins, in [0, 1].

    The tokens of an epoch are estimated from rows spread over the corpus. How long an epoch takes is not
    known: with a budget in seconds each share is 0.
    """
    count = len(rows.ids)
    some = np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))
    tokens = float((rows.ids[some] != vocabulary.pad).sum(1).mean()) * count
    steps = -(-count // batch_size)
    return [budget.share(Spent(n * steps, n * tokens, 0.0)) for n in range(epochs)]


def _row(
    batch: Batch, row: int, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, segments: bool
) -> Plain:
    size = int(batch.attention_mask[row].sum())
    ids, related = batch.ids[row, :size].tolist(), int(batch.related[row])
    follows = "follows" if related == FOLLOWS else "does not follow"
    return {
        "sequence": int(batch.sequence[row]),
        "tokens": _names(tokenizer, ids),
        "ids": ids,
        "segment_ids": batch.segment_ids[row, :size].tolist() if segments else None,
        "second": int(rows.second[row]) if rows.second[row] < size else None,
        "related": None if related == IGNORE else follows,
        "epochs": [],
    }


def _fates(batch: Batch, masked: Masked, vocabulary: Vocabulary) -> np.ndarray:
    """Return what became of each position: str, (B, L). A swap for the same token is no swap."""
    picked = (masked.labels != IGNORE).numpy()
    hidden = picked & (masked.ids == vocabulary.mask).numpy()
    kept = picked & (masked.ids == batch.ids).numpy()
    return np.select([hidden, kept, picked], [HIDDEN, KEPT, SWAPPED], default=UNTOUCHED)


def _compared(first: Masked, later: Masked, number: int) -> Plain:
    before, after = first.labels != IGNORE, later.labels != IGNORE
    return {
        "epochs": [1, number],
        "picked": [int(before.sum()), int(after.sum())],
        "both": int((before & after).sum()),
        "same": torch.equal(first.ids, later.ids) and torch.equal(first.labels, later.labels),
    }


def _names(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    reader: Any = tokenizer  # typed loosely by transformers
    return reader.convert_ids_to_tokens(ids)
