"""THE training loop: batches in, a trained module out. Pretraining and fine-tuning both run it."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from tqdm import tqdm

from bertbench.budget import Budget, Spent
from bertbench.optim import Recipe, warmup_linear
from bertbench.progress import Progress
from bertbench.runtime import Compute, derive
from bertbench.types import Log

B = TypeVar("B")
LEAST_SHARE = 1e-9  # a schedule of 0 would leave AdamW's first step without a direction


def train(
    module: nn.Module,
    batches: Callable[[int, float], tuple[B, int]],
    optimizer: Optimizer,
    *,
    recipe: Recipe,
    budget: Budget,
    compute: Compute,
    seed: int,
    log: Log,
    log_every: int,
    title: str,
    progress: Progress,
    after_step: Callable[[int, Spent, Spent], None] | None = None,
) -> Spent:
    """Train `module` in place until the budget is spent; go on where an earlier try was stopped.

    Everything random in step k (order, masks, dropout) is a function of (seed, k).

    Args:
        module: Called with a batch; returns a scalar loss and tensors to log.
        batches: The batch of a step (from 0), before which a share of the budget was spent, and its
            number of tokens.
        optimizer: Holds the parameters of `module`.
        recipe: Gives the schedule and the clipping.
        budget: When to stop; the schedule is a function of its spent share.
        compute: Device and precision.
        seed: Of the dropout.
        log: Receives floats; the loop does not know where they go.
        log_every: Steps between two calls of `log`.
        title: Of the progress bar, which shows on a terminal only.
        progress: Gives back the state of an earlier try, and keeps that of this one.
        after_step: Called after each step with the number of steps done, what was spent before it and what
            after it; its time is not counted as training.

    Raises:
        FloatingPointError: The loss is no longer finite.
        KeyboardInterrupt: Somebody asked to stop; the state is saved.
    """
    devices = [compute.device] if compute.device.type == "cuda" else []
    spent = progress.restore()
    started, step = time.perf_counter() - spent.seconds, int(spent.steps)
    with (
        torch.random.fork_rng(devices=devices),
        tqdm(total=100, desc=title, unit="%", disable=None) as bar,
    ):
        module.train()
        while budget.share(spent) < 1:
            batch, tokens = batches(step, budget.share(spent))
            # The schedule is read in the middle of the step, so neither end has a rate of zero.
            middle = Spent(step + 0.5, spent.tokens + tokens / 2, spent.seconds)
            share = budget.share(middle)
            factor = max(warmup_linear(share, warmup=recipe.warmup), LEAST_SHARE)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * factor
            torch.manual_seed(derive(seed, "dropout", step))
            stats = _step(module, batch, optimizer, clip=recipe.clip, compute=compute)
            step, before = step + 1, spent
            spent = Spent(step, spent.tokens + tokens, time.perf_counter() - started)
            done = budget.share(spent)
            if step % log_every == 0 or done >= 1:
                floats = {name: float(value) for name, value in stats.items()}
                if not torch.isfinite(stats["loss"]):
                    raise FloatingPointError(f"the loss is {floats['loss']} at step {step}")
                floats |= {"lr": recipe.lr * factor, "tokens": spent.tokens}
                log(floats | {"tokens_per_second": spent.tokens / spent.seconds}, step)
                bar.set_postfix(loss=f"{floats['loss']:.3f}", refresh=False)
            bar.update(int(100 * done) - bar.n)
            if after_step is not None:
                if compute.device.type == "cuda" and budget.seconds is not None:
                    torch.cuda.synchronize()  # or what is under way would count as the evaluation's
                paused = time.perf_counter()
                after_step(step, before, spent)
                module.train()
                started += time.perf_counter() - paused
            progress.after_step(spent, last=done >= 1)
    module.eval()
    return spent


def _step(
    module: nn.Module, batch: object, optimizer: Optimizer, *, clip: float, compute: Compute
) -> dict[str, Tensor]:
    with compute.autocast():
        loss, stats = module(batch)
    loss.backward()
    norm = clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return stats | {"gradient_norm": norm}
