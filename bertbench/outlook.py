"""A pretraining in, what to expect of it before it begins and what came of it, in a sentence each, out."""

import logging
import time

from torch import nn

from bertbench.data.batching import CorpusBatches
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
) -> None:
    """Say how much is to be done, and how long that will take here; the model stays as it is.

    Args:
        objective: Called with a batch; returns a loss first.
        rows: Packed training documents.
        vocabulary: Says which ids are special.
        schedule: How the pretraining will proceed.
        title: Of the encoder.
        compute: Device and precision.
    """
    budget = schedule.budget
    if budget.seconds is not None:
        logger.info("pretraining %s for %s", title, duration(budget.seconds))
        return
    source = CorpusBatches(rows, vocabulary, batch_size=schedule.batch_size, seed=schedule.seed)
    objective.to(compute.device).train()
    seconds, tokens = 0.0, 0
    with seeded(schedule.seed, "trial"):
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
    if budget.tokens is not None:
        steps, total = budget.tokens * TRIALS / tokens, budget.tokens
    else:
        steps, total = budget.steps or 0, round((budget.steps or 0) * tokens / TRIALS)
    logger.info(
        "pretraining %s: %s tokens in about %s steps of %d rows, about %s here; Ctrl-C saves, and the "
        "same command goes on",
        title,
        f"{total:,}",
        f"{steps:,.0f}",
        schedule.batch_size,
        duration(steps * seconds / TRIALS),
    )


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
