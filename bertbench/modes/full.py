"""Everything trained: the encoder and a linear layer on its states."""

from collections.abc import Sequence
from typing import Any

from bertbench.errors import UserError
from bertbench.kinds import rank
from bertbench.learners import Learner, begin
from bertbench.models.heads import check_pooling
from bertbench.optim import Recipe
from bertbench.setting import Setting
from bertbench.tuning import check_reading, tune
from bertbench.types import Outcome, TaskData


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
        check_reading(epochs, min_steps, batch_size, place="mode")
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
        ranks = [rank(data, setting.metric, found) for _, found, _ in tries]
        fitted, validation, stats = tries[max(range(len(tries)), key=ranks.__getitem__)]
        stats["cost/train_seconds"] = seconds
        return Outcome(fitted, validation, fitted.predict(data.test.texts), stats)

    def _try(
        self, recipe: Recipe, data: TaskData, setting: Setting
    ) -> tuple[Learner, Any, dict[str, float]]:
        """Train at one rate; return the best learner, its validation predictions, and stats."""
        learner = begin(
            data, setting, pooling=self.pooling, layer=self.layer, dropout=self.dropout
        )
        validation, stats = tune(
            learner,
            data,
            setting,
            recipe,
            epochs=self.epochs,
            min_steps=self.min_steps,
            batch_size=self.batch_size,
            # One curve a rate, where several are tried.
            prefix="train/" if len(self.recipes) == 1 else f"train/{recipe.lr:g}/",
            checkpoints=setting.checkpoints.below(f"lr={recipe.lr}"),
        )
        return learner, validation, stats
