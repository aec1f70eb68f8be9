"""What several tests need: a tiny tokenizer, a two-layer encoder, and configs of the toy task."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Toy encoders are too small for two threads, which wait for each other when the cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest
import torch
import toy
from hydra import compose, initialize_config_dir

import bertbench
from bertbench import config
from bertbench import tokenizer as tokenizers
from bertbench.models import families
from bertbench.runtime import Compute
from bertbench.setting import Setting
from bertbench.store import Store

SHARED = Path(os.environ.get("BERTBENCH_DATA", "../shared/data")).absolute()  # may be absent
WEIGHTS = Path(bertbench.__file__).parent / "weights"
PACKAGED = {"wordpiece": "bert_tiny", "byte_bpe": "roberta_tiny", "unigram": "albert_tiny"}
SHAPE = families.Shape(depth=2, width=32, heads=2, intermediate=64, positions=64)
# A run of the toy task that takes about a second.
SMALL = [
    "task.name=toy",
    "task.source._target_=toy.task",
    "task.max_length=32",
    "corpus._target_=toy.corpus",
    "scale.depth=2",
    "scale.width=32",
    "scale.intermediate=64",
    "scale.positions=64",
    "pretrain.tokens=6000",
    "pretrain.length=32",
    "pretrain.short.length=16",
    "pretrain.batch_size=8",
]
OTHERS = (
    "scratch",
    "minilm",
    "wordvectors",
    "tfidf",
)  # models that bring weights of their own, or none


def small(*overrides):
    """Return the overrides of a small run that pretrains, unless they or the model say otherwise."""
    chosen = [word for word in overrides if word.startswith(("weights=", "experiment=small"))]
    own = {f"model={name}" for name in OTHERS} | {"objective=none"}
    pretrain = [] if chosen or own & set(overrides) else ["weights=pretrain"]
    return [*SMALL, *pretrain, *overrides]


SMALL_VOCABULARY = {"wordpiece": 120, "byte_bpe": 300, "unigram": 50}


@pytest.fixture(scope="session")
def compute():
    """The CPU, in float32."""
    return Compute(torch.device("cpu"), None)


@pytest.fixture(scope="session")
def tokenizer():
    """A WordPiece tokenizer of the toy corpus."""
    return tokenizers.wordpiece(toy.corpus(), vocab_size=120, lowercase=True)


@pytest.fixture(scope="session")
def vocabulary(tokenizer):
    """What the rooms below the tokenizer know of it."""
    return tokenizers.vocabulary(tokenizer)


@pytest.fixture(scope="session")
def packaged():
    """The tokenizers of the package's encoders, one of each kind."""
    return {kind: tokenizers.load(WEIGHTS / name) for kind, name in PACKAGED.items()}


@pytest.fixture(scope="session")
def make_setting(tmp_path_factory, checkpoint_folder, compute):
    """Return a function from changed fields to a setting; its store is empty."""

    def make(**changed):
        fields = {
            "checkpoint": checkpoint_folder,
            "checkpoint_key": "toy",
            "max_length": 32,
            "long_text": "head",
            "metric": "accuracy",
            "seed": 0,
            "store": Store(tmp_path_factory.mktemp("store")),
            "compute": compute,
            "log": lambda values, step: None,
        }
        return Setting(**fields | changed)

    return make


class Killed(Exception):  # noqa: N818 - a stand-in for no error at all
    """Stands for the end of the process: nothing after it runs."""


class KillAt:
    """A log that ends the process at its n-th call."""

    def __init__(self, call):
        self.left = call

    def __call__(self, values, step):
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture
def bert(vocabulary):
    """A new two-layer BERT with its language-model head."""
    return families.initialise(
        families.bert(SHAPE, vocabulary, dropout=0.1, initializer_range=0.02), seed=0
    )


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory, vocabulary, tokenizer):
    """A folder with a two-layer BERT and its tokenizer in transformers' format."""
    from bertbench.models import checkpoint

    folder = tmp_path_factory.mktemp("checkpoint")
    model = families.initialise(
        families.bert(SHAPE, vocabulary, dropout=0.1, initializer_range=0.02), seed=0
    )
    checkpoint.save(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An MLflow database without runs: to copy, since making one takes seconds."""
    from bertbench.tracking.delivery import connect

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def values(tmp_path, monkeypatch):
    """Return a function from overrides to the resolved config of a small run in a new folder."""
    monkeypatch.chdir(tmp_path)
    config.register()

    def make(*overrides: str) -> config.Plain:
        with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
            cfg = compose("config", overrides=small(*overrides))
        values = config.plain(cfg)
        tokenizer = values["model"]["tokenizer"]
        if tokenizer is not None:
            kind = tokenizer["_target_"].rpartition(".")[2]
            values["model"]["tokenizer"] = tokenizer | {"vocab_size": SMALL_VOCABULARY[kind]}
        return values

    return make


CONF = Path(config.conf_dir())
