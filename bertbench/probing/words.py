"""Sentences in, a frozen state for each word out; with a linear model on them, probabilities of tags."""

import json
from pathlib import Path

import numpy as np
import torch

from bertbench import interrupt
from bertbench import tokenizer as tokenizers
from bertbench.data.aligned import Alignment, lengths
from bertbench.linear import Linear
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder, positions
from bertbench.models.tagger import WordStates
from bertbench.runtime import Compute

BATCH_SIZE = 64  # sentences at once; changes no feature but in the last bits
SETTINGS = "frozen_words.json"


class WordReader:
    """Sentences in, frozen states of their words out: the encoder in eval mode, without gradients.

    Args:
        folder: Encoder and tokenizer in transformers' format.
        layer: 0 is the embedding; negative counts from the last.
        max_length: Tokens of a piece.
        long_text: A key of LONG_TEXT.
        compute: Device and precision.
    """

    def __init__(
        self, folder: Path, *, layer: int, max_length: int, long_text: str, compute: Compute
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
        self.states, self.compute = states.to(compute.device).eval(), compute

    @torch.inference_mode()
    def read(self, texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 states (N, D) of all words, sentence by sentence, and whether each was read.

        Words that were cut off have zeros.
        """
        encoded = self.encoding.encode(texts)
        first = np.cumsum([0, *(sentence.words for sentence in encoded)])
        features = np.zeros((first[-1], self.states.encoder.width), dtype=np.float32)
        read = np.zeros(first[-1], dtype=bool)
        order = np.argsort(lengths(encoded), kind="stable")
        for start in range(0, len(order), BATCH_SIZE):
            interrupt.check()
            rows = order[start : start + BATCH_SIZE]
            pieces = self.encoding.collate([encoded[i] for i in rows])
            with self.compute.autocast():
                vectors = self.states(pieces)
            places = first[rows[pieces.sentence.numpy()]] + pieces.word.numpy()
            features[places], read[places] = vectors.float().cpu().numpy(), True
        return features, read

    def settings(self) -> dict[str, object]:
        """Return what decides the states beside encoder and sentences."""
        return {"layer": self.states.layer, **self.encoding.settings()}


class FittedWords:
    """Sentences in, probabilities of tags out; words that were cut off have the commonest tag."""

    def __init__(self, reader: WordReader, linear: Linear, commonest: int) -> None:
        self.reader, self.linear, self.commonest = reader, linear, commonest

    def predict(self, texts: list[list[str]]) -> list[np.ndarray]:
        """Return float64 probabilities (words, C) for each sentence."""
        features, read = self.reader.read(texts)
        return self.spread(features, read, [len(words) for words in texts])

    def spread(
        self, features: np.ndarray, read: np.ndarray, counts: list[int]
    ) -> list[np.ndarray]:
        """Return probabilities (words, C) for each sentence of so many words, from states (N, D)."""
        shares = self.linear.predict(features)
        shares[~read] = np.eye(shares.shape[1])[self.commonest]
        ends = np.cumsum(counts, dtype=np.int64)
        return [shares[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def save(self, folder: Path) -> None:
        """Write encoder, tokenizer, regression and settings into `folder`."""
        checkpoint.save(self.reader.model, self.reader.tokenizer, folder)
        self.linear.save(folder)
        settings = {"commonest": self.commonest, **self.reader.settings()}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> "FittedWords":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        commonest = settings.pop("commonest")
        reader = WordReader(folder, **settings, compute=compute)
        return cls(reader, Linear.load(folder), commonest)
