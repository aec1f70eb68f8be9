"""An encoder with a layer on each word: sentences in, probabilities of tags out; to a folder and back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertbench import tokenizer as tokenizers
from bertbench.data.aligned import Alignment, Pieces, Sentence, lengths
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.heads import check_layer
from bertbench.runtime import Compute, seeded
from bertbench.types import Split

SETTINGS, HEAD = "tagger.json", "head.safetensors"
EVALUATION_BATCH = 64  # sentences at once

Encoded = list[Sentence]


class WordStates(nn.Module):
    """Pieces in, the state of each word's first token out.

    Args:
        encoder: Gives the states.
        layer: 0 is the embedding, `depth` the last; negative counts from the end.

    Raises:
        UserError: There is no such layer.
    """

    def __init__(self, encoder: Encoder, *, layer: int) -> None:
        super().__init__()
        check_layer(encoder, layer)
        self.encoder, self.layer = encoder, layer

    def forward(self, pieces: Pieces) -> Tensor:
        """Return states (N, D)."""
        device = next(self.encoder.parameters()).device
        mask = pieces.attention_mask.to(device)
        states = self.encoder(pieces.ids.to(device), mask)[self.layer]  # (W, L, D)
        return states[pieces.row.to(device), pieces.place.to(device)]


class Tagger(nn.Module):
    """States of words under a linear layer: Devlin et al. (2019), section 5.3.

    Args:
        states: Of the words.
        classes: C.
        dropout: On the states, in training.
    """

    def __init__(self, states: WordStates, *, classes: int, dropout: float) -> None:
        super().__init__()
        self.states = states
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(states.encoder.width, classes)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: tuple[Pieces, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross-entropy a word (nats), and what to log."""
        pieces, labels = batch
        logits = self.logits(pieces)
        targets = labels.to(logits.device)
        loss = nn.functional.cross_entropy(logits, targets)
        accuracy = (logits.argmax(-1) == targets).float().mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy}

    def logits(self, pieces: Pieces) -> Tensor:
        """Return logits (N, C), float32."""
        return self.linear(self.dropout(self.states(pieces))).float()


class FittedTagger:
    """Sentences in, probabilities of tags out.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        classes: C.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the states, in training.
        max_length: Tokens of a piece.
        long_text: A key of LONG_TEXT.
        compute: Device and precision.
        commonest: The tag of words that were cut off: the commonest of the training words.
        seed: Of the new layer; drawn before it is built.
    """

    def __init__(
        self,
        folder: Path,
        *,
        classes: int,
        layer: int,
        dropout: float,
        max_length: int,
        long_text: str,
        compute: Compute,
        commonest: int,
        seed: int = 0,
    ) -> None:
        self.model = checkpoint.load(folder)
        self.tokenizer = tokenizers.load(folder, vocab_size=self.model.config.vocab_size)
        self.encoding = Alignment(
            self.tokenizer,
            max_length=max_length,
            long_text=long_text,
            positions=positions(self.model),
        )
        states = WordStates(Encoder(self.model.base_model), layer=layer)
        with seeded(seed, "classification layer"):
            module = Tagger(states, classes=classes, dropout=dropout)
        self.module = module.to(compute.device)
        self.compute, self.classes, self.dropout = compute, classes, dropout
        self.commonest = commonest

    def encode(self, texts: Sequence[Sequence[str]]) -> Encoded:
        """Return the pieces of each sentence."""
        return self.encoding.encode(texts)

    def lengths(self, encoded: Encoded) -> list[int]:
        """Return the longest piece of each sentence, in tokens."""
        return lengths(encoded)

    def batch(self, encoded: Encoded, labels: Any) -> tuple[tuple[Pieces, Tensor], int]:
        """Return what the module trains on, and the tokens in it; words that were cut off teach nothing."""
        pieces = self.encoding.collate(encoded)
        chosen = [
            labels[sentence][word]
            for sentence, word in zip(pieces.sentence.tolist(), pieces.word.tolist(), strict=True)
        ]
        targets = torch.tensor(np.array(chosen, dtype=np.int64))
        return (pieces, targets), int(pieces.attention_mask.sum())

    def predict(self, texts: list[list[str]]) -> list[np.ndarray]:
        """Return float64 probabilities (words, C) for each sentence."""
        return self.predict_encoded(self.encode(texts))

    @torch.inference_mode()
    def predict_encoded(self, encoded: Encoded) -> list[np.ndarray]:
        """Return probabilities (words, C) for each sentence; words cut off have the commonest tag."""
        self.module.eval()
        found = [np.zeros((sentence.words, self.classes)) for sentence in encoded]
        for row in found:
            row[:, self.commonest] = 1
        order = np.argsort(lengths(encoded), kind="stable")
        for start in range(0, len(order), EVALUATION_BATCH):
            rows = order[start : start + EVALUATION_BATCH]
            pieces = self.encoding.collate([encoded[i] for i in rows])
            with self.compute.autocast():
                logits = self.module.logits(pieces)
            shares = logits.double().softmax(-1).cpu().numpy()
            places = zip(pieces.sentence.tolist(), pieces.word.tolist(), strict=True)
            for (sentence, word), share in zip(places, shares, strict=True):
                found[rows[sentence]][word] = share
        return found

    def unread(self, encoded: Encoded, labels: Any) -> int:  # noqa: ARG002
        """Return the words that were cut off."""
        return sum(
            one.words - len({w for piece in one.pieces for w in piece.words}) for one in encoded
        )

    def calibrate(
        self,
        predictions: list[np.ndarray],
        split: Split,  # noqa: ARG002 - nothing is chosen on validation here
        metric: str,  # noqa: ARG002
    ) -> list[np.ndarray]:
        """Return predictions as they are."""
        return predictions

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, new layer and settings into `folder`."""
        checkpoint.save(self.model, self.tokenizer, folder)
        save_file(self.module.linear.state_dict(), folder / HEAD)
        settings = {
            "classes": self.classes,
            "layer": self.module.states.layer,
            "dropout": self.dropout,
            "commonest": self.commonest,
            **self.encoding.settings(),
        }
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedTagger":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        fitted = cls(folder, **settings, compute=compute)
        fitted.module.linear.load_state_dict(load_file(folder / HEAD))
        return fitted
