"""Which rows a step sees: a function of (seed, step), so that resuming skips nothing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from bertbench.data.mapped import release
from bertbench.runtime import numpy_generator
from bertbench.types import Batch, Rows, Vocabulary

RELEASED = 4  # steps after which the pages that were read of a corpus on disk are let go


class Short(NamedTuple):
    """Rows that a pretraining reads before it comes to those of its full length."""

    rows: Rows  # packed from the same documents
    batch_size: int  # sequences a step
    share: float  # of the budget, in (0, 1)


class ShortFirst:
    """Short rows for the first share of a budget, full ones after it: one `Batch` a step.

    Source: the order of lengths is that of Devlin et al. (2019), section A.2.

    Args:
        rows: S sequences of L tokens.
        vocabulary: Says which ids are special.
        batch_size: Sequences a step; the last batch of an epoch may be smaller.
        seed: Of the order.
        short: Read first; None: full rows from the first step on.
    """

    def __init__(
        self,
        rows: Rows,
        vocabulary: Vocabulary,
        *,
        batch_size: int,
        seed: int,
        short: Short | None = None,
    ) -> None:
        full = CorpusBatches(rows, vocabulary, batch_size=batch_size, seed=seed)
        self.parts = [(1.0, full)]  # until which share of the budget, from what
        if short is not None:
            first = CorpusBatches(short.rows, vocabulary, batch_size=short.batch_size, seed=seed)
            self.parts.insert(0, (short.share, first))

    def __call__(self, step: int, spent: float = 0.0) -> Batch:
        """Return the batch of `step` (from 0), before which `spent` of the budget was gone."""
        source = next(source for until, source in self.parts if spent < until)
        return source(step, spent)


class CorpusBatches:
    """Packed rows in, one `Batch` a step out, endlessly; each epoch has its own order.

    Args:
        rows: S sequences of L tokens.
        vocabulary: Says which ids are special.
        batch_size: Sequences a step; the last batch of an epoch may be smaller.
        seed: Of the order.
    """

    def __init__(self, rows: Rows, vocabulary: Vocabulary, *, batch_size: int, seed: int) -> None:
        self.rows, self.vocabulary, self.batch_size, self.seed = rows, vocabulary, batch_size, seed
        self.steps_per_epoch = -(-len(rows.ids) // batch_size)
        self._epoch, self._order = -1, np.arange(0)

    def __call__(self, step: int, spent: float = 0.0) -> Batch:
        """Return the batch of `step` (from 0), before which `spent` of the budget was gone."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = numpy_generator(self.seed, "corpus order", epoch)
            self._epoch, self._order = epoch, generator.permutation(len(self.rows.ids))
        start = place * self.batch_size
        chosen = self._order[start : start + self.batch_size]
        if step % RELEASED == 0:
            release(*self.rows)
        return as_batch(self.rows, chosen, self.vocabulary, epoch=epoch, spent=spent)


def as_batch(
    rows: Rows, chosen: np.ndarray, vocabulary: Vocabulary, *, epoch: int, spent: float = 0.0
) -> Batch:
    """Make a `Batch` of some rows, as long as the longest of them.

    Args:
        rows: S sequences of up to L tokens, padded.
        chosen: int64, (B,): which rows.
        vocabulary: Says which ids are special.
        epoch: How often the corpus has been read before.
        spent: Share of the training's budget, in [0, 1).
    """
    ids = rows.ids[chosen].astype(np.int64)  # (B, L)
    real = ids != vocabulary.pad
    length = int(real.sum(1).max(initial=1))
    ids, real = ids[:, :length], real[:, :length]
    segments = real & (np.arange(length) >= rows.second[chosen][:, None])
    return Batch(
        ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(real),
        maskable=torch.from_numpy(~np.isin(ids, vocabulary.special)),
        starts=torch.from_numpy(rows.starts[chosen][:, :length]),
        segment_ids=torch.from_numpy(segments.astype(np.int64)),
        related=torch.from_numpy(rows.related[chosen]),
        sequence=torch.from_numpy(chosen),
        epoch=epoch,
        spent=spent,
    )


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
