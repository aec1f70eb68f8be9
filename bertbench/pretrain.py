"""Packed rows and an objective in, a pretrained model and how well it predicts out."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertbench.budget import Budget, Spent
from bertbench.data.batching import Short, ShortFirst, as_batch
from bertbench.data.excerpts import evenly_spread
from bertbench.loop import train
from bertbench.masking.token import evaluation_masking
from bertbench.optim import Recipe, adamw
from bertbench.progress import Checkpoints, Progress, Stateful
from bertbench.references import References, in_words
from bertbench.runtime import Compute, seeded
from bertbench.tally import Tally
from bertbench.types import Batch, Log, Masked, Rows, Vocabulary

logger = logging.getLogger(__name__)

EVALUATION_SEED = 0
PLATEAU_NATS = 0.1
KNOWN = ("unigram", "bigram")  # predictors that no training has made
EVALUATION_ROWS = 64  # of the held-out rows, for the curve; what is reported has up to MOST_ROWS
MOST_ROWS = 1024
AT_ONCE = 32  # held-out rows: an objective that draws does so for each such part
NOWHERE = Checkpoints()
Sums = dict[str, list[float]]  # total, and over how many


class Objective(Protocol):
    """What an encoder is pretrained to do."""

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and what to log."""
        ...

    def tally(self, batch: Batch, masked: Masked) -> Tally:
        """Return each loss and accuracy as a sum and what it is over."""
        ...


class Schedule(NamedTuple):
    """How a pretraining proceeds, whatever is learnt."""

    recipe: Recipe
    budget: Budget
    batch_size: int  # sequences a step
    seed: int  # of order and dropout
    log_every: int  # steps between two calls of the log
    evaluations: int = (
        0  # on held-out rows, evenly over the budget, from the first step to the last
    )


def pretrain(
    objective: nn.Module,
    rows: Rows,
    heldout: Rows,
    vocabulary: Vocabulary,
    schedule: Schedule,
    *,
    compute: Compute,
    log: Log,
    checkpoints: Checkpoints = NOWHERE,
    history: Stateful | None = None,
    short: Short | None = None,
) -> dict[str, float]:
    """Train an objective's model in place on `rows`; return what was spent and how well it predicts.

    Args:
        objective: An `Objective` that holds the model.
        rows: Packed training documents.
        heldout: Packed documents that are never trained on.
        vocabulary: Says which ids are special.
        schedule: How it proceeds.
        compute: Device and precision.
        log: Receives metrics during training.
        checkpoints: Where the state is kept meanwhile, to go on from after an interruption.
        history: Kept with the state.
        short: Shorter rows of the same documents, which are read first.

    Returns:
        `steps`, `tokens`, `seconds`, `epochs`, `tokens_per_second`, and what `evaluate` returns.
    """
    objective.to(compute.device)
    source = ShortFirst(
        rows, vocabulary, batch_size=schedule.batch_size, seed=schedule.seed, short=short
    )
    references = References(rows, vocabulary)

    def batches(step: int, spent: float) -> tuple[Batch, int]:
        batch = source(step, spent)
        return batch, int(batch.attention_mask.sum())

    def measure(most: int) -> dict[str, float]:
        chosen = evenly_spread(len(heldout.ids), most)
        return evaluate(
            objective, heldout, chosen, vocabulary, references, batch_size=AT_ONCE, compute=compute
        )

    if "heldout_loss" in measure(1):  # else a head is fitted afterwards, and it is said then
        chosen = evenly_spread(len(heldout.ids), MOST_ROWS)
        _say_what_to_beat(heldout, chosen, vocabulary, references)
    optimizer = adamw(objective, schedule.recipe)
    spent = train(
        objective,
        batches,
        optimizer,
        recipe=schedule.recipe,
        budget=schedule.budget,
        compute=compute,
        seed=schedule.seed,
        log=log,
        log_every=schedule.log_every,
        title="pretrain",
        progress=Progress(checkpoints, objective, optimizer, history),
        after_step=_now_and_then(schedule, log, lambda: measure(EVALUATION_ROWS)),
    )
    return {
        "steps": spent.steps,
        "tokens": spent.tokens,
        "seconds": spent.seconds,
        "epochs": spent.tokens / references.tokens,
        "tokens_per_second": spent.tokens / spent.seconds,
        **measure(MOST_ROWS),
    }


def _now_and_then(
    schedule: Schedule, log: Log, measure: Callable[[], dict[str, float]]
) -> Callable[[int, Spent, Spent], None]:
    """Return what measures and logs after the first step and where another equal part is spent."""
    parts = schedule.evaluations

    def after_step(step: int, before: Spent, spent: Spent) -> None:
        last, done = schedule.budget.share(before), schedule.budget.share(spent)
        first = parts > 0 and step == 1
        if first or int(done * parts) > int(last * parts):
            values = measure()
            log(values | {"tokens": spent.tokens, "training_seconds": spent.seconds}, step)

    return after_step


@torch.no_grad()
def evaluate(
    objective: nn.Module,
    heldout: Rows,
    chosen: np.ndarray,
    vocabulary: Vocabulary,
    references: References,
    *,
    batch_size: int,
    compute: Compute,
) -> dict[str, float]:
    """Measure an objective on held-out rows, and what it must beat on the same masked positions.

    Args:
        objective: An `Objective`, in any mode; left in evaluation mode.
        heldout: Packed documents that are never trained on.
        chosen: int64: which of its rows.
        vocabulary: Says which ids are special.
        references: What knows words or their successors alone.
        batch_size: Sequences at once.
        compute: Device and precision.

    Returns:
        `heldout_loss`, `unigram_loss` and `bigram_loss` (nats a predicted token), `heldout_accuracy`,
        `unigram_accuracy` and `bigram_accuracy`, `heldout_predicted` (number of positions), `heldout_X`
        for each other X of the objective's tally, and `plateau`: 1 where masked words are predicted not
        better than by the unigram predictor by PLATEAU_NATS, else 0.
    """
    asked = cast("Objective", objective)
    sums: Sums = {}
    objective.eval()
    for start, batch, masked in _masked(heldout, chosen, vocabulary, batch_size):
        # An objective may draw (a generator's words): the same in every evaluation.
        with seeded(EVALUATION_SEED, "evaluation", start), compute.autocast():
            tally = asked.tally(batch, masked)
        _add(sums, tally | references.tally(masked))
    # A skill of which the rows hold nothing has no number; that of no masked word is zero.
    means = {
        name: total / max(count, 1)
        for name, (total, count) in sums.items()
        if count or name.startswith(("mlm", *KNOWN))
    }
    renamed = {"mlm_loss": "heldout_loss", "mlm_accuracy": "heldout_accuracy"}
    found = {
        name if name.startswith(KNOWN) else renamed.get(name, f"heldout_{name}"): value
        for name, value in means.items()
    }
    plateau = "mlm_loss" in means and means["mlm_loss"] > means["unigram_loss"] - PLATEAU_NATS
    predicted = sums["unigram_loss"][1] if sums else 0.0
    return found | {"heldout_predicted": predicted, "plateau": float(plateau)}


def _masked(
    heldout: Rows, chosen: np.ndarray, vocabulary: Vocabulary, batch_size: int
) -> Iterator[tuple[int, Batch, Masked]]:
    """Yield where each part of the rows begins, its batch, and what is masked of it: always the same."""
    masking = evaluation_masking(vocabulary)
    for start in range(0, len(chosen), batch_size):
        batch = as_batch(heldout, chosen[start : start + batch_size], vocabulary, epoch=0)
        yield start, batch, masking(batch)


def _add(sums: Sums, tally: Tally) -> None:
    for name, value in tally.items():
        total = sums.setdefault(name, [0.0, 0.0])
        total[0] += float(value.total)
        total[1] += value.over


def _say_what_to_beat(
    heldout: Rows, chosen: np.ndarray, vocabulary: Vocabulary, references: References
) -> None:
    """Say how well words alone are predicted, on the rows of what is reported in the end."""
    sums: Sums = {}
    for _, _, masked in _masked(heldout, chosen, vocabulary, AT_ONCE):
        _add(sums, references.tally(masked))
    means = {name: total / max(count, 1) for name, (total, count) in sums.items()}
    said = "; ".join(f"{known} {in_words(means, known)}" for known in KNOWN)
    logger.info("to beat on held-out text: %s", said)
