"""An encoder with a start and an end layer: questions and contexts in, answers out; to a folder and back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertbench import tokenizer as tokenizers
from bertbench.data.passages import (
    LONGEST,
    UNREAD,
    Asked,
    Reading,
    Views,
    decode,
    lengths,
    targets,
    unread,
)
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.heads import check_layer
from bertbench.runtime import Compute, seeded
from bertbench.scores.answers import MEASURES, best_threshold
from bertbench.types import Guess, Split

SETTINGS, HEAD = "reader.json", "head.safetensors"
EVALUATION_BATCH = 16  # questions at once
NEVER = -1e9  # log-probability of a span where there is none to choose


class SpanHead(nn.Module):
    """Start and end scores of each token: Devlin et al. (2019), section 4.2.

    The first token stands for "no answer here" (section 4.3).

    Args:
        encoder: Gives the states.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the states, in training.

    Raises:
        UserError: There is no such layer.
    """

    def __init__(self, encoder: Encoder, *, layer: int, dropout: float) -> None:
        super().__init__()
        check_layer(encoder, layer)
        self.encoder, self.layer = encoder, layer
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(encoder.width, 2)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: tuple[Views, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross-entropy of start and end (nats), and what to log."""
        views, places = batch
        return span_loss(self.logits(views), places)

    def states(self, views: Views) -> Tensor:
        """Return states (W, L, D)."""
        device = next(self.encoder.parameters()).device
        mask, segments = views.attention_mask.to(device), views.segment_ids.to(device)
        return self.encoder(views.ids.to(device), mask, segments)[self.layer]

    def logits(self, views: Views) -> Tensor:
        """Return logits (W, L, 2), float32; minus infinity where no answer can begin or end."""
        scores = self.linear(self.dropout(self.states(views))).float()
        return masked(scores, views.inside)


class FittedReader:
    """Questions and contexts in, answers out.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the states, in training.
        max_length: Tokens of a window.
        long_text: `head`, `head_tail` or `window`.
        compute: Device and precision.
        threshold: No answer is given where its score is above; None always gives one.
        longest: Tokens of an answer at most.
        seed: Of the new layer; drawn before it is built.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layer: int,
        dropout: float,
        max_length: int,
        long_text: str,
        compute: Compute,
        threshold: float | None = None,
        longest: int = LONGEST,
        seed: int = 0,
    ) -> None:
        self.model = checkpoint.load(folder)
        self.tokenizer = tokenizers.load(folder, vocab_size=self.model.config.vocab_size)
        self.encoding = Reading(
            self.tokenizer,
            max_length=max_length,
            long_text=long_text,
            positions=positions(self.model),
        )
        with seeded(seed, "classification layer"):
            module = SpanHead(Encoder(self.model.base_model), layer=layer, dropout=dropout)
        self.module = module.to(compute.device)
        self.compute, self.dropout = compute, dropout
        self.threshold, self.longest = threshold, longest

    def encode(self, texts: Sequence[tuple[str, str]]) -> list[Asked]:
        """Return the windows of each question."""
        return self.encoding.encode(texts)

    def lengths(self, encoded: list[Asked]) -> list[int]:
        """Return the longest window of each question, in tokens."""
        return lengths(encoded)

    def batch(self, encoded: list[Asked], labels: Any) -> tuple[tuple[Views, Tensor], int]:
        """Return what the module trains on, and the tokens in it."""
        views = self.encoding.collate(encoded)
        places = torch.from_numpy(targets(encoded, labels))
        return (views, places), int(views.attention_mask.sum())

    def unread(self, encoded: list[Asked], labels: Any) -> int:
        """Return the questions whose answer no window holds."""
        return unread(encoded, labels)

    def predict(self, texts: list[tuple[str, str]]) -> list[Guess]:
        """Return a guess for each question."""
        return self.predict_encoded(self.encode(texts))

    @torch.inference_mode()
    def predict_encoded(self, encoded: list[Asked]) -> list[Guess]:
        """Return a guess for each encoded question."""
        self.module.eval()
        found: list[Guess | None] = [None] * len(encoded)
        order = np.argsort(lengths(encoded), kind="stable")
        for start in range(0, len(order), EVALUATION_BATCH):
            rows = order[start : start + EVALUATION_BATCH]
            asked = [encoded[i] for i in rows]
            views = self.encoding.collate(asked)
            with self.compute.autocast():
                logits = self.module.logits(views)
            told = guesses(asked, views, logits, self.threshold, longest=self.longest)
            for row, guess in zip(rows, told, strict=True):
                found[row] = guess
        return [guess for guess in found if guess is not None]

    def calibrate(self, predictions: list[Guess], split: Split, metric: str) -> list[Guess]:
        """Choose the threshold of no answer where some questions have none; return what is given then."""
        if self.threshold is None:
            return predictions
        self.threshold, given = calibrated(predictions, split, metric)
        return given

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, new layer and settings into `folder`."""
        checkpoint.save(self.model, self.tokenizer, folder)
        save_file(self.module.linear.state_dict(), folder / HEAD)
        settings = {
            "layer": self.module.layer,
            "dropout": self.dropout,
            "threshold": self.threshold,
            "longest": self.longest,
            **self.encoding.settings(),
        }
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedReader":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        fitted = cls(folder, **settings, compute=compute)
        fitted.module.linear.load_state_dict(load_file(folder / HEAD))
        return fitted


def masked(scores: Tensor, inside: Tensor) -> Tensor:
    """Return scores (W, L, 2) with minus infinity where `inside` (W, L) is False."""
    return scores.masked_fill(~inside.to(scores.device).unsqueeze(-1), -torch.inf)


def span_loss(logits: Tensor, places: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean cross-entropy of start and end (nats) over what was read, and what to log.

    Args:
        logits: (W, L, 2).
        places: int64, (W, 2): first and last token of the answer; UNREAD in windows that count for nothing.
    """
    places = places.to(logits.device)
    told = places[:, 0] != UNREAD
    windows = told.sum().clamp(min=1)  # of none the loss is 0
    flat = logits.transpose(1, 2).flatten(0, 1)
    total = nn.functional.cross_entropy(
        flat, places.flatten(), ignore_index=UNREAD, reduction="sum"
    )
    loss = total / (2 * windows)
    right = ((logits.argmax(1) == places).all(1) & told).sum() / windows
    return loss, {"loss": loss.detach(), "accuracy": right}


def guesses(
    asked: Sequence[Asked],
    views: Views,
    logits: Tensor,
    threshold: float | None,
    *,
    longest: int,
) -> list[Guess]:
    """Return the best legal span of each question over its windows.

    Args:
        asked: Encoded questions.
        views: Their windows.
        logits: (W, L, 2).
        threshold: No answer is given where (no-answer score - span score) is above it; None always
            gives one, if the context has any token.
        longest: Tokens of an answer at most.
    """
    log_shares = logits.double().log_softmax(1).cpu()  # windows compare by their probabilities
    starts, ends = log_shares[..., 0], log_shares[..., 1]
    longest = min(longest, starts.shape[1])
    # From each start on, the ends of answers of one token, of two, and so on: (W, L, longest).
    reach = nn.functional.pad(ends, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    sums = starts.unsqueeze(2) + reach
    sums[:, 0] = -torch.inf
    best, place = sums.flatten(1).max(1)
    nothing = starts[:, 0] + ends[:, 0]
    found = []
    owner = views.owner.numpy()
    for number, one in enumerate(asked):
        rows = np.flatnonzero(owner == number)
        window = int(best[rows].argmax())
        score = max(float(best[rows[window]]), NEVER)
        begin, more = divmod(int(place[rows[window]]), longest)
        text = decode(one, window, begin, begin + more) if score > NEVER else ""
        no_answer = float(nothing[rows].min()) - score
        given = text if threshold is None or no_answer <= threshold else ""
        found.append(Guess(given, text, score, no_answer))
    return found


def calibrated(
    predictions: Sequence[Guess], split: Split, metric: str
) -> tuple[float, list[Guess]]:
    """Return the threshold of no answer that is best on a split, and what is given with it.

    Args:
        predictions: A guess for each question.
        split: The questions' answers.
        metric: A key of `scores.answers.MEASURES`.
    """
    gold = [[answer.text for answer in answers] for answers in split.labels]
    doubts = np.array([guess.no_answer for guess in predictions])
    spoken = [guess.best for guess in predictions]
    threshold, _ = best_threshold(doubts, spoken, gold, measure=MEASURES[metric])
    return threshold, [
        guess._replace(text=guess.best if guess.no_answer <= threshold else "")
        for guess in predictions
    ]
