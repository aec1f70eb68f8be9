"""A run is computed once, repeats to the bit, is keyed by its science alone, and leaves its evidence."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import toy
import yaml
from conftest import small

from bertbench import run as room
from bertbench.baselines.texts import FittedTfidf
from bertbench.errors import UserError
from bertbench.metrics import score
from bertbench.plan import baseline_values, make_plan
from bertbench.probing.texts import FittedFrozen
from bertbench.records import fingerprint, read_record
from bertbench.run import execute
from bertbench.tracking.delivery import connect

CHOICES = {"weights": "pretrain", "scale": "tiny", "objective": "mlm", "masking": "static"}
QUICK = ["pretrain.tokens=600", "mode=frozen"]
FULL = ["pretrain.tokens=600", "mode=full", "mode.epochs=2", "mode.min_steps=0"]
TFIDF = ["model=tfidf"]


@pytest.fixture
def make(values, migrated, tmp_path):
    """Like `values`, in a folder that has an MLflow database without runs."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return values


def go(config, **changed):
    given = {"overrides": ["a=b"], "sweep": "test"} | changed
    return execute(make_plan(config, given.pop("choices", CHOICES)), **given)


def runs():
    """Return the runs of this folder, newest first."""
    client = connect(f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("bertbench")
    return client.search_runs([experiment.experiment_id]) if experiment is not None else []


def files(run):
    """Return the folder of a run's artifacts."""
    return Path(run.info.artifact_uri.removeprefix("file://"))


def entries(kind):
    folder = Path(".bertbench") / kind
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


# Once


@pytest.mark.parametrize("overrides", [TFIDF, QUICK], ids=["tfidf", "frozen"])
def test_a_finished_run_is_skipped(overrides, make, monkeypatch):
    first = go(make(*overrides))
    monkeypatch.setattr(room, "_compute", lambda *_: pytest.fail("computed again"))
    again = go(make(*overrides))
    assert (first.skipped, again.skipped) == (False, True)
    assert again.record == first.record
    assert len(runs()) == 1


def test_another_seed_is_another_run(make):
    first, other = (go(make(*TFIDF, f"seed={seed}", "task.train_size=30")) for seed in (0, 1))
    assert not other.skipped
    assert first.record.key != other.record.key
    assert first.record.group == other.record.group


@pytest.mark.parametrize("overrides", [QUICK, FULL, TFIDF], ids=["frozen", "full", "tfidf"])
def test_a_rerun_is_identical_to_the_last_bit(overrides, make):
    """With the store wiped: tokenizer, encoder and features are made again."""
    config = make(*overrides, "rerun=always")
    first = go(config)
    shutil.rmtree(".bertbench")
    again = go(config)
    assert not again.skipped
    assert again.record.metrics == first.record.metrics
    assert again.record.chosen == first.record.chosen
    timed = {"seconds", "tokens_per_second"}
    for name in first.record.pretraining.keys() - timed:
        assert again.record.pretraining[name] == first.record.pretraining[name]
    tables = [pd.read_parquet(files(run) / "predictions.parquet") for run in runs()]
    assert len(tables) == 2
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_one_pretraining_serves_seeds_and_modes(make):
    for mode in (QUICK, FULL):
        for seed in (0, 1):
            go(make(*mode, f"seed={seed}"))
    assert len(runs()) == 4
    assert len(entries("encoder")) == len(entries("tokenizer")) == len(entries("packed")) == 1
    assert len(entries("features")) == 3  # one a split, of both frozen runs
    go(make(*QUICK, "pretrain.seed=1"))
    assert len(entries("encoder")) == 2
    assert len(entries("tokenizer")) == len(entries("tokens")) == 1  # know no seed
    assert len(entries("packed")) == 2  # pairs are drawn


def test_two_at_once_compute_one_run(make, monkeypatch):
    config, results = make(*TFIDF), []
    compute, entered, released = room._compute, threading.Event(), threading.Event()

    def slow(*arguments):
        entered.set()
        assert released.wait(30)
        return compute(*arguments)

    monkeypatch.setattr(room, "_compute", slow)
    threads = [threading.Thread(target=lambda: results.append(go(config))) for _ in range(2)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive()  # waits its turn
    released.set()
    for thread in threads:
        thread.join(30)
    assert sorted(result.skipped for result in results) == [False, True]
    assert len(runs()) == 1


# Failures


def test_a_failed_run_is_marked_and_keeps_its_traceback(make):
    with pytest.raises(UserError, match=r"mode\.layer=99"):
        go(make(*QUICK, "mode.layer=99"))
    [run] = runs()
    assert run.info.status == "FAILED"
    assert "mode.layer=99" in (files(run) / "traceback.txt").read_text()
    assert not (files(run) / "record.json").exists()


def test_a_bug_below_a_run_is_marked_too_and_comes_through(make, monkeypatch):
    def bug(self, data, setting):
        raise ZeroDivisionError("a bug in the mode")

    monkeypatch.setattr("bertbench.modes.tfidf.Tfidf.fit", bug)
    with pytest.raises(ZeroDivisionError, match="a bug in the mode"):
        go(make(*TFIDF))
    [run] = runs()
    assert run.info.status == "FAILED"
    assert "ZeroDivisionError" in (files(run) / "traceback.txt").read_text()


def test_a_task_that_cannot_be_read_comes_through(make):
    """Without data there is no key, so there is no run either."""
    with pytest.raises(RuntimeError, match="a bug in the task"):
        go(make(*TFIDF, "task.source._target_=toy.broken"))
    assert runs() == []


def test_a_failed_run_is_tried_again_unless_it_never_shall(make, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(room, "_compute", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(make(*TFIDF))
    with pytest.raises(UserError, match="rerun=failed or rerun=always"):
        go(make(*TFIDF, "rerun=never"))
    assert not go(make(*TFIDF, "rerun=failed")).skipped
    assert go(make(*TFIDF, "rerun=never")).skipped  # it has finished since
    assert [run.info.status for run in runs()] == ["FINISHED", "FAILED"]


def test_a_failure_after_a_success_does_not_hide_it(make, monkeypatch):
    go(make(*TFIDF))
    with monkeypatch.context() as broken:
        broken.setattr(room, "_compute", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(make(*TFIDF, "rerun=always"))
    assert go(make(*TFIDF)).skipped


def test_an_interrupted_run_is_killed_and_goes_on(make, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(room, "_compute", interrupt)
        with pytest.raises(KeyboardInterrupt):
            go(make(*TFIDF))
    assert [run.info.status for run in runs()] == ["KILLED"]
    assert not go(make(*TFIDF, "rerun=never")).skipped


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["corpus._target_=toy.nothing"], "toy.nothing is empty"),
        (["task.metric=acuracy"], "did you mean 'accuracy'"),
        (["task.metrics=[accuracy,f1]"], "f1"),
        (["task.train_size=2"], r"task\.train_size=2"),
        (["task.train_size=61"], r"task\.train_size=61"),
        (["task.labels_per_class=21"], r"choose 1 to 20"),
        (["task.train_size=30", "task.labels_per_class=5"], "set one of them to null"),
        (["pretrain.tokens=0"], r"pretrain\.tokens=0"),
        (["pretrain.tokens=null"], "none at all"),
        (["pretrain.seconds=5"], "set one of"),
        (["weights=released", "weights.source=/no/such/folder"], "no folder here"),
        (["weights=released", "model=roberta", "scale.name=small"], r"model=roberta scale=small"),
        (["mode=tfidf"], r"choose model=tfidf"),
        (["model=tfidf", "mode=full", "baseline=null"], r"choose mode=tfidf"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_begins(overrides, said, make):
    with pytest.raises(UserError, match=said):
        go(make(*overrides))
    assert runs() == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["pretrain.heldout=0"], r"pretrain\.heldout=0"),
        (["pretrain.heldout=1"], r"pretrain\.heldout=1"),
        (["masking.rate=0"], r"masking\.rate=0"),
        (["pretrain.optim.warmup=1"], "warmup=1"),
        (["pretrain.batch_size=0"], r"pretrain\.batch_size=0"),
        (["pretrain.length=2"], r"pretrain\.length=2"),
        (["pretrain.length=65"], r"pretrain\.length=65"),
        (["pretrain.log_every=0"], r"pretrain\.log_every=0"),
        (["scale.heads=5"], r"scale\.heads=5"),
        (["runtime.threads=0"], r"runtime\.threads=0"),
        (["mode.penalties=[0]"], r"mode\.penalties=\[0\]"),
        (["mode.pooling=max"], r"mode\.pooling=max"),
    ],
)
def test_a_value_that_cannot_be_is_named(overrides, said, make):
    """Whatever room finds it: the user reads the key and the value."""
    with pytest.raises(UserError, match=said):
        go(make(*QUICK, *overrides))


def test_rows_longer_than_a_released_encoder_can_take_are_refused(make, checkpoint_folder):
    """Its own positions count, not those of the scale that was chosen beside it."""
    overrides = [
        "weights=continued", f"weights.source={checkpoint_folder}", "scale.positions=512",
        "pretrain.length=128",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"pretrain\.length=128.* 64"):
        go(make(*QUICK, *overrides))


def test_a_corpus_of_one_document_cannot_be_pretrained_on(make, tmp_path):
    (tmp_path / "one.txt").write_text(toy.corpus()[0], encoding="utf-8")
    config = make(*QUICK)
    config["corpus"] = {"_target_": "bertbench.data.files.corpus", "path": "one.txt"}
    config["model"]["tokenizer"]["vocab_size"] = 60
    with pytest.raises(UserError, match="the corpus has 1 document"):
        go(config)


# Keys


def other_task():
    """The toy task with one text of the test split changed."""
    data = toy.task()
    texts = [*data.test.texts[:-1], data.test.texts[-1] + " More."]
    return data._replace(test=data.test._replace(texts=texts))


def other_corpus():
    """The toy corpus with one text changed."""
    return [*toy.corpus()[:-1], toy.corpus()[-1] + " More."]


def leaves(node, prefix=""):
    """Return every dotted path of a config that leads to a value."""
    found = []
    for key, value in node.items():
        place = f"{prefix}{key}"
        found += leaves(value, f"{place}.") if isinstance(value, dict) else [place]
    return found


def with_leaf(node, place, value):
    """Return a copy of a config with one value changed."""
    key, _, rest = place.partition(".")
    return node | {key: with_leaf(node[key], rest, value) if rest else value}


def value_at(node, place):
    for key in place.split("."):
        node = node[key]
    return node


def test_tfidf_is_the_same_run_alone_and_as_a_baseline(make):
    alone = make_plan(make("model=tfidf"), CHOICES)
    for overrides in (["model=bert"], ["model=roberta", "scale=small", "masking=static"]):
        baseline = baseline_values(make(*overrides))
        assert make_plan(baseline, CHOICES).key == alone.key
    assert baseline_values(make("baseline=null")) is None


def test_the_four_uses_of_one_encoder_have_four_keys(make, checkpoint_folder):
    source = f"weights.source={checkpoint_folder}"
    uses = [
        ["weights=pretrain"],
        ["weights=random"],
        ["weights=released", source],
        ["weights=continued", source],
    ]
    assert len({make_plan(make(*use), CHOICES).key for use in uses}) == 4


def test_released_weights_are_known_by_content_not_by_place(make, checkpoint_folder, tmp_path):
    copy = shutil.copytree(checkpoint_folder, tmp_path / "copy")
    keys = []
    for folder in (checkpoint_folder, copy):
        overrides = ["weights=released", f"weights.source={folder}"]
        keys.append(make_plan(make(*overrides), CHOICES).key)
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    keys.append(make_plan(make(*overrides), CHOICES).key)
    assert keys[0] == keys[1] != keys[2]


def test_a_budget_of_seconds_is_another_recipe(make):
    config = make()
    seconds = with_leaf(with_leaf(config, "pretrain.tokens", None), "pretrain.seconds", 5.0)
    assert make_plan(config, CHOICES).key != make_plan(seconds, CHOICES).key


def test_the_group_is_the_key_without_its_seeds(make):
    plans = [
        make_plan(make(*overrides), CHOICES)
        for overrides in ([], ["seed=1"], ["pretrain.seed=1"], ["mode.layer=0"])
    ]
    assert len({plan.key for plan in plans}) == 4
    assert len({plan.group for plan in plans[:3]}) == 1
    assert plans[3].group != plans[0].group


def test_planning_loads_neither_torch_nor_mlflow(tmp_path, checkpoint_folder):
    """Bad input is named within two seconds; torch alone takes longer to load."""
    script = f"""
import sys
from hydra import compose, initialize_config_dir
from bertbench import config
from bertbench.plan import make_plan
config.register()
for more in ([], ["model=tfidf"], ["weights=released", "weights.source={checkpoint_folder}"]):
    with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[*{small()!r}, *more])
    make_plan(config.plain(cfg), {{}})
print(sorted({{"torch", "transformers", "mlflow", "datasets", "sklearn"}} & sys.modules.keys()))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    assert found.stdout.strip() == "[]"


# What is left behind


METRICS = ["accuracy", "macro_f1", "mcc", "log_loss", "ece"]


@pytest.mark.parametrize("overrides", [TFIDF, QUICK, FULL], ids=["tfidf", "frozen", "full"])
def test_mlflow_has_everything_of_a_run(overrides, make, compute):
    config = make(*overrides, "seed=3", "name=sheet")
    record = go(config, sweep="sunday").record
    plan = make_plan(config, CHOICES)
    [run] = runs()
    assert run.info.status == "FINISHED"

    tags = {"key": plan.key, "group": plan.group, "seed": "3", "sweep": "sunday", "name": "sheet"}
    assert (tags | plan.words).items() <= run.data.tags.items()

    params = run.data.params
    assert params["task.metric"] == "accuracy"
    assert params["seed"] == "3"
    if plan.encoder is not None:
        assert params["encoder.pretrain.tokens"] == "600"
        assert params["encoder.pretrain.masking.rate"] == "0.15"
        assert params["task.max_length"] == "32"

    logged = run.data.metrics
    groups = {name.partition("/")[0] for name in logged}
    assert {"test", "validation", "chosen", "cost"} <= groups
    assert ("pretrain" in groups) == (plan.encoder is not None)
    assert ("train" in groups) == (overrides is FULL)
    assert {f"{s}/{m}": logged[f"{s}/{m}"] for s in ("test", "validation") for m in METRICS} == (
        record.metrics
    )
    for name, value in record.pretraining.items():
        assert logged[f"pretrain/{name}"] == value
    for name, value in record.cost.items():
        assert logged[f"cost/{name}"] == value

    folder = files(run)
    present = {p.name for p in folder.iterdir()}
    of_corpus = {"corpus.json"} if plan.encoder is not None else set()
    assert present == of_corpus | {
        "config.yaml", "confusion.png", "data_card.json", "data_card.md", "model", "predictions.parquet",
        "record.json", "split.json",
    }  # fmt: skip
    assert read_record(folder / "record.json") == record
    assert yaml.safe_load((folder / "config.yaml").read_text()) == plan.values
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")

    [given] = run.inputs.dataset_inputs
    assert given.dataset.name == "toy"
    assert plan.data_fingerprint.startswith(given.dataset.digest)


def test_the_kept_split_is_that_of_the_run(make):
    record = go(make(*TFIDF, "task.labels_per_class=4", "seed=2")).record
    split = json.loads((files(runs()[0]) / "split.json").read_text())
    plan = make_plan(make(*TFIDF, "task.labels_per_class=4", "seed=2"), CHOICES)
    assert split["ids"]["train"] == plan.data.train.ids
    assert split["ids"]["test"] == toy.task().test.ids
    assert split["fingerprint"] == fingerprint(split["ids"])
    assert (record.data["train"], record.data["test"]) == (12, 30)


@pytest.mark.parametrize("overrides", [TFIDF, QUICK], ids=["tfidf", "frozen"])
def test_kept_predictions_give_the_kept_metrics_and_the_kept_model_gives_them(
    overrides, make, compute
):
    record = go(make(*overrides)).record
    folder, data = files(runs()[0]), toy.task()
    table = pd.read_parquet(folder / "predictions.parquet")
    assert list(table.columns) == [
        "id", "split", "label", "prediction", "right", "p_sport", "p_money", "p_music",
    ]  # fmt: skip
    for name, split in (("validation", data.validation), ("test", data.test)):
        part = table[table["split"] == name]
        probabilities = part[["p_sport", "p_money", "p_music"]].to_numpy()
        assert part["id"].tolist() == split.ids
        assert (part["prediction"] == probabilities.argmax(1)).all()
        for metric in METRICS:
            value = score(metric, part["label"].to_numpy(), probabilities)
            assert record.metrics[f"{name}/{metric}"] == pytest.approx(value, rel=1e-12)
        model = folder / "model"
        fitted = (
            FittedTfidf.load(model) if overrides is TFIDF else FittedFrozen.load(model, compute)
        )
        np.testing.assert_allclose(fitted.predict(split.texts), probabilities, rtol=0, atol=1e-5)
    assert json.loads((folder / "model" / "classes.json").read_text()) == data.classes


def test_a_record_says_what_was_run(make):
    record = go(make(*QUICK, "seed=5"), overrides=["mode=frozen", "seed=5"]).record
    assert (record.task, record.mode, record.seed, record.metric) == (
        "toy",
        "frozen",
        5,
        "accuracy",
    )
    assert record.recipe == {"model": "bert"} | CHOICES
    assert record.overrides == ["mode=frozen", "seed=5"]
    assert record.environment["device"] == "CPU, float32"
    assert {"bertbench", "torch", "python", "cores"} <= record.environment.keys()
    assert record.pretraining["tokens"] >= 600
    assert record.pretraining["plateau"] in (0, 1)
    assert fingerprint(record.science) == record.key


def test_without_tracking_nothing_is_kept_and_nothing_skipped(make):
    first, again = (go(make(*TFIDF, "tracking=none")) for _ in range(2))
    assert not first.skipped
    assert not again.skipped
    assert first.record.metrics == again.record.metrics
    assert runs() == []
    assert not Path("mlartifacts").exists()


def test_encoders_made_in_parts_score_as_written_down(make):
    """Continued pretraining starts from the released weights, with their tokenizer."""
    first = go(make(*QUICK)).record
    released = Path(".bertbench/encoder") / entries("encoder")[0]
    source = f"weights.source={released}"
    continued = go(make(*QUICK, "weights=continued", source)).record
    ready = go(make(*QUICK, "weights=released", source)).record
    own = {k: v for k, v in first.pretraining.items() if not k.startswith("intrinsic/")}
    assert ready.pretraining == own  # what its folder says of it
    assert ready.curve == first.curve
    assert continued.pretraining["tokens"] >= 600
    assert len(entries("encoder")) == 2
    assert len(entries("tokenizer")) == 1  # the released one is used
    tokenizers = [
        (Path(".bertbench/encoder") / name / "tokenizer.json").read_bytes()
        for name in entries("encoder")
    ]
    assert tokenizers[0] == tokenizers[1]


@pytest.mark.parametrize(
    ("kind", "stats", "said"),
    [
        ("token", {"unread": 7.0}, "7 training words were cut off their sentence"),
        (
            "span",
            {"unread": 2.0},
            "2 training questions have an answer that no window holds whole",
        ),
        ("regression", {"chosen/C": 0.1}, "the best C, 0.1, lies at the edge of mode.ridge"),
        ("regression", {"chosen/C": 1.0}, None),
        ("classification", {"chosen/C": 0.1}, None),
        ("span", {"unread": 0.0}, None),
    ],
)
def test_what_a_reader_should_know_of_a_run_is_a_warning(kind, stats, said, monkeypatch):
    task = {"max_length": 12, "long_text": "head"}
    mode = {"penalties": [0.1, 1, 10], "ridge": [0.1, 1, 10]}
    plan = SimpleNamespace(
        data=SimpleNamespace(kind=kind),
        values={"mode": mode, "task": task},
        science={"mode": mode},
        title="t",
    )
    monkeypatch.setattr(room, "find", lambda _: SimpleNamespace(says_one_thing=lambda _: False))
    found = room._warnings(plan, SimpleNamespace(test=None, stats=stats))
    if said is None:
        assert found == []
    else:
        [words] = found
        assert words.startswith(said)
        assert ("task.max_length=12, task.long_text=head" in words) == ("unread" in stats)
