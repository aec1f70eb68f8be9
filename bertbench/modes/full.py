"""Everything trained: the encoder and a linear layer on its pooled states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertbench.budget import Budget, Spent
from bertbench.data.batching import bucketed
from bertbench.data.encoding import Encoding, Windows, lengths
from bertbench.errors import UserError
from bertbench.linear import rank
from bertbench.loop import train
from bertbench.metrics import score
from bertbench.models.encoder import count_parameters
from bertbench.models.finetuned import FittedFull
from bertbench.models.heads import Classifier, check_pooling
from bertbench.optim import Recipe, adamw
from bertbench.progress import History, Numbers, Progress
from bertbench.setting import Setting
from bertbench.types import Outcome, Split, TaskData

EVALUATIONS = 20  # at most, however many epochs
LOG_EVERY = 10  # steps


class Full:
    """Fine-tuning: Devlin et al. (2019), section 4.1, optimised after Mosbach et al. (2021).

    Validation is read after each epoch (at most 20 times); the best one is kept.

    Args:
        optim: The fields of `bertbench.optim.Recipe`.
        pooling: `cls` or `mean`.
        layer: 0 is the embedding; negative counts from the last.
        dropout: On the pooled vector.
        epochs: Readings of the training texts.
        min_steps: More epochs are read where these would be fewer optimizer steps.
        batch_size: Texts a step.
        learning_rates: Each is tried and the best on validation kept; None tries `optim.lr` alone.

    Raises:
        UserError: `epochs`, `min_steps` or `batch_size` is too small, or `learning_rates` is empty.
    """

    def __init__(
        self,
        *,
        optim: dict[str, Any],
        pooling: str,
        layer: int,
        dropout: float,
        epochs: int,
        min_steps: int,
        batch_size: int,
        learning_rates: Sequence[float] | None,
    ) -> None:
        if epochs < 1 or batch_size < 1 or min_steps < 0:
            raise UserError(
                f"mode.epochs={epochs} and mode.batch_size={batch_size} must be at least 1, "
                f"mode.min_steps={min_steps} not below 0"
            )
        if not 0 <= dropout < 1:
            raise UserError(f"mode.dropout={dropout} must lie in [0, 1)")
        check_pooling(pooling)
        recipe = Recipe(**optim)
        rates = [recipe.lr] if learning_rates is None else learning_rates
        if not isinstance(rates, list | tuple) or not rates:
            raise UserError(
                f"mode.learning_rates={learning_rates} must be null or a list of rates to try, "
                "such as [1e-4,3e-4]"
            )
        self.recipes = [recipe._replace(lr=rate) for rate in rates]
        self.pooling, self.layer, self.dropout = pooling, layer, dropout
        self.epochs, self.min_steps, self.batch_size = epochs, min_steps, batch_size

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """See `Mode`."""
        tries = [self._try(recipe, data, setting) for recipe in self.recipes]
        seconds = sum(stats["cost/train_seconds"] for _, _, stats in tries)
        ranks = [rank(setting.metric, data.validation.labels, found) for _, found, _ in tries]
        fitted, validation, stats = tries[max(range(len(tries)), key=ranks.__getitem__)]
        stats["cost/train_seconds"] = seconds
        return Outcome(fitted, validation, fitted.predict(data.test.texts), stats)

    def _try(
        self, recipe: Recipe, data: TaskData, setting: Setting
    ) -> tuple["FittedFull", np.ndarray, dict[str, float]]:
        """Train at one rate; return the best classifier, its validation probabilities, and stats."""
        fitted = FittedFull(
            setting.need_checkpoint(),
            classes=len(data.classes),
            pooling=self.pooling,
            layer=self.layer,
            dropout=self.dropout,
            max_length=setting.max_length,
            long_text=setting.long_text,
            compute=setting.compute,
            seed=setting.seed,
        )
        batches = TaskBatches(
            data.train, fitted.encoding, batch_size=self.batch_size, seed=setting.seed
        )
        epochs = max(self.epochs, -(-self.min_steps // batches.steps_per_epoch))
        steps = epochs * batches.steps_per_epoch
        between = max(batches.steps_per_epoch, -(-steps // EVALUATIONS))
        validation = fitted.encoding.encode(data.validation.texts)
        optimizer = adamw(fitted.classifier, recipe)
        # One curve a rate, where several are tried.
        prefix = "train/" if len(self.recipes) == 1 else f"train/{recipe.lr:g}/"
        history = History(
            lambda values, step: setting.log({f"{prefix}{k}": v for k, v in values.items()}, step)
        )
        best = Best(history)

        def after_step(step: int, before: Spent, spent: Spent) -> None:  # noqa: ARG001
            if step % between and step != steps:
                return
            probabilities = fitted.predict_encoded(validation)
            labels = data.validation.labels
            found = rank(setting.metric, labels, probabilities)
            best.offer(found, step, probabilities, fitted.classifier)
            scores = {
                f"validation_{setting.metric}": score(setting.metric, labels, probabilities),
                "validation_log_loss": -found[1],
            }
            history(scores, step)

        spent = train(
            fitted.classifier,
            batches,
            optimizer,
            recipe=recipe,
            budget=Budget(steps=steps),
            compute=setting.compute,
            seed=setting.seed,
            log=history,
            log_every=LOG_EVERY,
            title="fine-tune",
            progress=Progress(
                setting.checkpoints.below(f"lr={recipe.lr}"), fitted.classifier, optimizer, best
            ),
            after_step=after_step,
        )
        fitted.classifier.load_state_dict(best.state_of_best)
        stats = {
            "chosen/lr": recipe.lr,
            "chosen/epochs": float(epochs),
            "chosen/best_epoch": best.step / batches.steps_per_epoch,
            "cost/train_seconds": spent.seconds,
            "cost/train_steps": float(spent.steps),
            "cost/parameters": float(count_parameters(fitted.classifier)),
        }
        return fitted, best.probabilities, stats


class Best:
    """The best evaluation so far; of equal ones, the first. Carries the history over interruptions too."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.rank = (-np.inf, -np.inf)
        self.step = 0
        self.probabilities = np.empty(0)
        self.state_of_best: dict[str, Tensor] = {}

    def offer(
        self, found: tuple[float, float], step: int, probabilities: np.ndarray, module: Classifier
    ) -> None:
        """Keep a copy of `module` if `found` beats what is kept."""
        if found > self.rank:
            self.rank, self.step, self.probabilities = found, step, probabilities
            self.state_of_best = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def state(self) -> tuple[dict[str, Tensor], Numbers]:
        """See `progress.Stateful`."""
        tensors = {f"module/{name}": value for name, value in self.state_of_best.items()}
        tensors["probabilities"] = torch.from_numpy(self.probabilities)
        _, numbers = self.history.state()
        return tensors, numbers | {"rank": self.rank, "step": self.step}

    def restore(self, tensors: dict[str, Tensor], numbers: Numbers) -> None:
        """See `progress.Stateful`."""
        self.probabilities = tensors.pop("probabilities").numpy()
        self.state_of_best = {
            name.removeprefix("module/"): value for name, value in tensors.items()
        }
        self.history.restore({}, numbers)
        first, second = numbers["rank"]
        self.rank, self.step = (first, second), numbers["step"]


class TaskBatches:
    """Labelled texts in, the batch of a step and its number of tokens out."""

    def __init__(self, split: Split, encoding: Encoding, *, batch_size: int, seed: int) -> None:
        self.encoding, self.batch_size, self.seed = encoding, batch_size, seed
        self.encoded = encoding.encode(split.texts)
        self.lengths = lengths(self.encoded)
        self.labels = torch.from_numpy(split.labels)
        self._epoch, self._rows = 0, self._order(0)
        self.steps_per_epoch = len(self._rows)

    def __call__(self, step: int, spent: float = 0.0) -> tuple[tuple[Windows, Tensor], int]:  # noqa: ARG002
        """Return (windows, labels) of `step` (from 0), and the tokens in it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._order(epoch)
        rows = self._rows[place]
        windows = self.encoding.collate([self.encoded[i] for i in rows])
        return (windows, self.labels[rows]), int(windows.attention_mask.sum())

    def _order(self, epoch: int) -> list[np.ndarray]:
        return bucketed(self.lengths, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
