"""A fine-tuned encoder with a layer on pooled texts: texts in, predictions out; to a folder and back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertbench import tokenizer as tokenizers
from bertbench.data.encoding import Encoding, Window, Windows, lengths
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.heads import Classifier, Pooling
from bertbench.models.targets import MADE
from bertbench.runtime import Compute, seeded
from bertbench.types import Split

SETTINGS, HEAD = "full.json", "head.safetensors"
EVALUATION_BATCH = 64  # texts at once

Encoded = list[list[Window]]


class FittedFull:
    """Texts, or pairs of them, in; predictions of their kind out.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        classes: C; 0 where labels are numbers.
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the pooled vector, in training.
        max_length: Tokens of a window.
        long_text: A key of LONG_TEXT.
        compute: Device and precision.
        kind: A key of `targets.MADE`.
        target: Settings of the kind's target.
        seed: Of the new layer; drawn before it is built.
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
        kind: str = "classification",
        target: dict[str, Any] | None = None,
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
        self.target = MADE[kind](**(target or {}))
        pooled = Pooling(Encoder(self.model.base_model), pooling=pooling, layer=layer)
        with seeded(seed, "classification layer"):
            module = Classifier(
                pooled,
                target=self.target,
                outputs=self.target.outputs(classes),
                dropout=dropout,
            )
        self.module = module.to(compute.device)
        self.compute, self.kind, self.classes, self.dropout = compute, kind, classes, dropout

    def encode(self, texts: Sequence[Any]) -> Encoded:
        """Return the windows of each text."""
        return self.encoding.encode(texts)

    def lengths(self, encoded: Encoded) -> list[int]:
        """Return the longest window of each text, in tokens."""
        return lengths(encoded)

    def batch(self, encoded: Encoded, labels: Any) -> tuple[tuple[Windows, Tensor], int]:
        """Return what the module trains on, and the tokens in it."""
        windows = self.encoding.collate(encoded)
        return (windows, self.target.labels(labels)), int(windows.attention_mask.sum())

    def predict(self, texts: list[Any]) -> np.ndarray:
        """Return predictions of the kind, (T, C) or (T,)."""
        return self.predict_encoded(self.encode(texts))

    @torch.inference_mode()
    def predict_encoded(self, encoded: Encoded) -> np.ndarray:
        """Return predictions of the kind, (T, C) or (T,), of texts cut into windows."""
        self.module.eval()
        order = np.argsort(lengths(encoded), kind="stable")
        logits = torch.empty(len(encoded), self.module.linear.out_features)
        for start in range(0, len(order), EVALUATION_BATCH):
            rows = order[start : start + EVALUATION_BATCH]
            windows = self.encoding.collate([encoded[i] for i in rows])
            with self.compute.autocast():
                found = self.module.logits(windows)
            logits[torch.from_numpy(rows)] = found.cpu()
        return self.target.predictions(logits)

    def unread(self, encoded: Any, labels: Any) -> int:  # noqa: ARG002
        """Return 0: the label of a text is that of all of it."""
        return 0

    def calibrate(self, predictions: np.ndarray, split: Split, metric: str) -> np.ndarray:  # noqa: ARG002
        """Return predictions as they are: nothing is chosen on validation here."""
        return predictions

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, new layer and settings into `folder`."""
        checkpoint.save(self.model, self.tokenizer, folder)
        save_file(self.module.linear.state_dict(), folder / HEAD)
        settings = {
            "kind": self.kind,
            "target": self.target.settings(),
            "classes": self.classes,
            "pooling": self.module.pooling.pooling,
            "layer": self.module.pooling.layer,
            "dropout": self.dropout,
            **self.encoding.settings(),
        }
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedFull":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        fitted = cls(folder, **settings, compute=compute)
        fitted.module.linear.load_state_dict(load_file(folder / HEAD))
        return fitted
