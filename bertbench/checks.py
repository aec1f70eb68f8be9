"""A resolved config in, nothing out: refuses settings that no run can have, before data is read."""

import math
import re
from collections.abc import Sequence

from bertbench import kinds
from bertbench.config import Plain
from bertbench.errors import UserError
from bertbench.types import POOLINGS

SHARES = {  # settings of variants, and whether they must be above 0
    "masking.rate": True,
    "masking.rate_end": True,
    "masking.swap": False,
    "masking.keep": False,
    "masking.p": True,
    "packing.share": False,
    "packing.short": False,
    "objective.generator": True,
    "embeddings.smoothing": True,
    "embeddings.eigenvalues": False,
}
STATIC = "bertbench.models.families.static"  # the one architecture without layers
# What only a training here reads; a ready-made encoder leaves it unread.
PRETRAINING = ("objective", "masking", "packing", "corpus", "embeddings", "pretrain")
SHAPE = ("depth", "width", "heads", "intermediate", "positions")
# Settings of a task that its source reads, or does not.
OF_SOURCE = {"train", "validation", "test", "kind", "text", "second", "label", "group", "id"}
OF_SOURCE |= {"format", "header", "encoding", "incomplete"}


def check(values: Plain) -> None:
    """Check what needs neither data nor model.

    Raises:
        UserError: Names the setting, its value and what it may be.
    """
    _check_finite(values)
    check_name(values["name"], "name=")
    _check_least(values)
    positions = values["scale"]["positions"]
    _check_pretrain(values["pretrain"], positions)
    if values["weights"]["train"] and values["model"]["architecture"] is not None:
        _check_objective(values["objective"], values["packing"])
        for place in SHARES:
            _check_share(values, place)
    _check_mode(values["mode"])
    encoder = values["model"]["architecture"]
    if encoder is not None and not values["weights"]["released"]:
        _check_encoder(encoder, values["task"]["max_length"], positions)
        _check_layers(values)
        for place in [place for place in SHARES if place.startswith("embeddings.")]:
            _check_share(values, place)
    _check_metrics(values["task"])


def check_read(overrides: Sequence[str], values: Plain) -> None:
    """Refuse settings that nothing reads.

    Those of files where the task has none; those of a pretraining where the weights are ready-made because
    nobody chose others.

    Args:
        overrides: What the command line said.
        values: The resolved config.

    Raises:
        UserError: Names the first such override.
    """
    check_task_read(overrides, values["task"])
    weights = values["weights"]
    groups = [group_of(word) for word in overrides]
    if "weights" in groups or weights["train"] or not weights["released"]:
        return
    for group, word in zip(groups, overrides, strict=True):
        if group in PRETRAINING:
            raise UserError(
                f"{word} is a setting of a pretraining, but model={values['model']['name']} has ready-made "
                "weights: add weights=pretrain to train it, or weights=released to leave the setting unread"
            )


def check_task_read(overrides: Sequence[str], task: Plain) -> None:
    """Refuse settings of a task that its source does not read: it would train on other data in silence.

    Args:
        overrides: What the command line said.
        task: Its resolved config.

    Raises:
        UserError: Names the first such override.
    """
    for word in overrides:
        group, _, name = word.partition("=")[0].lstrip("+~").partition(".")
        if group == "task" and name in OF_SOURCE - set(task["source"]):
            raise UserError(
                f"{word} is not read by the task {task['name']}, whose data stands elsewhere: add "
                "task=files to read your own, or leave the setting out"
            )


def group_of(override: str) -> str:
    """Return the group that an override speaks of: `pretrain` of `pretrain.tokens=1000`."""
    return re.split(r"[=.@]", override.lstrip("+~"), maxsplit=1)[0]


def check_name(name: str, place: str) -> None:
    """Refuse a sheet's name that is no plain folder name.

    Args:
        name: Of the sheet.
        place: What stands before it where it was given, such as `name=`.

    Raises:
        UserError: It has other characters than a folder's name should.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"{place}{name!r} must be letters, digits, '-', '_' and '.': it names a folder"
        )


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
    least |= {f"scale.{name}": (scale[name], 0 if name == "depth" else 1) for name in SHAPE}
    least |= {f"pretrain.{name}": (pretrain[name], 1) for name in ("batch_size", "log_every")}
    least |= {"pretrain.short.batch_size": (pretrain["short"]["batch_size"], 1)}
    least |= {"pretrain.evaluations": (pretrain["evaluations"], 0)}
    least |= {"pretrain.measured": (pretrain["measured"], 1)}
    if isinstance(window := (values["embeddings"] or {}).get("window"), int):
        least["embeddings.window"] = (window, 1)
    for name, (value, bound) in least.items():
        if value < bound:
            raise UserError(f"{name}={value} must be at least {bound}")


def _check_pretrain(pretrain: Plain, positions: int) -> None:
    if not 8 <= pretrain["length"] <= positions:
        raise UserError(
            f"pretrain.length={pretrain['length']} must lie between 8 and "
            f"scale.positions={positions} tokens"
        )
    short = pretrain["short"]
    if not 0 <= short["share"] < 1:
        raise UserError(
            f"pretrain.short.share={short['share']} must be a share of the budget below 1: 0 reads no "
            "shorter rows first"
        )
    if short["share"] and not 8 <= short["length"] < pretrain["length"]:
        raise UserError(
            f"pretrain.short.length={short['length']} must lie between 8 and less than "
            f"pretrain.length={pretrain['length']} tokens, or pretrain.short.share=0 leaves them out"
        )
    if not 0 < pretrain["heldout"] < 1:
        raise UserError(
            f"pretrain.heldout={pretrain['heldout']} must be a share above 0 and below 1"
        )


def _check_objective(objective: Plain | None, packing: Plain) -> None:
    if objective is None:
        raise UserError(
            "objective=none trains nothing, but weights.train=true asks for it: choose weights=random"
        )
    asked, given = objective.get("pairs"), packing.get("second")
    if asked is not None and asked != given:
        name = packing["_target_"].rpartition(".")[2]
        fitting = {"random": "segment_pair", "swapped": "ordered_pair"}.get(asked, "segment_pair")
        raise UserError(
            f"objective.pairs={asked} needs a packing with packing.second={asked}, but {name} has "
            f"{given or 'no second segment'}: choose packing={fitting}"
        )


def _check_share(values: Plain, place: str) -> None:
    """Check a share of a variant that has it, before anything is made for it."""
    group, _, name = place.partition(".")
    value, open_below = (values[group] or {}).get(name), SHARES[place]
    if isinstance(value, int | float) and not (0 < value <= 1 or (value == 0 and not open_below)):
        raise UserError(f"{place}={value} must lie in {'(' if open_below else '['}0, 1]")


def _check_mode(mode: Plain) -> None:
    """Check what can be told of a mode without loading what it needs."""
    if (pooling := mode.get("pooling", "cls")) not in POOLINGS:
        raise UserError(f"mode.pooling={pooling} is none of {', '.join(POOLINGS)}")
    if not 0 <= mode.get("dropout", 0) < 1:
        raise UserError(f"mode.dropout={mode['dropout']} must lie in [0, 1)")
    rates = mode.get("learning_rates")
    numbers = isinstance(rates, list) and rates and all(isinstance(r, int | float) for r in rates)
    if rates is not None and not numbers:
        raise UserError(
            f"mode.learning_rates={rates} must be null or a list of rates to try, such as [1e-4,3e-4]"
        )


def _check_encoder(architecture: Plain, max_length: int, positions: int) -> None:
    if not 8 <= max_length <= positions:
        raise UserError(
            f"task.max_length={max_length} must lie between 8 and scale.positions={positions} tokens"
        )
    dropout = architecture.get("dropout", 0)
    if not 0 <= dropout < 1:
        raise UserError(f"model.architecture.dropout={dropout} must lie in [0, 1)")


def _check_layers(values: Plain) -> None:
    """Refuse encoders that nothing of a text could pass."""
    name, depth = values["model"]["name"], values["scale"]["depth"]
    if values["model"]["architecture"]["_target_"] != STATIC:
        if depth == 0:
            raise UserError(
                f"scale.depth=0 leaves model={name} without layers: give it at least 1, or choose "
                "model=wordvectors, which has none"
            )
        return
    if depth:
        raise UserError(
            f"scale.depth={depth} gives layers to model={name}, which is vectors alone: choose "
            "scale=static, or another model"
        )
    if values["embeddings"] is None and not values["weights"]["train"]:
        raise UserError(
            f"embeddings=random leaves model={name} without vectors: choose embeddings=cooccurrence"
        )
    if values["mode"].get("pooling", "mean") == "cls":
        raise UserError(
            f"mode.pooling=cls reads nothing of model={name}, whose [CLS] has no vector: choose "
            "mode.pooling=mean"
        )


def _check_metrics(task: Plain) -> None:
    for name in task["metrics"] or ():
        kinds.measure(name, "task.metrics")
    if task["metric"] is not None:
        kinds.measure(task["metric"])
    if None not in (task["metric"], task["metrics"]) and task["metric"] not in task["metrics"]:
        raise UserError(
            f"task.metric={task['metric']} must be one of task.metrics={task['metrics']}"
        )
