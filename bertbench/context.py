"""Masked words in, how well they are predicted from either side, from both and from neither out."""

import numpy as np
import torch
from torch import Tensor

from bertbench.data.batching import as_batch
from bertbench.models.encoder import LanguageModel
from bertbench.prediction import in_batches, numbered, predict
from bertbench.runtime import Compute, numpy_generator
from bertbench.types import IGNORE, Batch, Masked, Rows, Vocabulary

VIEWS = ("full", "left", "right", "none")


def context_table(
    model: LanguageModel,
    rows: Rows,
    vocabulary: Vocabulary,
    compute: Compute,
    *,
    most: int,
    seed: int,
) -> dict[str, float]:
    """Predict the same words, one a row, when more or less of the row can be seen.

    What is out of sight is hidden by the attention mask, not cut off. So the word keeps its position and
    its distance from both ends, the row keeps its length, and the views differ in nothing but what can be
    looked at; a row that is cut at the word would put it at an end, where an encoder has learnt to find
    other words, and would measure that, too.

    Args:
        model: In evaluation mode.
        rows: Held out, of one segment.
        vocabulary: Says which ids are special.
        compute: Precision.
        most: Words, drawn uniformly among those of all rows; all of them where there are fewer.
        seed: Of the draw.

    Returns:
        `context_X` for X in full, left, right and none: the share of words of which all tokens are
        predicted right; `context_X_loss`: nats a token; `context_words`: their number. Nothing where
        there is no word.
    """
    some, numbers = _drawn(rows, vocabulary, most=most, seed=seed)
    if not len(numbers):
        return {}
    right: dict[str, float] = dict.fromkeys(VIEWS, 0.0)
    loss, tokens = right.copy(), 0
    for batch in in_batches(some, vocabulary):
        word = _positions(batch, numbers[batch.sequence.numpy()])
        masked = hidden(batch, word, vocabulary)
        owner = word.nonzero(as_tuple=True)[0]  # (N,): row of each predicted token
        tokens += len(owner)
        for name, visible in views(batch, word).items():
            seen = batch._replace(attention_mask=visible)
            losses, hits = predict(model, masked, seen, compute)
            missed = torch.zeros(len(word)).index_add(0, owner, (~hits).float())
            right[name] += int((missed == 0).sum())
            loss[name] += float(losses.double().sum())
    accuracies = {f"context_{name}": right[name] / len(numbers) for name in VIEWS}
    losses_a_token = {f"context_{name}_loss": loss[name] / tokens for name in VIEWS}
    return accuracies | losses_a_token | {"context_words": float(len(numbers))}


def views(batch: Batch, word: Tensor) -> dict[str, Tensor]:
    """Return what can be seen in each view, bool, (B, L).

    [CLS], the last [SEP] and the word's own positions always can: encoders rest much of their attention
    on special tokens when there is nothing to look for (Clark et al. 2019,
    https://aclanthology.org/W19-4828, section 3.2).

    Args:
        batch: Rows of one segment.
        word: bool, (B, L): one stretch of positions a row.
    """
    real = batch.attention_mask
    place = torch.arange(real.shape[1])
    ends = (place == 0) | (place == real.sum(1, keepdim=True) - 1)
    begun, over = word.cumsum(1) > 0, word.flip(1).cumsum(1).flip(1) == 0
    always = ends | word
    return {
        "full": real,
        "left": real & (always | ~begun),
        "right": real & (always | over),
        "none": real & always,
    }


def hidden(batch: Batch, word: Tensor, vocabulary: Vocabulary) -> Masked:
    """Return a batch in which the marked positions, bool, (B, L), are [MASK] and to be predicted."""
    return Masked(
        batch.ids.masked_fill(word, vocabulary.mask), batch.ids.masked_fill(~word, IGNORE)
    )


def _drawn(rows: Rows, vocabulary: Vocabulary, *, most: int, seed: int) -> tuple[Rows, np.ndarray]:
    """Return a row for each drawn word, and int64, (S,): which of the row's words it is, from 1."""
    batch = as_batch(rows, np.arange(len(rows.ids)), vocabulary, epoch=0)
    counts = np.array([line.max(initial=0) for line in numbered(batch)], dtype=np.int64)
    ends = np.cumsum(counts)
    total = int(counts.sum())
    generator = numpy_generator(seed, "words")
    drawn = np.sort(generator.choice(total, min(most, total), replace=False))
    row = np.searchsorted(ends, drawn, side="right")
    return Rows(*(field[row] for field in rows)), drawn - ends[row] + counts[row] + 1


def _positions(batch: Batch, numbers: np.ndarray) -> Tensor:
    """Return bool, (B, L): where the word with a number, (B,), stands in its row."""
    return torch.from_numpy(np.stack(numbered(batch)) == numbers[:, None])
