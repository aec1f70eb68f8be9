"""A resolved config in, nothing out: refuses settings that no run can have, before data is read."""

import math
import re

from bertbench import metrics
from bertbench.config import Plain
from bertbench.errors import UserError

SHAPE = ("depth", "width", "heads", "intermediate", "positions")


def check(values: Plain) -> None:
    """Check what needs neither data nor model.

    Raises:
        UserError: Names the setting, its value and what it may be.
    """
    _check_finite(values)
    if not re.fullmatch(r"\w[\w.-]*", values["name"]):
        raise UserError(
            f"name={values['name']!r} must be letters, digits, '-', '_' and '.': it names a folder"
        )
    _check_least(values)
    _check_pretrain(values["pretrain"], values["scale"]["positions"])
    _check_metrics(values["task"])


def _check_finite(value: object, place: str = "") -> None:
    """Refuse nan and infinity anywhere: they compare with nothing and train to nothing."""
    if isinstance(value, dict):
        for key, below in value.items():
            _check_finite(below, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            _check_finite(below, f"{place}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{place}={value} must be a finite number")


def _check_least(values: Plain) -> None:
    pretrain, scale = values["pretrain"], values["scale"]
    least = {"seed": (values["seed"], 0), "pretrain.seed": (pretrain["seed"], 0)}
    least |= {f"scale.{name}": (scale[name], 1) for name in SHAPE}
    least |= {f"pretrain.{name}": (pretrain[name], 1) for name in ("batch_size", "log_every")}
    for name, (value, bound) in least.items():
        if value < bound:
            raise UserError(f"{name}={value} must be at least {bound}")


def _check_pretrain(pretrain: Plain, positions: int) -> None:
    if not 8 <= pretrain["length"] <= positions:
        raise UserError(
            f"pretrain.length={pretrain['length']} must lie between 8 and "
            f"scale.positions={positions} tokens"
        )
    if not 0 < pretrain["heldout"] < 1:
        raise UserError(
            f"pretrain.heldout={pretrain['heldout']} must be a share above 0 and below 1"
        )


def _check_metrics(task: Plain) -> None:
    for name in task["metrics"]:
        metrics.find(name, "task.metrics")
    metrics.find(task["metric"])
    if task["metric"] not in task["metrics"]:
        raise UserError(
            f"task.metric={task['metric']} must be one of task.metrics={task['metrics']}"
        )
