"""Parameters in, AdamW out; and how its learning rate follows the spent share of the budget."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn
from torch.optim import AdamW

from bertbench.errors import UserError


class Recipe(NamedTuple):
    """AdamW with bias correction, and a linear warm-up and decay.

    Source: Devlin et al. (2019), section A.2; Mosbach et al. (2021),
    https://arxiv.org/abs/2006.04884, section 6, on why the bias correction and the warm-up matter.
    """

    lr: float  # at the peak
    betas: Sequence[float]
    eps: float
    weight_decay: float  # on matrices only
    warmup: float  # share of the budget, in [0, 1)
    clip: float  # largest L2 norm of the whole gradient


def adamw(module: nn.Module, recipe: Recipe) -> AdamW:
    """Return a fused AdamW over `module`; biases and norms (one dimension) do not decay.

    Raises:
        UserError: A value of `recipe` is out of range.
    """
    if recipe.lr <= 0 or recipe.clip <= 0 or recipe.weight_decay < 0:
        raise UserError(
            f"optim: lr={recipe.lr} and clip={recipe.clip} must be above 0, "
            f"weight_decay={recipe.weight_decay} not below 0"
        )
    if (
        not 0 <= recipe.warmup < 1
        or len(recipe.betas) != 2
        or not all(0 <= b < 1 for b in recipe.betas)
    ):
        raise UserError(
            f"optim: warmup={recipe.warmup} must lie in [0, 1), betas={list(recipe.betas)} be two in [0, 1)"
        )
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    first, second = recipe.betas
    return AdamW(groups, lr=recipe.lr, betas=(first, second), eps=recipe.eps, fused=True)


def warmup_linear(spent: float, *, warmup: float) -> float:
    """Return the share of the peak learning rate when `spent` of the budget is gone.

    Args:
        spent: In [0, 1].
        warmup: Share of the budget over which the rate rises from 0 to the peak; then it falls to 0.
    """
    if spent < warmup:
        return spent / warmup
    return (1 - spent) / (1 - warmup)
