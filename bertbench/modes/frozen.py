"""The encoder as it is: features computed once and kept, logistic regression on top."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from bertbench import interrupt
from bertbench import tokenizer as tokenizers
from bertbench.data.encoding import Encoding, lengths
from bertbench.linear import Linear, fit_linear
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, count_parameters, positions
from bertbench.models.heads import Pooling, check_pooling
from bertbench.records import STAGES, fingerprint
from bertbench.runtime import Compute
from bertbench.setting import Setting
from bertbench.types import Outcome, TaskData

BATCH_SIZE = 64  # texts at once; changes no feature but in the last bits
SETTINGS, FEATURES = "frozen.json", "features.safetensors"


class Frozen:
    """Pooled states of one layer under a logistic regression (feature-based use).

    Source: Devlin et al. (2019), section 5.3; Conneau and Kiela (2018),
    https://arxiv.org/abs/1803.05449, for the regression on frozen sentence vectors.

    Args:
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        penalties: Values of C to choose from on validation.
    """

    def __init__(self, *, pooling: str, layer: int, penalties: Sequence[float]) -> None:
        check_pooling(pooling)
        self.pooling, self.layer, self.penalties = pooling, layer, penalties

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        reader = Reader(
            setting.need_checkpoint(),
            pooling=self.pooling,
            layer=self.layer,
            max_length=setting.max_length,
            long_text=setting.long_text,
            compute=setting.compute,
        )
        splits = (data.train, data.validation, data.test)
        # Kept features were computed once; their seconds count in every run that learns from them.
        kept = [self._features(reader, split.texts, setting) for split in splits]
        (train, _), (validation, _), (test, _) = kept
        started = time.perf_counter()
        linear, c = fit_linear(
            train,
            data.train.labels,
            validation,
            data.validation.labels,
            classes=len(data.classes),
            penalties=self.penalties,
            metric=setting.metric,
        )
        stats = {
            "chosen/C": c,
            "cost/train_seconds": time.perf_counter() - started + sum(s for _, s in kept[:2]),
            "cost/parameters": float(count_parameters(reader.pooling)),
        }
        fitted = FittedFrozen(reader, linear)
        return Outcome(fitted, linear.predict(validation), linear.predict(test), stats)

    def _features(
        self, reader: "Reader", texts: list[str], setting: Setting
    ) -> tuple[np.ndarray, float]:
        """Return features (T, D) and the seconds they took when they were made."""
        # The encoder by its bytes: one made again from the same recipe, on a GPU or in a budget of
        # seconds, is another, and must not be given the features of the first.
        recipe = {
            "version": STAGES["features"],
            "encoder": setting.checkpoint_key,
            **reader.settings(),
            "texts": fingerprint(texts),
            "precision": str(setting.compute.autocast_dtype),
        }

        def make(folder: Path) -> None:
            started = time.perf_counter()
            features = reader.read(texts)
            seconds = np.array([time.perf_counter() - started])
            save_file({"features": features, "seconds": seconds}, folder / FEATURES)

        kept = load_file(setting.store.entry("features", recipe, make) / FEATURES)
        return kept["features"], float(kept["seconds"][0])


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

    @torch.inference_mode()
    def read(self, texts: list[str]) -> np.ndarray:
        """Return float32 features (T, D); texts of like length share a batch."""
        encoded = self.encoding.encode(texts)
        order = np.argsort(lengths(encoded), kind="stable")
        features = np.empty((len(texts), self.pooling.encoder.width), dtype=np.float32)
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
    """Texts in, probabilities out."""

    def __init__(self, reader: Reader, linear: Linear) -> None:
        self.reader, self.linear = reader, linear

    def predict(self, texts: list[str]) -> np.ndarray:
        """Return float64 class probabilities, (T, C)."""
        return self.linear.predict(self.reader.read(texts))

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, regression and settings into `folder`."""
        checkpoint.save(self.reader.model, self.reader.tokenizer, folder)
        self.linear.save(folder)
        (folder / SETTINGS).write_text(json.dumps(self.reader.settings()), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedFrozen":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return cls(Reader(folder, **settings, compute=compute), Linear.load(folder))
