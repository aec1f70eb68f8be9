"""Masking of whole words: all tokens of a word are picked, or none."""

import numpy as np

from bertbench.hiding import Hiding, words
from bertbench.types import Batch, Masked, Vocabulary


class WholeWordMasking:
    """Pick each word with probability `rate`: so the share of picked tokens is `rate` as well.

    Source: the whole-word masking release of https://github.com/google-research/bert (May 2019). As
    there, each token of a picked word has its own fate. There words are picked until a number of
    tokens is reached; here each word is drawn alone, so that no word depends on another.

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

    needs_words = True  # refused where nothing in the text tells words apart

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
    generator: np.random.Generator, maskable: np.ndarray, starts: np.ndarray, rate: float
) -> np.ndarray:
    """Return the numbers of picked words; see `hiding.Pick`."""
    numbers = words(maskable, starts)
    chosen = generator.random(numbers.max(initial=0) + 1) < rate  # by number; 0 is no word
    return numbers * chosen[numbers]
