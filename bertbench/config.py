"""The typed envelope of a run, and the check that values keep the types their yaml gave them.

Variant slots are `Any`: the callable that `_target_` names says which keys they have.
"""

import importlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from bertbench.errors import UserError, nearest

Plain = dict[str, Any]


class Rerun(Enum):
    """Whether a run whose key is known is run again."""

    never = "never"  # neither a finished nor a failed one
    failed = "failed"  # a failed one
    always = "always"


class LongText(Enum):
    """What is read of a text longer than `max_length` tokens."""

    head = "head"
    head_tail = "head_tail"
    window = "window"


class DevicePreference(Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass
class Model:
    """An encoder family with its tokenizer; tfidf has neither."""

    name: str = MISSING
    architecture: Any = None
    tokenizer: Any = None
    released: dict[str, str] | None = None  # scale -> source


@dataclass
class Weights:
    """Where the weights come from, and whether the objective trains them here."""

    released: bool = MISSING  # ready-made weights, from `source`
    source: str | None = None  # package:NAME/FOLDER, a local folder or a hub id
    train: bool = MISSING
    reset: bool = False  # shape and tokenizer are the ready-made ones, the weights random


@dataclass
class Scale:
    """Width and depth, and the learning rates that suit them."""

    name: str = MISSING
    depth: int = MISSING  # layers
    width: int = MISSING
    heads: int = MISSING
    intermediate: int = MISSING  # width of the feed-forward layer
    positions: int = MISSING  # longest input, tokens
    pretrain_lr: float = MISSING
    finetune_lr: float = MISSING


@dataclass
class Optim:
    """AdamW and its schedule."""

    lr: float = MISSING
    betas: list[float] = MISSING
    eps: float = MISSING
    weight_decay: float = MISSING
    warmup: float = MISSING  # share of the budget
    clip: float = MISSING  # L2 norm of the whole gradient


@dataclass
class Pretrain:
    """How long and on what the pretraining loop runs."""

    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    tokens: int | None = None
    steps: int | None = None
    seconds: float | None = None
    length: int = MISSING  # tokens
    short: Any = MISSING  # share of the budget, length and batch size of rows that are read first
    batch_size: int = MISSING  # sequences per step
    heldout: float = MISSING  # share of documents
    deduplicate: bool = MISSING  # documents
    log_every: int = MISSING  # steps
    evaluations: int = MISSING  # on held-out documents, evenly over the budget
    measured: int = MISSING  # words, rows and pairs of the intrinsic measures, each at most
    frequencies: bool = MISSING  # whether the output bias begins at word frequencies


@dataclass
class Task:
    """Labelled data, what of it is used, and what counts as right."""

    name: str = MISSING
    source: Any = MISSING
    metric: str = MISSING
    metrics: list[str] = MISSING
    train_size: int | None = None
    labels_per_class: int | None = None
    long_text: LongText = LongText.head
    max_length: int = MISSING  # tokens


@dataclass
class Runtime:
    """Where and how fast; none of it is part of a run's key.

    Device and number of threads change the last bits of a result, precision more: the record names them.
    """

    device: DevicePreference = DevicePreference.auto
    threads: int | None = None  # torch's own choice where null
    checkpoint_seconds: float | None = (
        30.0  # between two saves of a training; null: only when stopped
    )
    store: str = ".bertbench"
    keep_model: bool = True  # whether a run's files include its model


@dataclass
class RunConfig:
    """Everything that defines one run."""

    name: str = "main"  # of the sheet: results/<name>
    seed: int = 0
    rerun: Rerun = Rerun.failed
    model: Model = field(default_factory=Model)
    weights: Weights = field(default_factory=Weights)
    scale: Scale = field(default_factory=Scale)
    objective: Any = MISSING
    masking: Any = MISSING
    packing: Any = MISSING
    corpus: Any = MISSING
    embeddings: Any = None  # what token embeddings begin as; null: random
    pretrain: Pretrain = field(default_factory=Pretrain)
    task: Task = field(default_factory=Task)
    mode: Any = MISSING
    baseline: Any = None  # the mode of the linear baseline that comes along; null leaves it out
    tracking: Any = MISSING
    runtime: Runtime = field(default_factory=Runtime)


def register() -> None:
    """Store the schema, and the resolver `stem`, so that the yaml can name them."""
    ConfigStore.instance().store(name="schema", node=RunConfig)
    OmegaConf.register_new_resolver("stem", stem, replace=True)


def stem(path: object) -> str:
    """Return a file's name without folder and endings, of letters, digits, '_', '-' and '.' alone."""
    name = re.sub(r"(\.(csv|tsv|jsonl))?(\.gz)?$", "", Path(str(path)).name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "files"


def conf_dir() -> Path:
    """Return the folder of yaml: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def plain(cfg: DictConfig, *, complete: bool = True) -> Plain:
    """Return the resolved config as dicts, lists and scalars; enums as their names.

    Raises:
        UserError: `complete`, and a value without default was not given.
    """
    try:
        values = OmegaConf.to_container(
            cfg, resolve=True, enum_to_str=True, throw_on_missing=complete
        )
    except MissingMandatoryValue as error:
        raise UserError(
            f"{error.full_key} has no default: set it with {error.full_key}=..."
        ) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def check_types(value: object, default: object, place: str = "") -> None:
    """Refuse an override whose type is not that of the yaml's own value.

    The schema covers the slots it types; this covers the keys of the variants, without importing
    them. A default of null, and a null override, are left to the callable.

    Raises:
        UserError: Names the key, the value and the type it should have, or a key that there is not.
    """
    if isinstance(default, dict) and isinstance(value, dict):
        if "_target_" in default and (new := sorted(value.keys() - default.keys())):
            near = nearest(new[0], default)
            raise UserError(f"{place}.{new[0]} is no setting of {default['_target_']}{near}")
        for key in default.keys() & value.keys():
            check_types(value[key], default[key], f"{place}.{key}" if place else str(key))
        return
    if default is None or value is None:
        return
    if isinstance(default, list) and isinstance(value, list):
        for item in value if default else []:  # a list of numbers takes any numbers
            first = default[0]
            check_types(item, float(first) if isinstance(first, int) else first, place)
        return
    wanted = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, wanted) or (
        isinstance(value, bool) and not isinstance(default, bool)
    ):
        raise UserError(
            f"{place}={value!r} is {_kind(value)}, but must be {_kind(default)}, such as {default!r}"
        )


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return kinds.get(type(value), type(value).__name__)


def build(node: Plain, **more: object) -> Any:
    """Call what `_target_` names with the node's other keys and `more`.

    Not hydra.utils.instantiate: it wraps every error, and a UserError must reach the user whole.
    """
    target = _target(node["_target_"])
    given = {k: v for k, v in node.items() if not k.startswith("_")} | more
    try:
        inspect.signature(target).bind(**given)
    except TypeError as error:
        raise UserError(f"{node['_target_']} cannot be made of its settings: {error}") from error
    except ValueError:  # a builtin without signature
        pass
    return target(**given)


def _target(path: str) -> Any:
    """Return what a dotted path names."""
    module, _, name = path.rpartition(".")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and itself imports something that is not
        found = None
    if found is None or not hasattr(found, name):
        what = f"the module {module}" if found is None else f"{name} in {module}"
        raise UserError(
            f"_target_={path}: there is no {what}: correct the name, or add its folder to PYTHONPATH"
        )
    return getattr(found, name)


def compose_defaults(choices: dict[str, str], more: Sequence[str] = ()) -> Plain:
    """Return the config of these group choices alone, without any other override.

    Args:
        choices: The option of each group.
        more: Overrides that say where options are, such as hydra.searchpath.
    """
    groups = [f"{group}={option}" for group, option in choices.items() if "hydra" not in group]
    return composed([*more, *groups])


def composed(overrides: list[str]) -> Plain:
    """Return the config of some overrides; what they leave open is missing in it."""
    if GlobalHydra.instance().is_initialized():
        return plain(compose("config", overrides=overrides), complete=False)
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose("config", overrides=overrides), complete=False)
