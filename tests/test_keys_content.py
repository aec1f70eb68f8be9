"""The same content under another name moves no key; other content, use or spelling does its own."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy
from conftest import small
from keys import NONE, RUNS, altered, composed, config_with, moved, plan_of, with_leaf, with_more

from bertbench import corpora
from bertbench import tokenizer as tokenizers
from bertbench.modes import frozen
from bertbench.records import STAGES
from bertbench.types import Split


@pytest.fixture
def config_of(checkpoint_folder):
    """Return a function from the name of a run to its config."""
    return functools.partial(config_with, checkpoint_folder)


# Content


def relabelled(data):
    labels = data.train.labels.copy()
    labels[0] = 1 - labels[0]
    return data._replace(train=data.train._replace(labels=labels))


def reordered(data):
    ids, texts, labels = data.train[:3]
    return data._replace(
        train=data.train._replace(ids=ids[::-1], texts=texts[::-1], labels=labels[::-1])
    )


def replaced(data, split, field, change):
    part = getattr(data, split)
    return data._replace(**{split: part._replace(**{field: change(getattr(part, field))})})


CHANGES = {  # of a task, and the keys that move without features and with them
    "its own name": (lambda data: data._replace(name="other"), "-", "-"),
    "a class's name": (lambda data: data._replace(classes=["x", *data.classes[1:]]), "R", "R"),
    "a class without texts": (lambda data: data._replace(classes=[*data.classes, "x"]), "R", "R"),
    "a label": (relabelled, "R", "R"),
    "an item's id": (functools.partial(replaced, split="test", field="ids", change=with_more), "R", "R"),
    "the order of training": (reordered, "R", "FR"),
    **{
        f"a text of {split}": (
            functools.partial(replaced, split=split, field="texts", change=with_more), "R", "FR"
        )
        for split in ("train", "validation", "test")
    },
}  # fmt: skip


def changed_task(change):
    """Return the toy task with one of CHANGES."""
    return CHANGES[change][0](toy.task())


@pytest.mark.parametrize("change", CHANGES)
def test_data_are_known_by_their_content(change, config_of):
    _, without, with_features = CHANGES[change]
    for run, expected in (("full", without), ("frozen", with_features), ("tfidf", without)):
        config = config_of(run)
        source = {"_target_": "test_keys_content.changed_task", "change": change}
        after = plan_of(with_leaf(config, "task.source", source))
        assert moved(plan_of(config), after) == expected, run


def test_a_corpus_is_known_by_its_documents_in_their_order(config_of, tmp_path):
    config, texts = config_of("frozen"), toy.corpus()

    def plan(name, documents):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(json.dumps({"text": t}) for t in documents), encoding="utf-8")
        files = {"_target_": "bertbench.data.files.corpus", "path": str(path)}
        return plan_of(config | {"corpus": files})

    before = plan("one.jsonl", texts)
    assert moved(before, plan("elsewhere/two.jsonl", texts)) == NONE
    assert moved(before, plan("three.jsonl", with_more(texts))) == "TKPEIFR"
    assert moved(before, plan("four.jsonl", texts[::-1])) == "TKPEIFR"


@pytest.mark.parametrize(("run", "dependent"), [("released", "EFR"), ("continued", "KPEIR")])
def test_ready_made_weights_are_known_by_their_bytes(
    run, dependent, config_of, checkpoint_folder, tmp_path, monkeypatch
):
    config = config_of(run)
    before = plan_of(config)

    def after(folder):
        return moved(before, plan_of(with_leaf(config, "weights.source", str(folder))))

    copy = shutil.copytree(checkpoint_folder, tmp_path / "copy" / "of")
    assert after(copy) == NONE
    monkeypatch.chdir(copy.parent)
    assert after("of") == NONE
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert after(altered(checkpoint_folder, name, tmp_path / name)) == dependent


# Use


def test_a_seed_moves_the_features_of_the_texts_that_it_draws(config_of):
    few = ["task.labels_per_class=4"]
    before, after = (plan_of(config_of("frozen", *few, f"seed={n}")) for n in (0, 1))
    assert moved(before, after) == "FR"
    assert before.group == after.group


@pytest.mark.parametrize(
    ("override", "run", "expected"),
    [
        ("scale.pretrain_lr=1e-5", "full", "EIR"),
        ("scale.pretrain_lr=1e-5", "random", NONE),
        ("scale.pretrain_lr=1e-5", "released", NONE),
        ("scale.finetune_lr=1e-5", "full", "R"),
        ("scale.finetune_lr=1e-5", "frozen", NONE),
        ("scale=small", "released", NONE),
        ("scale=small", "tfidf", NONE),
        ("masking=dynamic", "continued", "EIR"),
        ("masking=dynamic", "released", NONE),
        ("tracking=none", "full", NONE),
        ("baseline=null", "full", NONE),
    ],
)
def test_a_choice_moves_what_it_reaches_alone(override, run, expected, config_of):
    """Through the interpolations of the config, which its leaves no longer show."""
    assert moved(plan_of(config_of(run)), plan_of(config_of(run, override))) == expected


def test_the_rate_that_a_list_of_rates_replaces_is_not_used(config_of):
    rates = [config_of("full", "mode.learning_rates=[1e-4]", f"mode.optim.lr={r}") for r in (1, 2)]
    assert moved(*map(plan_of, rates)) == NONE
    other = with_leaf(rates[0], "mode.learning_rates", [1e-3])
    assert moved(plan_of(rates[0]), plan_of(other)) == "R"


def test_a_budget_of_seconds_is_another_recipe(config_of):
    config = config_of("frozen")
    seconds = with_leaf(with_leaf(config, "pretrain.tokens", None), "pretrain.seconds", 5.0)
    assert moved(plan_of(config), plan_of(seconds)) == "EIFR"


# Spelling


def backwards(node):
    if isinstance(node, dict):
        return {key: backwards(node[key]) for key in reversed(node)}
    return node


def as_integers(node):
    """Return a config in which whole floats are written without their point."""
    if isinstance(node, dict):
        return {key: as_integers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_integers(item) for item in node]
    return int(node) if isinstance(node, float) and node == int(node) else node


@pytest.mark.parametrize("run", RUNS)
def test_spelling_moves_no_key(run, config_of):
    config = config_of(run)
    config = with_leaf(config, "masking.swap", 0.0)
    before = plan_of(config)
    assert moved(before, plan_of(backwards(config))) == NONE
    whole = as_integers(config)
    assert repr(whole) != repr(config)
    assert moved(before, plan_of(whole)) == NONE


def test_keys_are_the_same_in_every_process(tmp_path):
    """Whatever the order in which it hashes strings."""
    overrides = ["mode=frozen", "task.labels_per_class=4"]
    script = f"""
import json
from hydra import compose, initialize_config_dir
from bertbench import config
from bertbench.plan import make_plan
config.register()
with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
    values = config.plain(compose("config", overrides={small(*overrides)!r}))
print(json.dumps(make_plan(values, {{}}).stages))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "1"},
    )  # fmt: skip
    assert json.loads(found.stdout) == plan_of(composed(*overrides)).stages


# The store


class Asked(Exception):  # noqa: N818 - no error: it ends a call that would compute
    """What a room asked the store for."""


class AskedStore:
    def entry(self, kind, recipe, make):
        raise Asked(kind, recipe)


def asked(call, *arguments):
    with pytest.raises(Asked) as caught:
        call(*arguments)
    return caught.value.args


def test_packed_rows_are_those_of_one_tokenizer(config_of, tokenizer, vocabulary):
    """Of its content: made again by another version of its trainer, it may number otherwise."""
    config = config_of("full")

    def documents(plan=None, tokenizer=tokenizer):
        lineage = (plan or plan_of(config)).lineage
        return asked(corpora.provide_documents, lineage, AskedStore(), tokenizer)

    def rows(plan=None, tokenizer=tokenizer):
        _, recipe = documents(plan, tokenizer)
        lineage = (plan or plan_of(config)).lineage
        made = corpora.Documents(None, None, None, {}, recipe)
        return asked(corpora.provide_rows, lineage, AskedStore(), made, vocabulary)

    cased = tokenizers.wordpiece(toy.corpus(), vocab_size=120, lowercase=False)
    other = tokenizers.wordpiece(toy.corpus(), vocab_size=120, lowercase=True)
    other.cls_token = other.sep_token
    longer = plan_of(with_leaf(config, "pretrain.length", 40))
    same = plan_of(with_leaf(config, "pretrain.batch_size", 4))
    assert (documents(), rows()) == (documents(same), rows(same))
    assert documents() == documents(longer)
    assert rows() != rows(longer)
    for changed in (cased, other):
        assert documents(tokenizer=changed) != documents()
        assert rows(tokenizer=changed) != rows()


def test_features_are_those_of_one_encoder_and_its_texts(monkeypatch):
    """Of its bytes: made again on another machine, it may be another."""

    def features(texts=("one", "two"), encoder="bytes", precision=None, **settings):
        split = Split(list(texts), list(texts), [])
        setting = SimpleNamespace(
            checkpoint_key=encoder,
            store=AskedStore(),
            compute=SimpleNamespace(autocast_dtype=precision),
        )
        return asked(frozen._kept, None, {"layer": -1} | settings, split, setting)

    first = features()
    assert features() == first
    others = [features(("two", "one")), features(encoder="others"), features(layer=0)]
    others.append(features(precision="bfloat16"))
    assert first not in others
    monkeypatch.setitem(STAGES, "features", STAGES["features"] + 1)
    assert features() != first
