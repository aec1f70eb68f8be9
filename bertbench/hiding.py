"""Picked positions in, corrupted ids and labels out: what every masking rule shares."""

from collections.abc import Callable

import numpy as np
import torch

from bertbench.errors import UserError
from bertbench.runtime import numpy_generator
from bertbench.types import IGNORE, Batch, Masked, Vocabulary

# (generator, maskable, starts, rate) of one sequence, the arrays bool, (L,) -> bool or int64, (L,):
# False or 0 where a position is not picked; see `Hiding.__call__`.
Pick = Callable[[np.random.Generator, np.ndarray, np.ndarray, float], np.ndarray]


class Hiding:
    """Hide most of the picked tokens, swap some, keep some; say which view and rate a batch has.

    Source of the three fates: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1:
    of the picked tokens 80 % become [MASK], 10 % a random token and 10 % stay. Static and dynamic
    masks (Liu et al. 2019, https://arxiv.org/abs/1907.11692, section 4.1) differ in `views` alone. A
    rate that changes linearly over the training: Ankner et al. (2024),
    https://arxiv.org/abs/2305.15096.

    A mask is a function of (seed, view, sequence), of the row's content and of the rate. Padding
    behind a row changes nothing, nor do the other rows of its batch.

    Args:
        vocabulary: Gives the id of [MASK]; a swapped token is any that is not special.
        seed: Of every draw.
        rate: Share of maskable tokens that are picked when the training begins, in (0, 1].
        rate_end: The same when it ends, in (0, 1]; None keeps `rate` throughout.
        swap: Share of picked tokens replaced by a random id, in [0, 1].
        keep: Share of picked tokens left as they are, in [0, 1].
        views: Number of different masks of a sequence, used in turn, one an epoch: 1 is static
            masking, 10 BERT's duplicated data; None draws a new one every epoch (dynamic).

    Raises:
        UserError: The shares are none, or `views` is no number of masks.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        seed: int,
        rate: float,
        rate_end: float | None,
        swap: float,
        keep: float,
        views: int | None,
    ) -> None:
        if not (0 < rate <= 1 and swap >= 0 and keep >= 0 and swap + keep <= 1):
            raise UserError(
                f"masking.rate={rate} must lie in (0, 1], and masking.swap={swap} and "
                f"masking.keep={keep} must be shares that add up to at most 1"
            )
        # Types are checked here where null is the default, which says nothing of them.
        if rate_end is not None and not (type(rate_end) in (int, float) and 0 < rate_end <= 1):
            raise UserError(
                f"masking.rate_end={rate_end} must lie in (0, 1], or be null for a constant rate"
            )
        if views is not None and not (type(views) is int and views >= 1):
            raise UserError(
                f"masking.views={views} must be a whole number of at least 1, or null for a new mask "
                "every epoch"
            )
        self.mask, self.seed, self.views = vocabulary.mask, seed, views
        self.rate, self.rate_end = rate, rate if rate_end is None else rate_end
        self.swap, self.keep = swap, keep
        self.ordinary = np.setdiff1d(np.arange(vocabulary.size), vocabulary.special)

    def rate_at(self, spent: float) -> float:
        """Return the share of tokens to pick when `spent` of the budget is gone, in [0, 1)."""
        return self.rate + (self.rate_end - self.rate) * spent

    def __call__(self, batch: Batch, pick: Pick, *, together: bool = False) -> Masked:
        """Mask a batch.

        Args:
            batch: On the CPU.
            pick: The rule's choice for one sequence. It draws from the generator it is given alone,
                and so that padding behind the sequence moves no draw. What it says of positions that
                are not maskable is ignored.
            together: Whether picked positions with the same number share one fate; else each has
                its own.
        """
        view = batch.epoch if self.views is None else batch.epoch % self.views
        rate = self.rate_at(batch.spent)
        maskable, starts = batch.maskable.numpy(), batch.starts.numpy()
        groups = np.empty(maskable.shape, dtype=np.int64)  # (B, L)
        drawn = np.empty((*maskable.shape, 2))  # float64, (B, L, 2): fate and random id
        for row, sequence in enumerate(batch.sequence.tolist()):
            generator = numpy_generator(self.seed, "picked", view, sequence)
            groups[row] = pick(generator, maskable[row], starts[row], rate)
            numpy_generator(self.seed, "fate", view, sequence).random(out=drawn[row])
            if together:
                _, first, group = np.unique(groups[row], return_index=True, return_inverse=True)
                drawn[row, :, 0] = drawn[row, first[group], 0]

        fate = torch.from_numpy(drawn[..., 0])
        random_ids = self.ordinary[(drawn[..., 1] * len(self.ordinary)).astype(np.int64)]
        picked = batch.maskable & torch.from_numpy(groups != 0)  # (B, L)
        # fate: [0, keep) stays, [keep, keep + swap) is swapped, the rest is hidden.
        swapped = picked & (self.keep <= fate) & (fate < self.keep + self.swap)
        hidden = picked & (self.keep + self.swap <= fate)
        ids = torch.where(swapped, torch.from_numpy(random_ids), batch.ids)
        return Masked(ids.masked_fill(hidden, self.mask), batch.ids.masked_fill(~picked, IGNORE))


def words(maskable: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Number the words of a sequence.

    A word begins where `starts` says so, and where a maskable position follows one that is not; it
    ends before the next word or the next position that is not maskable.

    Args:
        maskable: bool, (L,).
        starts: bool, (L,).

    Returns:
        int64, (L,): 1, 2, ... on the tokens of the first word, the second, ...; 0 between words.
    """
    begins = starts.copy()
    begins[:1] = True
    begins[1:] |= ~maskable[:-1]
    return np.cumsum(begins & maskable) * maskable
