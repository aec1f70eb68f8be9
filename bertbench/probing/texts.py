"""Texts or pairs of them in, frozen features out; with a linear model on them, predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertbench import interrupt, predictors
from bertbench import tokenizer as tokenizers
from bertbench.data.encoding import Encoding, lengths
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.heads import Pooling
from bertbench.predictors import Predictor
from bertbench.runtime import Compute

BATCH_SIZE = 64  # texts at once; changes no feature but in the last bits
SETTINGS = "frozen.json"


class Reader:
    """Texts in, frozen features out: the encoder in eval mode, without gradients.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        max_length: Tokens of a window.
        long_text: A key of LONG_TEXT.
        compute: Device and precision.
    """

    def __init__(
        self,
        folder: Path,
        *,
        pooling: str,
        layer: int,
        max_length: int,
        long_text: str,
        compute: Compute,
    ) -> None:
        self.model = checkpoint.load(folder)
        vocab_size = self.model.config.vocab_size
        self.tokenizer = tokenizers.load(folder, vocab_size=vocab_size)
        self.encoding = Encoding(
            self.tokenizer,
            max_length=max_length,
            long_text=long_text,
            positions=positions(self.model),
        )
        encoder = Encoder(self.model.base_model)
        self.pooling = Pooling(encoder, pooling=pooling, layer=layer).to(compute.device).eval()
        self.compute = compute

    @property
    def width(self) -> int:
        """D, numbers of one text."""
        return self.pooling.encoder.width

    def read(self, texts: list[Any]) -> np.ndarray:
        """Return float32 features: (T, D) of texts, (T, 4 D) of pairs.

        Each text of a pair is read alone; its features are both vectors, their absolute difference and
        their product: Conneau et al. (2017), https://aclanthology.org/D17-1070, section 3.1.
        """
        if not texts or isinstance(texts[0], str):
            return self._read(texts)
        distinct = list(dict.fromkeys(text for pair in texts for text in pair))
        place = {text: number for number, text in enumerate(distinct)}
        vectors = self._read(distinct)
        first, second = (vectors[[place[pair[side]] for pair in texts]] for side in (0, 1))
        return np.concatenate([first, second, np.abs(first - second), first * second], axis=1)

    @torch.inference_mode()
    def _read(self, texts: list[str]) -> np.ndarray:
        """Return float32 features (T, D); texts of like length share a batch."""
        encoded = self.encoding.encode(texts)
        order = np.argsort(lengths(encoded), kind="stable")
        features = np.empty((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            interrupt.check()
            rows = order[start : start + BATCH_SIZE]
            with self.compute.autocast():
                vectors = self.pooling(self.encoding.collate([encoded[i] for i in rows]))
            features[rows] = vectors.float().cpu().numpy()
        return features

    def settings(self) -> dict[str, object]:
        """Return what decides the features beside encoder and texts."""
        return {
            "pooling": self.pooling.pooling,
            "layer": self.pooling.layer,
            **self.encoding.settings(),
        }


class FittedFrozen:
    """Texts in, predictions of their kind out."""

    def __init__(self, reader: Reader, linear: Predictor, kind: str) -> None:
        self.reader, self.linear, self.kind = reader, linear, kind

    def predict(self, texts: list[Any]) -> np.ndarray:
        """Return predictions (T, C) or (T,)."""
        return self.linear.predict(self.reader.read(texts))

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, linear model and settings into `folder`."""
        checkpoint.save(self.reader.model, self.reader.tokenizer, folder)
        self.linear.save(folder)
        settings = {"kind": self.kind, **self.reader.settings()}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedFrozen":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        kind = settings.pop("kind", "classification")
        reader = Reader(folder, **settings, compute=compute)
        return cls(reader, predictors.load(folder, kind), kind)
