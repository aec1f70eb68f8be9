"""Masking of spans: runs of whole words, of random lengths, until enough tokens are picked."""

from collections.abc import Sequence

import numpy as np

from bertbench.errors import UserError
from bertbench.hiding import Hiding, words
from bertbench.types import Batch, Masked, Vocabulary


class SpanMasking:
    """Pick spans of whole words, one after another, until `rate` of the tokens is picked.

    For each span a length in words is drawn, then its beginning, each place where it fits with equal
    chance. A span fits where that many words in a row are not picked yet and nothing stands between
    them that is not maskable. Spans do not overlap; they may touch.

    A length is shortened for two reasons only. Where no place is left for it, the span takes the
    longest one there is. At the end the words that fit into what is left of the budget of
    `rate` x (maskable tokens), a real number, are picked, and the one that crosses it with probability
    (tokens left) / (its tokens): so the expected number of picked tokens is the budget. Words beside a
    position that is not maskable are picked less often than others, as fewer spans cover them.

    Args:
        vocabulary: Says which ids are ordinary.
        probabilities: Of the lengths 1, 2, ... in words; any positive sum.
        together: Whether all tokens of a span share one fate; else each has its own.
        seed: Of every draw.
        rate: See `hiding.Hiding`, as for the following.
        rate_end: When the training ends; None keeps `rate`.
        swap: Share of picked tokens (or spans) replaced by random ids.
        keep: Share of picked tokens (or spans) left as they are.
        views: Number of different masks of a sequence; None draws a new one every epoch.

    Raises:
        UserError: See `hiding.Hiding`.
    """

    needs_words = True  # refused where nothing in the text tells words apart

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        probabilities: Sequence[float],
        together: bool,
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
        cumulative = np.cumsum(probabilities)
        self.cumulative, self.together = cumulative / cumulative[-1], together

    def __call__(self, batch: Batch) -> Masked:
        """Mask `batch.ids` (B, L); see the class for the rule."""
        return self.hiding(batch, self.pick, together=self.together)

    def pick(
        self, generator: np.random.Generator, maskable: np.ndarray, starts: np.ndarray, rate: float
    ) -> np.ndarray:
        """Return the number of each position's span, in the order they were drawn; see `hiding.Pick`."""
        numbers = words(maskable, starts)  # (L,)
        tokens = np.bincount(numbers)[1:]  # of each word
        span_of = np.zeros(len(tokens) + 1, dtype=np.int64)  # by the word's number; 0 is no word
        room = _room(numbers)
        left, span = rate * tokens.sum(), 0
        while left > 0:
            span += 1
            drawn = 1 + int(np.searchsorted(self.cumulative, generator.random(), side="right"))
            length = min(drawn, int(room.max()))
            places = np.flatnonzero(room >= length)
            start = places[int(generator.random() * len(places))]
            sums = np.cumsum(tokens[start : start + length])
            whole = int(np.searchsorted(sums, left, side="right"))  # words within the budget
            if whole < length:
                left -= sums[whole - 1] if whole else 0
                length = whole + (generator.random() * tokens[start + whole] < left)
                left = 0
            else:
                left -= sums[-1]
            span_of[1 + start : 1 + start + length] = span
            room[start : start + length] = 0
            np.minimum(room[:start], np.arange(start, 0, -1), out=room[:start])
        return span_of[numbers]


def _room(numbers: np.ndarray) -> np.ndarray:
    """Return for each word how many words follow without a break, itself among them."""
    present = np.flatnonzero(numbers)  # positions
    word = numbers[present]
    broken = np.diff(present) > 1  # something that is not maskable comes between
    ends = np.append(word[:-1][broken], word[-1:])  # last word of each run
    return np.repeat(ends, np.diff(ends, prepend=0)) - np.arange(word.max(initial=0))


def geometric(
    vocabulary: Vocabulary,
    *,
    p: float,
    longest: int,
    together: bool,
    seed: int,
    rate: float,
    rate_end: float | None,
    swap: float,
    keep: float,
    views: int | None,
) -> SpanMasking:
    """Return SpanBERT's masking: lengths from a geometric distribution, clipped and renormalised.

    Source: Joshi et al. (2020), https://arxiv.org/abs/1907.10529, section 3.1: p = 0.2, at most 10
    words, 3.8 in the mean; a span is hidden, swapped or kept as a whole.

    Args:
        vocabulary: Says which ids are ordinary.
        p: Probability of one word before clipping, in (0, 1]; n words have p (1 - p)^(n - 1).
        longest: Words of the longest span.
        together: See `SpanMasking`, as for the following.
        seed: Of every draw.
        rate: Share of maskable tokens that are picked.
        rate_end: When the training ends; None keeps `rate`.
        swap: Share of spans or tokens replaced by random ids.
        keep: Share of spans or tokens left as they are.
        views: Number of different masks of a sequence.

    Raises:
        UserError: `p` or `longest` is out of range, or see `SpanMasking`.
    """
    if not 0 < p <= 1:
        raise UserError(f"masking.p={p} must lie in (0, 1]")
    return SpanMasking(
        vocabulary,
        probabilities=[p * (1 - p) ** (n - 1) for n in _lengths(longest)],
        together=together,
        seed=seed,
        rate=rate,
        rate_end=rate_end,
        swap=swap,
        keep=keep,
        views=views,
    )


def harmonic(
    vocabulary: Vocabulary,
    *,
    longest: int,
    together: bool,
    seed: int,
    rate: float,
    rate_end: float | None,
    swap: float,
    keep: float,
    views: int | None,
) -> SpanMasking:
    """Return ALBERT's n-gram masking: n words with a probability proportional to 1/n.

    Source: Lan et al. (2020), https://arxiv.org/abs/1909.11942, section 4.1: n is at most 3. The
    paper does not say whether the tokens of an n-gram share their fate; in `create_pretraining_data.py`
    of https://github.com/google-research/albert each has its own.

    Args:
        vocabulary: Says which ids are ordinary.
        longest: Words of the longest span.
        together: See `SpanMasking`, as for the following.
        seed: Of every draw.
        rate: Share of maskable tokens that are picked.
        rate_end: When the training ends; None keeps `rate`.
        swap: Share of spans or tokens replaced by random ids.
        keep: Share of spans or tokens left as they are.
        views: Number of different masks of a sequence.

    Raises:
        UserError: `longest` is out of range, or see `SpanMasking`.
    """
    return SpanMasking(
        vocabulary,
        probabilities=[1 / n for n in _lengths(longest)],
        together=together,
        seed=seed,
        rate=rate,
        rate_end=rate_end,
        swap=swap,
        keep=keep,
        views=views,
    )


def _lengths(longest: int) -> range:
    if longest < 1:
        raise UserError(f"masking.longest={longest} must be at least 1 word")
    return range(1, longest + 1)
