"""Questions and contexts in, frozen states of their tokens out; with two linear scores on them, answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertbench import interrupt
from bertbench import tokenizer as tokenizers
from bertbench.data.passages import LONGEST, Asked, Reading, Views, lengths, targets, unread
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.reader import SpanHead, calibrated, guesses, masked, span_loss
from bertbench.runtime import Compute, seeded
from bertbench.types import Guess, Split

BATCH_SIZE = 32  # questions at once
SETTINGS, HEAD = "frozen_spans.json", "head.safetensors"

Batch = tuple[Tensor, Views, Tensor]  # states, windows, first and last token of the answers


class Kept(NamedTuple):
    """An encoded question and the frozen states of its windows."""

    asked: Asked
    states: Tensor  # float16, (P, D): those of all tokens, one window after the other


class SpanReader:
    """Questions and contexts in, frozen states out: the encoder in eval mode, without gradients.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        layer: 0 is the embedding; negative counts from the last.
        max_length: Tokens of a window.
        long_text: `head`, `head_tail` or `window`.
        compute: Device and precision.
    """

    def __init__(
        self, folder: Path, *, layer: int, max_length: int, long_text: str, compute: Compute
    ) -> None:
        self.model = checkpoint.load(folder)
        self.tokenizer = tokenizers.load(folder, vocab_size=self.model.config.vocab_size)
        self.encoding = Reading(
            self.tokenizer,
            max_length=max_length,
            long_text=long_text,
            positions=positions(self.model),
        )
        head = SpanHead(Encoder(self.model.base_model), layer=layer, dropout=0.0)
        self.head, self.compute = head.to(compute.device).eval(), compute

    @property
    def width(self) -> int:
        """D, numbers of a token's state."""
        return self.head.encoder.width

    def read(self, texts: Sequence[tuple[str, str]]) -> list[Kept]:
        """Return each question with its states."""
        encoded = self.encoding.encode(texts)
        return [Kept(*pair) for pair in zip(encoded, self.states(encoded), strict=True)]

    @torch.inference_mode()
    def states(self, encoded: Sequence[Asked]) -> list[Tensor]:
        """Return the states (P, D) of each question's tokens; float16, as they are many."""
        states: list[Tensor] = [torch.empty(0)] * len(encoded)
        order = np.argsort(lengths(encoded), kind="stable")
        for start in range(0, len(order), BATCH_SIZE):
            interrupt.check()
            rows = order[start : start + BATCH_SIZE]
            views = self.encoding.collate([encoded[i] for i in rows])
            with self.compute.autocast():
                found = self.head.states(views).half().cpu()
            for place, row in enumerate(rows):
                mine = views.owner == place
                states[row] = found[mine][views.attention_mask[mine]]
        return states

    def settings(self) -> dict[str, object]:
        """Return what decides the states beside encoder and texts."""
        return {"layer": self.head.layer, **self.encoding.settings()}


class SpanProbe(nn.Module):
    """Start and end scores as linear functions of frozen states.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross-entropy of start and end (nats), and what to log."""
        states, views, places = batch
        return span_loss(self.logits(states, views), places)

    def logits(self, states: Tensor, views: Views) -> Tensor:
        """Return logits (W, L, 2) of states (W, L, D)."""
        device = self.linear.weight.device
        return masked(self.linear(states.to(device).float()), views.inside)


class FittedSpans:
    """Questions and contexts in, answers out: frozen states and a probe on them.

    Args:
        reader: Gives the states.
        threshold: No answer is given where its score is above; None always gives one.
        longest: Tokens of an answer at most.
        seed: Of the probe's first weights.
        read: Questions in, these with their states out, where not `reader` itself gives them.
    """

    def __init__(
        self,
        reader: SpanReader,
        *,
        threshold: float | None,
        longest: int = LONGEST,
        seed: int = 0,
        read: Callable[[Sequence[tuple[str, str]]], list[Kept]] | None = None,
    ) -> None:
        self.reader, self.threshold, self.longest = reader, threshold, longest
        self.read = read or reader.read
        with seeded(seed, "classification layer"):
            self.module = SpanProbe(reader.width).to(reader.compute.device)

    def encode(self, texts: Sequence[tuple[str, str]]) -> list[Kept]:
        """Return each question with its states."""
        return self.read(texts)

    def lengths(self, encoded: Sequence[Kept]) -> list[int]:
        """Return the longest window of each question, in tokens."""
        return lengths([kept.asked for kept in encoded])

    def batch(self, encoded: Sequence[Kept], labels: Any) -> tuple[Batch, int]:
        """Return what the probe trains on, and the tokens in it."""
        views, states = self._padded(encoded)
        places = torch.from_numpy(targets([kept.asked for kept in encoded], labels))
        return (states, views, places), int(views.attention_mask.sum())

    def unread(self, encoded: Sequence[Kept], labels: Any) -> int:
        """Return the questions whose answer no window holds."""
        return unread([kept.asked for kept in encoded], labels)

    @torch.inference_mode()
    def predict_encoded(self, encoded: Sequence[Kept]) -> list[Guess]:
        """Return a guess for each question."""
        found: list[Guess] = []
        for start in range(0, len(encoded), BATCH_SIZE):
            chosen = encoded[start : start + BATCH_SIZE]
            views, states = self._padded(chosen)
            logits = self.module.logits(states, views)
            asked = [kept.asked for kept in chosen]
            found += guesses(asked, views, logits, self.threshold, longest=self.longest)
        return found

    def predict(self, texts: list[tuple[str, str]]) -> list[Guess]:
        """Return a guess for each question."""
        return self.predict_encoded(self.reader.read(texts))

    def _padded(self, encoded: Sequence[Kept]) -> tuple[Views, Tensor]:
        """Return windows, and their float16 states (W, L, D) padded with zeros."""
        views = self.reader.encoding.collate([kept.asked for kept in encoded])
        states = torch.zeros((*views.ids.shape, self.reader.width), dtype=torch.float16)
        states[views.attention_mask] = torch.cat([kept.states for kept in encoded])
        return views, states

    def calibrate(self, predictions: list[Guess], split: Split, metric: str) -> list[Guess]:
        """Choose the threshold of no answer where some questions have none; return what is given then."""
        if self.threshold is None:
            return predictions
        self.threshold, given = calibrated(predictions, split, metric)
        return given

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, probe and settings into `folder`."""
        checkpoint.save(self.reader.model, self.reader.tokenizer, folder)
        save_file(self.module.linear.state_dict(), folder / HEAD)
        chosen = {"threshold": self.threshold, "longest": self.longest}
        settings = {"chosen": chosen, "reading": self.reader.settings()}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedSpans":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        reader = SpanReader(folder, **settings["reading"], compute=compute)
        fitted = cls(reader, **settings["chosen"])
        fitted.module.linear.load_state_dict(load_file(folder / HEAD))
        return fitted
