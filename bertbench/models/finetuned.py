"""A fine-tuned encoder with its classification layer: texts in, probabilities out; to a folder and back."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bertbench import tokenizer as tokenizers
from bertbench.data.encoding import Encoding, lengths
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.heads import Classifier, Pooling
from bertbench.runtime import Compute, seeded

SETTINGS, HEAD = "full.json", "head.safetensors"
EVALUATION_BATCH = 64  # texts at once


class FittedFull:
    """Texts in, probabilities out.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        classes: C.
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the pooled vector, in training.
        max_length: Tokens of a window.
        long_text: A key of LONG_TEXT.
        compute: Device and precision.
        seed: Of the classification layer; drawn before it is built.
    """

    def __init__(
        self,
        folder: Path,
        *,
        classes: int,
        pooling: str,
        layer: int,
        dropout: float,
        max_length: int,
        long_text: str,
        compute: Compute,
        seed: int = 0,
    ) -> None:
        self.model = checkpoint.load(folder)
        self.tokenizer = tokenizers.load(folder, vocab_size=self.model.config.vocab_size)
        self.encoding = Encoding(
            self.tokenizer,
            max_length=max_length,
            long_text=long_text,
            positions=positions(self.model),
        )
        pooled = Pooling(Encoder(self.model.base_model), pooling=pooling, layer=layer)
        with seeded(seed, "classification layer"):
            classifier = Classifier(pooled, classes=classes, dropout=dropout)
        self.classifier = classifier.to(compute.device)
        self.compute, self.classes, self.dropout = compute, classes, dropout

    def predict(self, texts: list[str]) -> np.ndarray:
        """Return float64 class probabilities, (T, C)."""
        return self.predict_encoded(self.encoding.encode(texts))

    @torch.inference_mode()
    def predict_encoded(self, encoded: list[list[list[int]]]) -> np.ndarray:
        """Return float64 class probabilities, (T, C), of texts cut into windows."""
        self.classifier.eval()
        order = np.argsort(lengths(encoded), kind="stable")
        probabilities = np.empty((len(encoded), self.classes))
        for start in range(0, len(order), EVALUATION_BATCH):
            rows = order[start : start + EVALUATION_BATCH]
            windows = self.encoding.collate([encoded[i] for i in rows])
            with self.compute.autocast():
                logits = self.classifier.logits(windows)
            probabilities[rows] = logits.double().softmax(-1).cpu().numpy()
        return probabilities

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, classification layer and settings into `folder`."""
        checkpoint.save(self.model, self.tokenizer, folder)
        save_file(self.classifier.linear.state_dict(), folder / HEAD)
        settings = {
            "classes": self.classes,
            "pooling": self.classifier.pooling.pooling,
            "layer": self.classifier.pooling.layer,
            "dropout": self.dropout,
            **self.encoding.settings(),
        }
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedFull":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        fitted = cls(folder, **settings, compute=compute)
        fitted.classifier.linear.load_state_dict(load_file(folder / HEAD))
        return fitted
