"""A learner and a task in, the same learner trained out: the best of its evaluations on validation."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from bertbench.budget import Budget, Spent
from bertbench.data.batching import bucketed
from bertbench.errors import UserError
from bertbench.kinds import rank, score, tie_breaker
from bertbench.learners import Learner
from bertbench.loop import train
from bertbench.models.encoder import count_parameters
from bertbench.optim import Recipe, adamw
from bertbench.progress import Checkpoints, History, Numbers, Progress
from bertbench.setting import Setting
from bertbench.types import Split, TaskData

EVALUATIONS = 20  # at most, however many epochs
LOG_EVERY = 10  # steps


def tune(
    learner: Learner,
    data: TaskData,
    setting: Setting,
    recipe: Recipe,
    *,
    epochs: int,
    min_steps: int,
    batch_size: int,
    prefix: str,
    checkpoints: Checkpoints,
) -> tuple[Any, dict[str, float]]:
    """Train a learner in place; validation is read after each epoch (at most 20 times), the best is kept.

    Args:
        learner: Trained in place.
        data: The task.
        setting: Metric, seed, device and log.
        recipe: Of the optimizer.
        epochs: Readings of the training texts.
        min_steps: More epochs are read where these would be fewer optimizer steps.
        batch_size: Texts a step.
        prefix: Of the names of what is logged.
        checkpoints: Where the state is kept meanwhile.

    Returns:
        Predictions on validation, and what was chosen and what it cost.
    """
    batches = TaskBatches(data.train, learner, batch_size=batch_size, seed=setting.seed)
    epochs = max(epochs, -(-min_steps // batches.steps_per_epoch))
    steps = epochs * batches.steps_per_epoch
    between = max(batches.steps_per_epoch, -(-steps // EVALUATIONS))
    validation = learner.encode(data.validation.texts)
    optimizer = adamw(learner.module, recipe)
    history = History(
        lambda values, step: setting.log({f"{prefix}{k}": v for k, v in values.items()}, step)
    )
    best = Best(history)

    def predictions() -> Any:
        found = learner.predict_encoded(validation)
        return learner.calibrate(found, data.validation, setting.metric)

    def after_step(step: int, before: Spent, spent: Spent) -> None:  # noqa: ARG001
        if step % between and step != steps:
            return
        found = predictions()
        best.offer(rank(data, setting.metric, found), step, learner.module)
        names = (setting.metric, tie_breaker(data))
        history({f"validation_{name}": score(data, name, found) for name in names}, step)

    spent = train(
        learner.module,
        batches,
        optimizer,
        recipe=recipe,
        budget=Budget(steps=steps),
        compute=setting.compute,
        seed=setting.seed,
        log=history,
        log_every=LOG_EVERY,
        title="fine-tune",
        progress=Progress(checkpoints, learner.module, optimizer, best),
        after_step=after_step,
    )
    learner.module.load_state_dict(best.state_of_best)
    stats = {
        "chosen/lr": recipe.lr,
        "chosen/epochs": float(epochs),
        "chosen/best_epoch": best.step / batches.steps_per_epoch,
        "cost/train_seconds": spent.seconds,
        "cost/train_steps": float(spent.steps),
        "cost/parameters": float(count_parameters(learner.module)),
        "unread": float(learner.unread(batches.encoded, data.train.labels)),
    }
    return predictions(), stats


def check_reading(epochs: int, min_steps: int, batch_size: int, *, place: str) -> None:
    """Refuse what trains nothing.

    Args:
        epochs: Readings of the training texts.
        min_steps: Optimizer steps at least.
        batch_size: Texts a step.
        place: Where in the config these stand.

    Raises:
        UserError: One of them is too small.
    """
    if epochs < 1 or batch_size < 1 or min_steps < 0:
        raise UserError(
            f"{place}.epochs={epochs} and {place}.batch_size={batch_size} must be at least 1, "
            f"{place}.min_steps={min_steps} not below 0"
        )


class Best:
    """The best evaluation so far; of equal ones, the first. Carries the history over interruptions too."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.rank = (-np.inf, -np.inf)
        self.step = 0
        self.state_of_best: dict[str, Tensor] = {}

    def offer(self, found: tuple[float, float], step: int, module: nn.Module) -> None:
        """Keep a copy of `module` if `found` beats what is kept."""
        if found > self.rank:
            self.rank, self.step = found, step
            self.state_of_best = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def state(self) -> tuple[dict[str, Tensor], Numbers]:
        """See `progress.Stateful`."""
        tensors = {f"module/{name}": value for name, value in self.state_of_best.items()}
        _, numbers = self.history.state()
        return tensors, numbers | {"rank": self.rank, "step": self.step}

    def restore(self, tensors: dict[str, Tensor], numbers: Numbers) -> None:
        """See `progress.Stateful`."""
        self.state_of_best = {
            name.removeprefix("module/"): value for name, value in tensors.items()
        }
        self.history.restore({}, numbers)
        first, second = numbers["rank"]
        self.rank, self.step = (first, second), numbers["step"]


class TaskBatches:
    """Labelled texts in, the batch of a step and its number of tokens out."""

    def __init__(self, split: Split, learner: Learner, *, batch_size: int, seed: int) -> None:
        self.learner, self.batch_size, self.seed = learner, batch_size, seed
        self.encoded = learner.encode(split.texts)
        self.lengths = learner.lengths(self.encoded)
        self.labels = split.labels
        self._epoch, self._rows = 0, self._order(0)
        self.steps_per_epoch = len(self._rows)

    def __call__(self, step: int, spent: float = 0.0) -> tuple[Any, int]:  # noqa: ARG002
        """Return what the learner trains on in `step` (from 0), and the tokens in it."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._order(epoch)
        rows = self._rows[place]
        labels = self.labels
        chosen = labels[rows] if isinstance(labels, np.ndarray) else [labels[i] for i in rows]
        return self.learner.batch([self.encoded[i] for i in rows], chosen)

    def _order(self, epoch: int) -> list[np.ndarray]:
        return bucketed(self.lengths, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
