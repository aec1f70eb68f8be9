"""The encoder as it is: features computed once and kept, a linear model on top."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertbench import predictors, strength
from bertbench.kinds import find, rank
from bertbench.learners import commonest
from bertbench.linear import Linear, each_linear
from bertbench.models.encoder import count_parameters
from bertbench.models.heads import check_pooling
from bertbench.optim import Recipe
from bertbench.probing.spans import FittedSpans, Kept, SpanReader
from bertbench.probing.texts import FittedFrozen, Reader
from bertbench.probing.words import FittedWords, WordReader
from bertbench.records import STAGES, fingerprint
from bertbench.setting import Setting
from bertbench.tuning import check_reading, tune
from bertbench.types import Outcome, TaskData

FEATURES = "features.safetensors"


class Frozen:
    """States of one layer under a linear model (feature-based use).

    Texts: a regression on pooled states (Devlin et al. 2019, section 5.3; Conneau and Kiela 2018,
    https://arxiv.org/abs/1803.05449). Words: the same on the state of each. Questions: linear scores
    of where an answer begins and ends, trained on states that were computed once.

    Args:
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        penalties: Values of C to choose from on validation.
        span: For questions: `optim` (the fields of `bertbench.optim.Recipe`), `epochs`, `min_steps` and
            `batch_size`; other kinds do without.

    Raises:
        UserError: There is no such pooling, or what `span` gives would train nothing.
    """

    def __init__(
        self,
        *,
        pooling: str,
        layer: int,
        penalties: Sequence[float],
        span: dict[str, Any] | None = None,
    ) -> None:
        check_pooling(pooling)
        if span is not None:
            check_reading(span["epochs"], span["min_steps"], span["batch_size"], place="mode.span")
        self.pooling, self.layer, self.penalties = pooling, layer, penalties
        self.span = span

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        ways = {"text": self._texts, "token": self._words, "span": self._spans}
        return ways[find(data.kind).reading](data, setting)

    def _texts(self, data: TaskData, setting: Setting) -> Outcome:
        reader = Reader(
            setting.need_checkpoint(), pooling=self.pooling, **_reading(setting, self.layer)
        )

        def read(texts: list[Any]) -> dict[str, Tensor]:
            return {"features": torch.from_numpy(reader.read(texts))}

        kept = [_kept(read, reader.settings(), split.texts, setting) for split in data[2:5]]
        train, validation, test = (found["features"].numpy() for found in kept)
        started = time.perf_counter()
        paired = isinstance(data.train.texts[0], tuple)
        linear, chosen = predictors.fit(
            data,
            setting.metric,
            train,
            validation,
            penalties=self.penalties,
            width=reader.width if paired else None,
        )
        stats = chosen | _cost(started, kept, count_parameters(reader.pooling))
        fitted = FittedFrozen(reader, linear, data.kind)
        return Outcome(fitted, linear.predict(validation), linear.predict(test), stats)

    def _words(self, data: TaskData, setting: Setting) -> Outcome:
        strength.check(self.penalties)
        reader = WordReader(setting.need_checkpoint(), **_reading(setting, self.layer))

        def read(texts: list[Any]) -> dict[str, Tensor]:
            features, seen = reader.read(texts)
            return {"features": torch.from_numpy(features), "seen": torch.from_numpy(seen)}

        kept = [_kept(read, reader.settings(), split.texts, setting) for split in data[2:5]]
        (train, seen), *others = [
            (found["features"].numpy(), found["seen"].numpy()) for found in kept
        ]
        started = time.perf_counter()
        labels, tag = np.concatenate(data.train.labels)[seen], commonest(data.train)
        counts = [[len(words) for words in split.texts] for split in (data.validation, data.test)]

        def judge(linear: Linear) -> tuple[float, float]:
            """Judge by the task's own metric, which may count spans."""
            found = FittedWords(reader, linear, tag).spread(*others[0], counts[0])
            return rank(data, setting.metric, found)

        models = each_linear(
            train[seen], labels, classes=len(data.classes), penalties=self.penalties
        )
        linear, c = strength.best(models, judge)
        fitted = FittedWords(reader, linear, tag)
        validation, test = (
            fitted.spread(*them, count) for them, count in zip(others, counts, strict=True)
        )
        stats = {"chosen/C": c, "unread": float((~seen).sum())}
        stats |= _cost(started, kept, count_parameters(reader.states))
        return Outcome(fitted, validation, test, stats)

    def _spans(self, data: TaskData, setting: Setting) -> Outcome:
        if self.span is None:
            raise ValueError("questions need the settings of mode.span, and there are none")
        reader = SpanReader(setting.need_checkpoint(), **_reading(setting, self.layer))
        seconds: list[float] = []

        def stored(texts: Sequence[Any]) -> list[Kept]:
            encoded = reader.encoding.encode(texts)

            def read(_: list[Any]) -> dict[str, Tensor]:
                found = reader.states(encoded)
                counts = torch.tensor([len(states) for states in found])
                return {"states": torch.cat(found), "counts": counts}

            kept = _kept(read, reader.settings(), texts, setting)
            seconds.append(float(kept["seconds"][0]))
            states = kept["states"].split(kept["counts"].tolist())
            return [Kept(*pair) for pair in zip(encoded, states, strict=True)]

        fitted = FittedSpans(
            reader,
            threshold=None if all(data.train.labels) else 0.0,
            longest=reader.encoding.longest(data.train.labels),
            seed=setting.seed,
            read=stored,
        )
        more = {name: value for name, value in self.span.items() if name != "optim"}
        validation, stats = tune(
            fitted,
            data,
            setting,
            Recipe(**self.span["optim"]),
            prefix="train/",
            checkpoints=setting.checkpoints,
            **more,
        )
        stats["cost/train_seconds"] += sum(seconds)
        stats["cost/parameters"] += float(count_parameters(reader.head.encoder))
        test = fitted.predict_encoded(stored(data.test.texts))
        return Outcome(fitted, validation, test, stats)


def _reading(setting: Setting, layer: int) -> dict[str, Any]:
    return {
        "layer": layer,
        "max_length": setting.max_length,
        "long_text": setting.long_text,
        "compute": setting.compute,
    }


def _kept(
    read: Callable[[list[Any]], dict[str, Tensor]],
    settings: dict[str, object],
    texts: Sequence[Any],
    setting: Setting,
) -> dict[str, Tensor]:
    """Return features of texts, and under `seconds` what they took when they were made.

    Kept features were computed once; their seconds count in every run that learns from them.
    """
    # The encoder by its bytes: one made again from the same recipe, on a GPU or in a budget of
    # seconds, is another, and must not be given the features of the first.
    recipe = {
        "version": STAGES["features"],
        "encoder": setting.checkpoint_key,
        **settings,
        "texts": fingerprint(texts),
        "precision": str(setting.compute.autocast_dtype),
    }

    def make(folder: Path) -> None:
        started = time.perf_counter()
        features = read(list(texts))
        seconds = torch.tensor([time.perf_counter() - started], dtype=torch.float64)
        save_file(features | {"seconds": seconds}, folder / FEATURES)

    return load_file(setting.store.entry("features", recipe, make) / FEATURES)


def _cost(started: float, kept: Sequence[dict[str, Tensor]], parameters: int) -> dict[str, float]:
    """Return seconds and parameters; those of the test features are no training."""
    seconds = sum(float(found["seconds"][0]) for found in kept[:2])
    return {
        "cost/train_seconds": time.perf_counter() - started + seconds,
        "cost/parameters": float(parameters),
    }
