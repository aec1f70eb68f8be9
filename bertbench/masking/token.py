"""Masking of single tokens, as BERT does it."""

import numpy as np

from bertbench.hiding import Hiding
from bertbench.types import Batch, Masked, Vocabulary


class TokenMasking:
    """Pick each token with probability `rate`, whatever its neighbours.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1. A token that is
    picked at one rate is picked at every higher one.

    Args:
        vocabulary: Says which ids are ordinary.
        seed: Of every draw.
        rate: See `hiding.Hiding`, as for the following.
        rate_end: When the training ends; None keeps `rate`.
        swap: Share of picked tokens replaced by a random id.
        keep: Share of picked tokens left as they are.
        views: Number of different masks of a sequence; None draws a new one every epoch.

    Raises:
        UserError: See `hiding.Hiding`.
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
        self.hiding = Hiding(
            vocabulary,
            seed=seed,
            rate=rate,
            rate_end=rate_end,
            swap=swap,
            keep=keep,
            views=views,
        )

    def __call__(self, batch: Batch) -> Masked:
        """Mask `batch.ids` (B, L); see the class for the rule."""
        return self.hiding(batch, pick)


def pick(
    generator: np.random.Generator, maskable: np.ndarray, _starts: np.ndarray, rate: float
) -> np.ndarray:
    """See `hiding.Pick`."""
    return generator.random(len(maskable)) < rate


def evaluation_masking(vocabulary: Vocabulary) -> TokenMasking:
    """Return the masks of every evaluation, whatever the training's: or losses cannot be compared.

    BERT's: Devlin et al. (2019), section 3.1, task 1; always the same.
    """
    return TokenMasking(vocabulary, seed=0, rate=0.15, rate_end=None, swap=0.1, keep=0.1, views=1)
