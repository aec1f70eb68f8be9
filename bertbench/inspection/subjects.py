"""A model's name and overrides in, what its encoder descends from out, without loading torch."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from bertbench.checks import check, group_of
from bertbench.config import Plain, check_types, composed
from bertbench.errors import UserError
from bertbench.lineage import Lineage, trace
from bertbench.store import Store

MISSING = "???"  # OmegaConf's mark of a value without default
HUB = "Hugging Face hub"


@dataclass(frozen=True)
class Subject:
    """A model to look at.

    Attributes:
        name: The option of the group `model`.
        overrides: What else the command line said.
        lineage: What its encoder descends from.
        store: Where a run keeps things.
    """

    name: str
    overrides: list[str]
    lineage: Lineage
    store: Store

    @property
    def values(self) -> Plain:
        """The resolved config."""
        return self.lineage.values


def find(name: str | None, overrides: list[str], *, pretraining: bool = False) -> Subject:
    """Compose a model's config and trace its encoder; the task is not read.

    Args:
        name: The option of the group `model`; None takes the config's.
        overrides: As for a run.
        pretraining: Whether its pretraining is asked for, also where a run would have none.

    Raises:
        UserError: A setting cannot be used, or the model has no encoder.
    """
    given = [*overrides, *([f"model={name}"] if name is not None else [])]
    if pretraining and "weights" not in map(group_of, given):
        given.append("weights=pretrain")
    values = composed(given)
    check_types(values, composed([word for word in given if _chooses(word)]))
    name = name if name is not None else str(values["model"]["name"])
    if values["model"]["architecture"] is None:
        raise UserError(
            f"model={name} has no encoder to inspect: choose another, such as model=bert"
        )
    _check_complete({key: value for key, value in values.items() if key != "task"})
    if pretraining:
        # An objective is no part of what is read; `none` stands for no pretraining at all.
        training = values["weights"] | {"train": True}
        values = values | {"weights": training, "objective": values["objective"] or {}}
    check(values)
    try:
        lineage = trace(values)
    except UserError as error:
        if HUB in str(error):
            raise UserError(
                f"{error}; inspect fetches nothing from the hub, but a run does"
            ) from error
        raise
    return Subject(name, overrides, lineage, Store(Path(values["runtime"]["store"])))


def check_encoder(subject: Subject) -> None:
    """Refuse an encoder that would have to be pretrained first.

    Raises:
        UserError: Names the command that makes it.
    """
    lineage, weights = subject.lineage, subject.values["weights"]
    if not weights["train"] or subject.store.has("encoder", lineage.encoder):
        return
    command = ["python", "-m", "bertbench", f"model={subject.name}", *subject.overrides]
    raise UserError(
        f"the encoder of model={subject.name} is not in {subject.values['runtime']['store']}: "
        f"{shlex.join(command)} pretrains it{_ready_made(subject)}"
    )


def _chooses(override: str) -> bool:
    """Tell whether an override chooses an option, or says where options are."""
    key = override.partition("=")[0]
    return "." not in key or key == "hydra.searchpath"


def _check_complete(value: object, place: str = "") -> None:
    if value == MISSING:
        raise UserError(f"{place} has no default: set it with {place}=...")
    if isinstance(value, dict):
        for key, below in value.items():
            _check_complete(below, f"{place}.{key}" if place else str(key))


def _ready_made(subject: Subject) -> str:
    """Return which overrides take ready-made weights instead, as the end of a sentence; or nothing."""
    known, scale = subject.values["model"]["released"] or {}, subject.values["scale"]["name"]
    if not known:
        return ""
    chosen = "" if scale in known else f"scale={next(iter(known))} "
    return f", or try {chosen}weights=released for ready-made weights"
