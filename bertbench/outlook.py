"""A pretraining in, what to expect of it before it begins and what came of it, in a sentence each, out."""

import logging
import time

from torch import nn

from bertbench.data.batching import CorpusBatches, Short, ShortFirst
from bertbench.pretrain import PLATEAU_NATS, Schedule
from bertbench.references import in_words
from bertbench.runtime import Compute, seeded
from bertbench.types import Rows, Vocabulary

logger = logging.getLogger(__name__)

TRIALS = 3  # steps that are timed, after one that warms up


def announce(
    objective: nn.Module,
    rows: Rows,
    vocabulary: Vocabulary,
    schedule: Schedule,
    *,
    title: str,
    compute: Compute,
    short: Short | None = None,
) -> None:
    """Say how much is to be done, and how long that will take here; the model stays as it is.

    Args:
        objective: Called with a batch; returns a loss first.
        rows: Packed training documents.
        vocabulary: Says which ids are special.
        schedule: How the pretraining will proceed.
        title: Of the encoder.
        compute: Device and precision.
        short: Shorter rows, which are read first.
    """
    budget = schedule.budget
    if budget.seconds is not None:
        logger.info("pretraining %s for %s", title, duration(budget.seconds))
        return
    source = ShortFirst(
        rows, vocabulary, batch_size=schedule.batch_size, seed=schedule.seed, short=short
    )
    objective.to(compute.device).train()
    steps, total, seconds, begun = 0.0, 0.0, 0.0, 0.0
    for until, part in source.parts:
        tokens, took = _tried(objective, part, schedule.seed, compute)
        if budget.tokens is not None:
            count = (until - begun) * budget.tokens / tokens
        else:
            count = (until - begun) * (budget.steps or 0)
        steps, total, seconds = steps + count, total + count * tokens, seconds + count * took
        begun = until
    sizes = " or ".join(str(part.batch_size) for _, part in source.parts)
    logger.info(
        "pretraining %s: %s tokens in about %s steps of %s rows, about %s here; Ctrl-C saves, and the "
        "same command goes on",
        title,
        f"{total:,.0f}",
        f"{steps:,.0f}",
        sizes,
        duration(seconds),
    )


def _tried(
    objective: nn.Module, source: CorpusBatches, seed: int, compute: Compute
) -> tuple[float, float]:
    """Return the tokens and the seconds of a step, by the mean of some; the model stays as it is."""
    seconds, tokens = 0.0, 0
    with seeded(seed, "trial"):
        for step in range(TRIALS + 1):
            batch = source(step)
            started = time.perf_counter()
            with compute.autocast():
                loss = objective(batch)[0]
            loss.backward()
            float(loss.detach())  # waits for the device
            if step > 0:
                seconds += time.perf_counter() - started
                tokens += int(batch.attention_mask.sum())
            objective.zero_grad(set_to_none=True)
    return tokens / TRIALS, seconds / TRIALS


def conclude(found: dict[str, float], *, title: str) -> None:
    """Say how well masked words are predicted, beside what knows their frequencies or neighbours alone.

    Args:
        found: What `pretrain.evaluate` returned; without masked words nothing is said.
        title: Of the encoder.
    """
    if "heldout_loss" not in found:
        return
    mine, bigram, unigram = (in_words(found, name) for name in ("heldout", "bigram", "unigram"))
    logger.info(
        "%s on held-out text: %s; the bigram predictor %s; the unigram predictor %s",
        title,
        mine,
        bigram,
        unigram,
    )
    if found["plateau"] == 1:
        logger.warning(
            "%s has not left the unigram plateau: %s are not %s nats better than word frequencies alone "
            "(%s); give it more with pretrain.tokens=..., or choose experiment=small_budget",
            title,
            mine,
            PLATEAU_NATS,
            unigram,
        )


def duration(seconds: float) -> str:
    """Return seconds as a reader says them."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
