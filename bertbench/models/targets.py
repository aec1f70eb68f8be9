"""Labels of each kind of task in, what logits are trained towards and what they mean out."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Logged = tuple[Tensor, dict[str, Tensor]]  # a loss, and what to log


class Target(Protocol):
    """What the logits of a text are compared with."""

    def outputs(self, classes: int) -> int:
        """Return the number of logits a text."""
        ...

    def labels(self, labels: np.ndarray) -> Tensor:
        """Return labels as `loss` takes them, (T, ...)."""
        ...

    def loss(self, logits: Tensor, labels: Tensor) -> Logged:
        """Return the mean loss a text, and what to log."""
        ...

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Return float64 predictions of the kind, from logits (T, outputs)."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what makes the same target again."""
        ...


class OneClass:
    """One class of several: cross-entropy (Devlin et al. 2019, section 4.1)."""

    def outputs(self, classes: int) -> int:
        """See `Target`."""
        return classes

    def labels(self, labels: np.ndarray) -> Tensor:
        """Return int64 (T,)."""
        return torch.from_numpy(labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Logged:
        """See `Target`."""
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy}

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Return probabilities (T, C)."""
        return logits.double().softmax(-1).cpu().numpy()

    def settings(self) -> dict[str, Any]:
        """See `Target`."""
        return {}


class AnyClasses:
    """Each class for itself: binary cross-entropy, mean over classes."""

    def outputs(self, classes: int) -> int:
        """See `Target`."""
        return classes

    def labels(self, labels: np.ndarray) -> Tensor:
        """Return float32 (T, C)."""
        return torch.from_numpy(labels.astype(np.float32))

    def loss(self, logits: Tensor, labels: Tensor) -> Logged:
        """See `Target`."""
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        right = ((logits > 0) == (labels > 0)).float().mean()
        return loss, {"loss": loss.detach(), "accuracy": right}

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Return probabilities (T, C)."""
        return logits.double().sigmoid().cpu().numpy()

    def settings(self) -> dict[str, Any]:
        """See `Target`."""
        return {}


class Number:
    """A number: squared error in standard deviations of the training labels.

    Args:
        mean: Of the training labels.
        deviation: Theirs; 1 where they are all alike.
    """

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean, self.deviation = mean, deviation

    @classmethod
    def of(cls, labels: np.ndarray) -> "Number":
        """Return the target that fits training labels (T,)."""
        return cls(float(labels.mean()), float(labels.std()) or 1.0)

    def outputs(self, classes: int) -> int:  # noqa: ARG002 - there are none
        """See `Target`."""
        return 1

    def labels(self, labels: np.ndarray) -> Tensor:
        """Return float32 (T,), standardised."""
        return torch.from_numpy(((labels - self.mean) / self.deviation).astype(np.float32))

    def loss(self, logits: Tensor, labels: Tensor) -> Logged:
        """See `Target`."""
        loss = nn.functional.mse_loss(logits[:, 0], labels)
        return loss, {"loss": loss.detach()}

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Return numbers (T,), in the labels' own units."""
        return logits[:, 0].double().cpu().numpy() * self.deviation + self.mean

    def settings(self) -> dict[str, Any]:
        """See `Target`."""
        return {"mean": self.mean, "deviation": self.deviation}


class Relevance:
    """How relevant a candidate is: binary cross-entropy on the share of the highest relevance.

    Source: Nogueira and Cho (2019), https://arxiv.org/abs/1901.04085, section 2.2, for 0 and 1; graded
    relevances become shares.

    Args:
        highest: Relevance among the training labels.
    """

    def __init__(self, highest: float) -> None:
        self.highest = highest

    @classmethod
    def of(cls, labels: np.ndarray) -> "Relevance":
        """Return the target that fits training labels (T,)."""
        return cls(float(labels.max()) or 1.0)

    def outputs(self, classes: int) -> int:  # noqa: ARG002 - there are none
        """See `Target`."""
        return 1

    def labels(self, labels: np.ndarray) -> Tensor:
        """Return float32 (T,) in [0, 1]."""
        return torch.from_numpy(np.clip(labels / self.highest, 0, 1).astype(np.float32))

    def loss(self, logits: Tensor, labels: Tensor) -> Logged:
        """See `Target`."""
        loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels)
        return loss, {"loss": loss.detach()}

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Return scores (T,) in [0, 1]."""
        return logits[:, 0].double().sigmoid().cpu().numpy()

    def settings(self) -> dict[str, Any]:
        """See `Target`."""
        return {"highest": self.highest}


FITTED = {  # the target that fits the training labels of a kind
    "classification": lambda labels: OneClass(),  # noqa: ARG005
    "multilabel": lambda labels: AnyClasses(),  # noqa: ARG005
    "regression": Number.of,
    "ranking": Relevance.of,
}
MADE: dict[str, Any] = {  # the same from its settings
    "classification": OneClass,
    "multilabel": AnyClasses,
    "regression": Number,
    "ranking": Relevance,
}
