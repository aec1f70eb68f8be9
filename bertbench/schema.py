"""The typed envelope of a run: which settings there are, and of what type.

Variant slots are `Any`: the callable that `_target_` names says which keys they have.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING


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


class Incomplete(Enum):
    """What becomes of rows without text or label."""

    drop = "drop"
    error = "error"


class Leaks(Enum):
    """What becomes of test and validation texts that were seen before."""

    error = "error"
    warn = "warn"
    drop = "drop"


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
class Short:
    """Shorter rows, which a pretraining reads first."""

    share: float = MISSING  # of the budget; 0: none
    length: int = MISSING  # tokens
    batch_size: int = MISSING  # sequences per step


@dataclass
class Pretrain:
    """How long and on what the pretraining loop runs."""

    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    tokens: int | None = None
    steps: int | None = None
    seconds: float | None = None
    length: int = MISSING  # tokens
    short: Short = field(default_factory=Short)
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
    kind: str = "classification"
    train: str | None = None  # files of your own: see docs/data.md
    validation: str | None = None
    test: str | None = None
    text: str | None = None  # columns; null takes the kind's own
    second: str | None = None
    label: str | None = None
    group: str | None = None
    id: str | None = None
    format: str | None = None
    header: bool | None = None
    encoding: str | None = None
    incomplete: Incomplete = Incomplete.drop
    leaks: Leaks = Leaks.error
    metric: str | None = None  # validation chooses by it; null takes the kind's own
    metrics: list[str] | None = None
    train_size: int | None = None
    train_share: float | None = None
    labels_per_class: int | None = None
    long_text: LongText | None = None  # null: windows for words and questions, else the head
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
