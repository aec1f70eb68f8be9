"""Packed rows and an objective in, a pretrained checkpoint and how well it predicts out."""

import numpy as np
import torch
from torch import nn

from bertbench.budget import Budget
from bertbench.data.batching import CorpusBatches, as_batch
from bertbench.loop import train
from bertbench.masking.token import TokenMasking
from bertbench.models.encoder import LanguageModel
from bertbench.optim import Recipe, adamw
from bertbench.progress import Checkpoints, Progress, Stateful
from bertbench.runtime import Compute
from bertbench.types import IGNORE, Log, Masking, Vocabulary

EVALUATION_SEED = 0
PLATEAU_NATS = 0.1
NOWHERE = Checkpoints()


def pretrain(
    objective: nn.Module,
    model: LanguageModel,
    rows: np.ndarray,
    heldout: np.ndarray,
    vocabulary: Vocabulary,
    *,
    recipe: Recipe,
    budget: Budget,
    batch_size: int,
    seed: int,
    compute: Compute,
    log: Log,
    log_every: int,
    checkpoints: Checkpoints = NOWHERE,
    history: Stateful | None = None,
) -> dict[str, float]:
    """Train `model` in place on `rows`; return what was spent and how well it predicts `heldout`.

    Args:
        objective: Holds `model`; called with a `Batch`.
        model: Encoder and head.
        rows: int32, (S, L): packed training documents.
        heldout: int32, (S', L): packed documents that are never trained on.
        vocabulary: Says which ids are special.
        recipe: Optimizer and schedule.
        budget: Tokens (without padding) or seconds.
        batch_size: Sequences a step.
        seed: Of order and dropout.
        compute: Device and precision.
        log: Receives metrics during training.
        log_every: Steps between two calls of `log`.
        checkpoints: Where the state is kept meanwhile, to go on from after an interruption.
        history: Kept with the state.

    Returns:
        `steps`, `tokens`, `seconds`, `epochs`, `tokens_per_second`, and what `evaluate` returns.
    """
    objective.to(compute.device)
    source = CorpusBatches(rows, vocabulary, batch_size=batch_size, seed=seed)

    def batches(step: int):  # noqa: ANN202 - the loop's own signature
        batch = source(step)
        return batch, int(batch.attention_mask.sum())

    optimizer = adamw(objective, recipe)
    spent = train(
        objective,
        batches,
        optimizer,
        recipe=recipe,
        budget=budget,
        compute=compute,
        seed=seed,
        log=log,
        log_every=log_every,
        title="pretrain",
        progress=Progress(checkpoints, objective, optimizer, history),
    )
    return {
        "steps": spent.steps,
        "tokens": spent.tokens,
        "seconds": spent.seconds,
        "epochs": spent.steps / source.steps_per_epoch,
        "tokens_per_second": spent.tokens / spent.seconds,
        **evaluate(model, rows, heldout, vocabulary, batch_size=batch_size, compute=compute),
    }


def evaluation_masking(vocabulary: Vocabulary) -> Masking:
    """Return the masks of every evaluation, whatever the training's: or losses cannot be compared."""
    return TokenMasking(vocabulary, seed=EVALUATION_SEED, rate=0.15, swap=0.1, keep=0.1, views=1)


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    rows: np.ndarray,
    heldout: np.ndarray,
    vocabulary: Vocabulary,
    *,
    batch_size: int,
    compute: Compute,
) -> dict[str, float]:
    """Compare the model with a unigram predictor on the same masked positions of `heldout`.

    Returns:
        `heldout_loss` and `unigram_loss` (nats a predicted token), `heldout_accuracy` and
        `unigram_accuracy`, `heldout_predicted` (number of positions), and `plateau`: 1 where the
        model is not better than the unigram predictor by PLATEAU_NATS, else 0.
    """
    unigram = unigram_log_probabilities(rows, vocabulary)
    masking = evaluation_masking(vocabulary)
    sums = dict.fromkeys(("loss", "accuracy", "unigram_loss", "unigram_accuracy", "count"), 0.0)
    model.eval()
    for start in range(0, len(heldout), batch_size):
        chosen = np.arange(start, min(start + batch_size, len(heldout)))
        batch = as_batch(heldout, chosen, vocabulary, epoch=0)
        masked = masking(batch)
        predicted = masked.labels != IGNORE
        targets = masked.labels[predicted]  # (N,)
        with compute.autocast():
            moved = masked.ids.to(compute.device), batch.attention_mask.to(compute.device)
            states = model.encoder(*moved)[-1][predicted.to(compute.device)]
            logits = model.logits(states).float().cpu()  # (N, V)
        sums["loss"] += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        sums["accuracy"] += (logits.argmax(-1) == targets).sum().item()
        sums["unigram_loss"] -= unigram[targets].sum().item()
        sums["unigram_accuracy"] += (targets == unigram.argmax()).sum().item()
        sums["count"] += targets.numel()
    count = max(sums["count"], 1)
    loss, unigram_loss = sums["loss"] / count, sums["unigram_loss"] / count
    return {
        "heldout_loss": loss,
        "heldout_accuracy": sums["accuracy"] / count,
        "unigram_loss": unigram_loss,
        "unigram_accuracy": sums["unigram_accuracy"] / count,
        "heldout_predicted": sums["count"],
        "plateau": float(loss > unigram_loss - PLATEAU_NATS),
    }


def unigram_log_probabilities(rows: np.ndarray, vocabulary: Vocabulary) -> torch.Tensor:
    """Return log-probabilities (V,) of ordinary ids by their count in `rows`, plus one each."""
    counts = np.bincount(rows.reshape(-1), minlength=vocabulary.size).astype(np.float64) + 1
    counts[list(vocabulary.special)] = 0
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(counts / counts.sum()))
