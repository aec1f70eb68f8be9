"""A task and an encoder in, what can be fine-tuned on it out: one learner for each way of reading."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from torch import nn

from bertbench.kinds import find
from bertbench.models.finetuned import FittedFull
from bertbench.models.reader import FittedReader
from bertbench.models.tagger import FittedTagger
from bertbench.models.targets import FITTED
from bertbench.setting import Setting
from bertbench.types import Fitted, Split, TaskData


class Learner(Fitted, Protocol):
    """An encoder with a new layer for one kind of task."""

    @property
    def module(self) -> nn.Module:
        """Called with a batch, it returns a loss and what to log."""
        ...

    def encode(self, texts: Sequence[Any]) -> Any:
        """Return texts as the encoder reads them."""
        ...

    def lengths(self, encoded: Any) -> list[int]:
        """Return the tokens of each text, for batches of like length."""
        ...

    def batch(self, encoded: Any, labels: Any) -> tuple[Any, int]:
        """Return what `module` trains on, and the tokens in it."""
        ...

    def predict_encoded(self, encoded: Any) -> Any:
        """Return predictions as the kind of the task has them."""
        ...

    def unread(self, encoded: Any, labels: Any) -> int:
        """Return how many labels stand outside of what is read: words, or questions."""
        ...

    def calibrate(self, predictions: Any, split: Split, metric: str) -> Any:
        """Choose on validation what is chosen after training; return predictions as they are then."""
        ...


def begin(
    data: TaskData, setting: Setting, *, pooling: str, layer: int, dropout: float
) -> Learner:
    """Return an encoder with a new layer.

    Args:
        data: The task.
        setting: Encoder and means.
        pooling: `cls` or `mean`, where a text becomes one vector.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On what the new layer reads, in training.
    """
    more = {
        "layer": layer,
        "dropout": dropout,
        "max_length": setting.max_length,
        "long_text": setting.long_text,
        "compute": setting.compute,
        "seed": setting.seed,
    }
    return _BEGIN[find(data.kind).reading](data, setting, pooling, more)


def _texts(data: TaskData, setting: Setting, pooling: str, more: dict[str, Any]) -> Learner:
    target = FITTED[data.kind](data.train.labels).settings()
    return FittedFull(
        setting.need_checkpoint(),
        classes=len(data.classes),
        pooling=pooling,
        kind=data.kind,
        target=target,
        **more,
    )


def _words(data: TaskData, setting: Setting, pooling: str, more: dict[str, Any]) -> Learner:  # noqa: ARG001 - each word has its own state
    return FittedTagger(
        setting.need_checkpoint(),
        classes=len(data.classes),
        commonest=commonest(data.train),
        **more,
    )


def _spans(data: TaskData, setting: Setting, pooling: str, more: dict[str, Any]) -> Learner:  # noqa: ARG001 - each token has its own state
    some_have_none = not all(data.train.labels)
    threshold = 0.0 if some_have_none else None
    learner = FittedReader(setting.need_checkpoint(), threshold=threshold, **more)
    learner.longest = learner.encoding.longest(data.train.labels)
    return learner


_BEGIN: dict[str, Callable[[TaskData, Setting, str, dict[str, Any]], Learner]] = {
    "text": _texts,
    "token": _words,
    "span": _spans,
}


def commonest(split: Split) -> int:
    """Return the commonest tag of a split's words."""
    return int(np.bincount(np.concatenate(split.labels)).argmax())
