"""Sums and how many things they are over: what an objective says of a batch, and what adds up to a mean."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from bertbench.models.encoder import LanguageModel
from bertbench.types import IGNORE


class Sum(NamedTuple):
    """A sum over some things; its mean over no things is zero, with a gradient of zero."""

    total: Tensor  # scalar
    over: int  # how many

    @property
    def mean(self) -> Tensor:
        """Return the mean, a scalar."""
        return self.total / max(self.over, 1)


Tally = dict[str, Sum]


def masked_words(model: LanguageModel, states: Tensor, labels: Tensor) -> Tally:
    """Return `mlm_loss` (nats) and `mlm_accuracy` over the predicted tokens.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1, task 1.

    Args:
        model: Its head maps states to logits.
        states: (B, L, D), of the last layer.
        labels: int64, (B, L); IGNORE where nothing is predicted.
    """
    predicted = labels != IGNORE  # (B, L), N of them True
    logits = model.logits(states[predicted]).float()  # (N, V)
    return classified("mlm", logits, labels[predicted])


def classified(name: str, logits: Tensor, targets: Tensor) -> Tally:
    """Return the cross-entropy (nats) and the accuracy of logits (N, classes) for targets (N,)."""
    count = targets.numel()
    correct = (logits.argmax(-1) == targets).sum() if count else logits.detach().sum()
    return {
        f"{name}_loss": Sum(F.cross_entropy(logits, targets, reduction="sum"), count),
        f"{name}_accuracy": Sum(correct.detach(), count),
    }


def means(tally: Tally) -> dict[str, Tensor]:
    """Return the mean of each sum, without its gradient."""
    return {name: value.mean.detach().float() for name, value in tally.items()}
