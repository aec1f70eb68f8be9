"""Masking of single tokens, as BERT does it."""

import numpy as np
import torch

from bertbench.errors import UserError
from bertbench.runtime import numpy_generator
from bertbench.types import IGNORE, Batch, Masked, Vocabulary


class TokenMasking:
    """Pick single tokens at random; hide most, swap some, keep some.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1: 15 % of the tokens
    are picked; of those 80 % become [MASK], 10 % a random token and 10 % stay. Static and dynamic
    masks (Liu et al. 2019, https://arxiv.org/abs/1907.11692, section 4.1) differ in `views` alone.

    Args:
        vocabulary: Gives the id of [MASK]; a swapped token is any that is not special.
        seed: Of every draw. A mask is a function of (seed, sequence, view).
        rate: Share of maskable tokens that are picked, in (0, 1].
        swap: Share of picked tokens replaced by a random id, in [0, 1].
        keep: Share of picked tokens left as they are, in [0, 1].
        views: Number of different masks of a sequence, used in turn, one an epoch: 1 is static
            masking, 10 BERT's duplicated data; None draws a new one every epoch (dynamic).

    Raises:
        UserError: The shares are none, or `views` is below 1.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        seed: int,
        rate: float,
        swap: float,
        keep: float,
        views: int | None,
    ) -> None:
        if not (0 < rate <= 1 and swap >= 0 and keep >= 0 and swap + keep <= 1):
            raise UserError(
                f"masking.rate={rate} must lie in (0, 1], and masking.swap={swap} and "
                f"masking.keep={keep} must be shares that add up to at most 1"
            )
        if views is not None and views < 1:
            raise UserError(
                f"masking.views={views} must be at least 1, or null for a new mask every epoch"
            )
        self.mask, self.seed, self.views = vocabulary.mask, seed, views
        self.rate, self.swap, self.keep = rate, swap, keep
        special = set(vocabulary.special)
        self.ordinary = np.array([i for i in range(vocabulary.size) if i not in special])

    def __call__(self, batch: Batch) -> Masked:
        """Mask `batch.ids` (B, L); see the class for the rule."""
        view = batch.epoch if self.views is None else batch.epoch % self.views
        length = batch.ids.shape[1]
        pick, fate = np.empty((2, *batch.ids.shape))  # float64, (B, L)
        random_ids = np.empty(batch.ids.shape, dtype=np.int64)
        for row, sequence in enumerate(batch.sequence.tolist()):
            generator = numpy_generator(self.seed, "masking", view, sequence)
            pick[row], fate[row] = generator.random(length), generator.random(length)
            random_ids[row] = self.ordinary[generator.integers(len(self.ordinary), size=length)]

        picked = batch.maskable & torch.from_numpy(pick < self.rate)  # (B, L)
        # fate: [0, keep) stays, [keep, keep + swap) is swapped, the rest is hidden.
        swapped = picked & torch.from_numpy((self.keep <= fate) & (fate < self.keep + self.swap))
        hidden = picked & torch.from_numpy(self.keep + self.swap <= fate)
        ids = torch.where(swapped, torch.from_numpy(random_ids), batch.ids)
        return Masked(ids.masked_fill(hidden, self.mask), batch.ids.masked_fill(~picked, IGNORE))
