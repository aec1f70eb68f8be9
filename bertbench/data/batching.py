"""Which rows a step sees: a function of (seed, step), so that resuming skips nothing."""

from collections.abc import Sequence

import numpy as np
import torch

from bertbench.runtime import numpy_generator
from bertbench.types import Batch, Vocabulary


class CorpusBatches:
    """Packed rows in, one `Batch` a step out, endlessly; each epoch has its own order.

    Args:
        rows: int32, (S, L).
        vocabulary: Says which ids are special.
        batch_size: Sequences a step; the last batch of an epoch may be smaller.
        seed: Of the order.
    """

    def __init__(
        self, rows: np.ndarray, vocabulary: Vocabulary, *, batch_size: int, seed: int
    ) -> None:
        self.rows, self.vocabulary, self.batch_size, self.seed = rows, vocabulary, batch_size, seed
        self.steps_per_epoch = -(-len(rows) // batch_size)
        self._epoch, self._order = -1, np.arange(0)

    def __call__(self, step: int) -> Batch:
        """Return the batch of `step` (from 0)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = numpy_generator(self.seed, "corpus order", epoch)
            self._epoch, self._order = epoch, generator.permutation(len(self.rows))
        start = place * self.batch_size
        return as_batch(
            self.rows, self._order[start : start + self.batch_size], self.vocabulary, epoch=epoch
        )


def as_batch(rows: np.ndarray, chosen: np.ndarray, vocabulary: Vocabulary, *, epoch: int) -> Batch:
    """Make a `Batch` of some rows.

    Args:
        rows: int32, (S, L).
        chosen: int64, (B,): which rows.
        vocabulary: Says which ids are special.
        epoch: How often the corpus has been read before.
    """
    ids = torch.from_numpy(rows[chosen].astype(np.int64))
    maskable = ~torch.isin(ids, torch.tensor(vocabulary.special))
    return Batch(ids, ids != vocabulary.pad, maskable, torch.from_numpy(chosen), epoch)


def bucketed(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Cut items into random batches of like length: short texts are not padded to long ones.

    Args:
        lengths: Tokens of each item, (T,).
        batch_size: Items a batch; the last of an epoch may be smaller.
        seed: Of the order.
        epoch: Each has its own order.

    Returns:
        Row numbers of each batch, batches in random order.
    """
    generator = numpy_generator(seed, "task order", epoch)
    order = generator.permutation(len(lengths))
    pool = 50 * batch_size  # sorted within pools, so that batches differ between epochs
    batches = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(np.asarray(lengths)[rows], kind="stable")]
        batches.extend(np.split(rows, range(batch_size, len(rows), batch_size)))
    return [batches[i] for i in generator.permutation(len(batches))]
