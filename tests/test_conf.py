"""Every yaml binds to what it names, every choice composes, and what cannot be is refused."""

import dataclasses
import functools
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONF
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from bertbench import config, door, schema
from bertbench.data.formats import telling
from bertbench.errors import UserError

FILES = sorted(CONF.rglob("*.yaml"))
OPTIONS = [p for p in FILES if p.parent != CONF and p.parent.name not in ("hydra", "experiment")]
EXPERIMENTS = sorted((CONF / "experiment").glob("*.yaml"))
# What the runner adds to the keys of a node, by the node's name.
GIVEN = {
    "masking": ("vocabulary", "seed"),
    "objective": ("model", "masking"),
    "packing": ("tokens", "documents", "length", "seed"),
    "architecture": ("shape", "vocabulary"),
    "tokenizer": ("texts",),
    "embeddings": ("tokens", "documents", "vocabulary", "width", "seed"),
    "tracking": ("journals",),
}
LEFT_TO_THE_USER = {
    "corpus/files": {"corpus.path"},
    "corpus/joined": {"corpus.parts.own.path"},
}
DATACLASSES = {
    "weights": schema.Weights,
    "scale": schema.Scale,
    "optim": schema.Optim,
    "pretrain": schema.Pretrain,
    "task": schema.Task,
}


def name_of(path: Path) -> str:
    return path.relative_to(CONF).with_suffix("").as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def content(path: Path) -> dict[str, Any]:
    return {k: v for k, v in yaml.safe_load(text_of(path)).items() if k != "defaults"}


@functools.cache  # nobody writes into it
def cfg_of(*overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def composed(*overrides: str) -> config.Plain:
    return config.plain(cfg_of(*overrides), complete=False)


def override_of(path: Path) -> str:
    """Return the override that chooses `path`; the optimizers stand below another group."""
    place = {"optim": {"pretraining": "optim@pretrain.optim", "finetuning": "optim@mode.optim"}}
    group = place.get(path.parent.name, {}).get(path.stem, path.parent.name)
    return f"{group}={path.stem}"


def targets(node: object, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every node with a `_target_`, and its name."""
    if not isinstance(node, dict):
        return []
    mine = [(name, node)] if "_target_" in node else []
    return mine + [found for key, below in node.items() for found in targets(below, key)]


def signature(node: dict[str, Any]) -> inspect.Signature:
    module, _, attribute = node["_target_"].rpartition(".")
    return inspect.signature(getattr(importlib.import_module(module), attribute))


def arguments(node: dict[str, Any], name: str) -> dict[str, None]:
    return dict.fromkeys([k for k in node if not k.startswith("_")] + [*GIVEN.get(name, ())])


def strangers(node: dict[str, Any], schema: type, place: str = "") -> list[str]:
    """Return the keys of `node` that are no field of `schema`, at any depth."""
    fields = {f.name: f.type for f in dataclasses.fields(schema)}
    found = []
    for key, value in node.items():
        if key not in fields:
            found.append(f"{place}{key}")
        elif dataclasses.is_dataclass(fields[key]) and isinstance(value, dict):
            found += strangers(value, fields[key], f"{place}{key}.")
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_key_is_an_argument_of_its_target(path):
    """Composition accepts a misspelt key of a variant; this is where it stops."""
    for name, node in targets(content(path), path.parent.name):
        signature(node).bind_partial(**arguments(node, name))


@pytest.mark.parametrize("path", [*OPTIONS, *EXPERIMENTS], ids=name_of)
def test_each_target_gets_all_its_arguments(path):
    for name, node in targets(composed(override_of(path)), ""):
        signature(node).bind(**arguments(node, name))


@pytest.mark.parametrize("path", [*OPTIONS, *EXPERIMENTS], ids=name_of)
def test_each_other_key_is_a_field_of_its_dataclass(path):
    node, whole = content(path), "@package _global_" in text_of(path)
    if whole:
        assert strangers(node, schema.RunConfig) == []
    elif "_target_" not in node:
        assert strangers(node, DATACLASSES[path.parent.name]) == []


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_each_option_of_each_group_composes(path):
    """Only a value that has no sensible default is left to the user."""
    cfg = cfg_of(override_of(path))
    assert OmegaConf.missing_keys(cfg) == LEFT_TO_THE_USER.get(name_of(path), set())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_each_experiment_composes_without_missing_keys(path):
    cfg = cfg_of(f"experiment={path.stem}")
    assert OmegaConf.missing_keys(cfg) == set()
    config.plain(cfg)  # every interpolation resolves


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_yaml_is_short(path):
    assert len(text_of(path).splitlines()) <= (20 if path.parent.name in ("model", "conf") else 15)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_option_exists_twice(path):
    """Two files with the same settings would be two names of one thing."""
    twins = [p for p in path.parent.glob("*.yaml") if p != path and content(p) == content(path)]
    assert twins == []


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("sed=1", ConfigCompositionException),
        ("pretrain.token=1", ConfigCompositionException),
        ("masking.ratee=0.2", ConfigCompositionException),
        ("mode.poolin=cls", ConfigCompositionException),
        ("task.source.x=1", ConfigCompositionException),
        ("seed=abc", ConfigCompositionException),
        ("pretrain.tokens=many", ConfigCompositionException),
        ("task.long_text=tail", ConfigCompositionException),
        ("rerun=sometimes", ConfigCompositionException),
        ("runtime.device=gpu", ConfigCompositionException),
        ("weights.train=perhaps", ConfigCompositionException),
        ("model=brt", MissingConfigException),
        ("scale=huge", MissingConfigException),
        ("nogroup=x", ConfigCompositionException),
    ],
)
def test_what_cannot_be_is_refused(override, error):
    with pytest.raises(error) as caught:
        composed(override)
    key, _, value = override.partition("=")
    text = door.sentence(caught.value)
    assert "\n" not in text
    assert key in text or value in text


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("sed=1", "'seed'"),
        ("pretrain.token=1", "'pretrain.tokens'"),
        ("masking.ratee=0.2", "'masking.rate'"),
        ("model=brt", "'bert'"),
        ("masking=dynmic", "'dynamic'"),
        ("maskin=dynamic", "'masking'"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_word(override, meant):
    with pytest.raises((ConfigCompositionException, MissingConfigException)) as caught:
        composed(override)
    assert f"did you mean {meant}?" in door.sentence(caught.value)


@pytest.mark.parametrize(("option", "key"), [("corpus", "corpus.path")])
def test_a_setting_without_default_is_named(option, key):
    with pytest.raises(UserError, match=rf"^{key} has no default: set it with {key}=\.\.\.$"):
        config.plain(cfg_of(f"{option}=files"))


RECIPES = {  # what a paper's model is trained with
    "bert": {"masking.views": 1},
    "roberta": {"masking.views": None},
    "albert": {"masking.views": None},
    "distilbert": {"masking.views": None},
    "minilm": {"weights.released": True, "weights.train": False, "scale.name": "minilm"},
    "scratch": {"weights.released": False, "weights.train": False},
    "tfidf": {"mode._target_": "bertbench.modes.tfidf.Tfidf", "model.architecture": None},
    "wordvectors": {"weights.train": False, "scale.depth": 0, "mode.pooling": "mean"},
}


def select(values: object, key: str) -> object:
    for name in key.split("."):
        assert isinstance(values, dict)
        values = values[name]
    return values


@pytest.mark.parametrize("model", sorted(p.stem for p in (CONF / "model").glob("*.yaml")))
def test_a_model_brings_its_recipe(model):
    values = composed(f"model={model}")
    assert values["model"]["name"] == model
    assert {key: select(values, key) for key in RECIPES[model]} == RECIPES[model]


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["model=roberta", "masking=static"], "masking.views", 1),
        (["masking=static", "model=roberta"], "masking.views", 1),
        (["model=bert", "masking=dynamic"], "masking.views", None),
        (["model=minilm", "scale=mini"], "scale.name", "mini"),
        (["model=minilm", "weights=continued"], "weights.train", True),
        (["weights=pretrain", "model=scratch"], "weights.train", True),
        (["model=roberta", "masking.views=10"], "masking.views", 10),
        (["experiment=quick", "mode=full"], "mode._target_", "bertbench.modes.full.Full"),
        (["experiment=quick", "pretrain.tokens=5"], "pretrain.tokens", 5),
    ],
)
def test_the_command_line_wins_over_the_recipe(overrides, key, value):
    assert select(composed(*overrides), key) == value


def test_each_job_of_a_sweep_has_its_own_recipe():
    """Jobs of one process follow each other; none inherits the choices of the one before."""
    config.register()
    views = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for model in ("roberta", "bert", "roberta"):
            for chosen in ([], ["masking=static"], ["masking=dynamic"]):
                cfg = compose("config", overrides=[f"model={model}", *chosen])
                views.setdefault((model, *chosen), set()).add(cfg.masking.views)
    assert views == {
        ("roberta",): {None},
        ("bert",): {1},
        **{(m, "masking=static"): {1} for m in ("roberta", "bert")},
        **{(m, "masking=dynamic"): {None} for m in ("roberta", "bert")},
    }


def test_a_scale_brings_its_learning_rates():
    """Values of conf/scale, through two interpolations, into the two optimizers."""
    values = composed("scale=base")
    assert values["pretrain"]["optim"]["lr"] == values["scale"]["pretrain_lr"] == 1e-4
    assert values["mode"]["optim"]["lr"] == values["scale"]["finetune_lr"] == 2e-5


@pytest.mark.parametrize("weights", ["released", "continued"])
def test_released_weights_follow_model_and_scale(weights):
    values = composed(f"weights={weights}", "model=roberta", "scale=base")
    assert values["weights"]["source"] == "FacebookAI/roberta-base"
    values = composed(f"weights={weights}", "model=roberta", "scale=small")
    assert values["weights"]["source"] is None


def test_the_default_is_what_the_package_brings():
    for model in ("bert", "roberta", "albert", "distilbert"):
        values = composed(f"model={model}")
        assert values["weights"]["source"] == f"package:bertbench/weights/{model}_tiny"
        assert (values["weights"]["released"], values["weights"]["train"]) == (True, False)
    for model in ("bert", "roberta"):
        values = composed(f"model={model}", "scale=mini")
        assert values["weights"]["source"] == f"package:bertbench/weights/{model}_mini"


@pytest.mark.parametrize("model", sorted(p.stem for p in (CONF / "model").glob("*.yaml")))
def test_released_weights_stand_under_known_scales(model):
    released = content(CONF / "model" / f"{model}.yaml")["model"].get("released", {})
    scales = {p.stem for p in (CONF / "scale").glob("*.yaml")}
    assert set(released) <= {*scales, "package"}  # a source by name


@pytest.mark.parametrize(
    ("choices", "override", "said"),
    [
        (["mode=frozen"], "mode.layer=abc", r"mode\.layer='abc' is text, .* a whole number"),
        (["mode=frozen"], "mode.layer=1.5", r"mode\.layer=1\.5 is a number, .* a whole number"),
        (["mode=frozen"], "mode.layer=true", r"mode\.layer=True is true or false"),
        (["mode=frozen"], "mode.pooling=3", r"mode\.pooling=3 is a whole number, .* text"),
        (["mode=frozen"], "mode.penalties=1", r"mode\.penalties=1 is a whole number, .* a list"),
        ([], "masking.rate=high", r"masking\.rate='high' is text, .* a number"),
        ([], "masking.rate=true", r"masking\.rate=True is true or false, .* a number"),
        ([], "model.architecture.dropout=no", r"model\.architecture\.dropout"),
        ([], "model.tokenizer.lowercase=1", r"model\.tokenizer\.lowercase=1"),
    ],
)
def test_check_types_refuses_with_a_sentence(choices, override, said):
    with pytest.raises(UserError, match=said) as caught:
        config.check_types(composed(*choices, override), composed(*choices))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "mode.dropout=0",  # a whole number is a number
        "masking.rate=1",
        "mode.layer=0",
        "mode.learning_rates=[1e-4,1e-3]",  # null by default
        "mode.learning_rates=null",
        "masking.views=null",
        "masking.views=10",
        "pretrain.seconds=30",
        "mode.layer=null",  # left to the callable
    ],
)
def test_check_types_lets_pass(override):
    config.check_types(composed("model=bert", override), composed("model=bert"))


def test_compose_defaults_is_the_config_without_overrides():
    """`check_types` compares with it, for the same choices, packages included."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "config",
            overrides=["model=roberta", "mode=frozen", "mode.layer=1", "seed=3"],
            return_hydra_config=True,
        )
        choices = {k: v for k, v in cfg.hydra.runtime.choices.items() if isinstance(v, str)}
        defaults = config.compose_defaults(choices)
    assert defaults == composed("model=roberta", "mode=frozen")


def test_build_calls_the_target_with_its_keys_and_more():
    node = {"_target_": "builtins.dict", "a": 1, "_convert_": "all"}
    assert config.build(node, b=2) == {"a": 1, "b": 2}


def test_build_lets_the_users_error_through():
    node = {"_target_": "bertbench.metrics.find", "name": "acuracy"}
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        config.build(node)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tickets.csv", "tickets"), ("a/tickets.jsonl.gz", "tickets"), ("a/Tickets.PARQUET", "Tickets"),
        ("sst2/train.tsv", "sst2"), ("snips/train", "snips"), ("policyqa/dev.json", "policyqa"),
        ("train.csv", "train"), ("mrpc/msr-para-train.tsv", "msr-para-train"), ("a/v1.2.conllu", "v1.2"),
        ("owner/a data set", "a-data-set"), ("...", "files"),
    ],
)  # fmt: skip
def test_a_task_is_called_as_its_file_or_as_its_folder(path, name):
    assert config.stem(path) == name


def test_every_ending_of_a_format_is_left_out_of_a_name():
    for ending in telling.ENDINGS:
        assert config.stem(f"a/tickets{ending}.gz") == "tickets"
