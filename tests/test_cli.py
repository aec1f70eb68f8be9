"""The front door: bad input is one sentence, code 2 and at once; a sweep finishes what it can."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from conftest import CONF, small

from bertbench import __version__
from bertbench.__main__ import COMMANDS
from bertbench.records import RunRecord

TOY = [*small(), "model.tokenizer.vocab_size=120", "pretrain.tokens=600"]
SECONDS = 5.0  # two are promised; machines that test are busy


class Said(NamedTuple):
    """What a process said, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float


def bertbench(folder, *arguments, **environment):
    """Run `python -m bertbench` in `folder`; an environment value of None unsets it."""
    kept = os.environ | {"PYTHONPATH": str(Path(__file__).parent)} | environment
    started = time.perf_counter()
    found = subprocess.run(
        [sys.executable, "-m", "bertbench", *arguments], cwd=folder, capture_output=True,
        text=True, check=False, env={k: v for k, v in kept.items() if v is not None},
    )  # fmt: skip
    return Said(found.returncode, found.stdout, found.stderr, time.perf_counter() - started)


def refused(said, *words):
    """Check that bad input was answered as promised."""
    assert said.code == 2, said.err
    assert "Traceback" not in said.out + said.err
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("bertbench: ")
    for word in words:
        assert word in lines[0]
    assert said.seconds < SECONDS


# Help


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_names_every_command_group_and_option_at_once(flag, tmp_path):
    said = bertbench(tmp_path, flag)
    assert (said.code, said.err) == (0, "")
    assert said.seconds < 1
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.startswith("  ")}
    assert COMMANDS.keys() <= lines.keys()
    for group in (p for p in CONF.iterdir() if p.is_dir() and p.name != "hydra"):
        for option in group.glob("*.yaml"):
            assert option.stem in lines[group.name].replace(",", "").split()
    assert list(tmp_path.iterdir()) == []


def test_version_is_the_packages(tmp_path):
    assert bertbench(tmp_path, "--version")[:3] == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_its_own_help(name, tmp_path):
    said = bertbench(tmp_path, name, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"python -m bertbench {name}" in said.out


def test_the_whole_config_is_printed_without_running(tmp_path):
    said = bertbench(tmp_path, "model=roberta", "--cfg", "job", "scale=mini")
    assert said.code == 0
    assert "name: roberta" in said.out
    assert "lr: 0.001" in said.out  # interpolations are resolved
    assert not (tmp_path / "mlflow.db").exists()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=brt"], ["model=brt", "did you mean 'bert'"]),
        (["scale=huge"], ["scale=huge", "tiny"]),
        (["modle=bert"], ["'modle'", "did you mean 'mode"]),
        (["task.max_lenght=64"], ["'task.max_lenght'", "did you mean 'task.max_length'"]),
        (["mode=frozen", "mode.layr=1"], ["'mode.layr'", "did you mean 'mode.layer'"]),
        (["--frobnicate"], ["frobnicate", "--help"]),
        (["--cfg", "jobs"], ["'jobs'", "hydra"]),
        (["--experimental-rerun", "config.pickle"], ["pickle"]),
        (["reprot"], ["'reprot'", "--help"]),
        (["corpus=files"], ["corpus.path=..."]),
        (["corpus=files", "corpus.path=nothing"], ["corpus.path=nothing"]),
        (["corpus=files", "corpus.path=empty"], ["empty"]),
        (["seed=one"], ["seed"]),
        (["mode=frozen", "mode.layer=last"], ["mode.layer='last'", "a whole number"]),
        (["mode=frozen", "mode.penalties=[strong]"], ["mode.penalties"]),
        (["task.metric=acuracy"], ["did you mean 'accuracy'"]),
        (["pretrain.tokens=0"], ["pretrain.tokens=0"]),
        (["task.train_size=61"], ["task.train_size=61"]),
        (["mode=tfidf"], ["model=tfidf"]),
        (["weights=released", "scale=medium", "model=roberta"], ["model=roberta scale=medium"]),
        (["weights=released", "weights.source=/no/folder"], ["/no/folder"]),
        (["weights=released", "weights.source=package:no.such/model"], ["no.such"]),
        (["tracking.uri=sqlite:///no/folder/mlflow.db"], ["tracking.uri"]),
        (["mode=full", "mode.learning_rates=3e-4"], ["mode.learning_rates=0.0003", "a list"]),
        (["mode=full", "mode.dropout=1.5"], ["mode.dropout=1.5"]),
        (["mode=frozen", "mode.pooling=max"], ["mode.pooling=max", "cls, mean"]),
        (["mode=frozen", "+mode.foo=1"], ["mode.foo"]),
        (["mode=frozen", "mode.min_steps=1"], ["mode=full"]),
        (["model.architecture.dropout=1.5"], ["model.architecture.dropout=1.5"]),
        (["task.max_length=65"], ["task.max_length=65", "scale.positions=64"]),
        (["name=../x"], ["'../x'"]),
        (["model="], ["model"]),
        (["seed=[1,"], ["[1,"]),
    ],
    ids=lambda value: " ".join(value) if value and "=" in value[0] else "",
)
def test_bad_input_is_one_sentence_at_once(arguments, words, tmp_path):
    (tmp_path / "empty").mkdir()
    toy = [a for a in TOY if not (a.startswith("corpus.") and "corpus=files" in arguments)]
    direct = not any("=" in argument for argument in arguments)
    refused(bertbench(tmp_path, *([] if direct else toy), *arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("model=tfidf task=files", ["task.train=..."]),
        (
            "task.train=few.csv",
            ["task.train=few.csv is not read by the task bbc", "add task=files"],
        ),
        ("model=tfidf task=files task.train=latin.csv", ["latin.csv, line 2", "3 cells"]),
        ("model=tfidf task=files task.train=few.csv", ["few.csv", "'text'", "task.text"]),
        ("weights=pretrain pretrain.optim.lr=nan", ["pretrain.optim.lr=nan", "a finite number"]),
        ("masking=span", ["masking=span is a setting of a pretraining", "add weights=pretrain"]),
        ("weights=released weights.source=./model", ["model/config.json sets auto_map="]),
    ],
)
def test_bad_files_are_one_sentence_at_once(arguments, words, tmp_path):
    """A few of tests/test_bad_inputs.py, through the door."""
    (tmp_path / "latin.csv").write_bytes("text,label\nWörter,a,b\n".encode("latin-1"))
    (tmp_path / "few.csv").write_text("review,label\nwords,a\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"auto_map": {"AutoModel": "code.Model"}}')
    refused(bertbench(tmp_path, *arguments.split()), *words)


@pytest.mark.parametrize("offline", ["1", None], ids=["offline", "online"])
def test_weights_on_a_hub_out_of_reach_are_said_to_be(offline, tmp_path):
    """Whether it was told or finds out by itself."""
    no_network = {
        "HF_HUB_OFFLINE": offline, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path),
        "HTTPS_PROXY": None, "https_proxy": None,
    }  # fmt: skip
    said = bertbench(
        tmp_path, *TOY[:3], "weights=released", "model=roberta", "scale=base", **no_network
    )
    refused(said, "FacebookAI/roberta-base", "weights=pretrain", "weights.source=")


def test_a_report_without_runs_says_what_to_do_and_leaves_nothing(tmp_path):
    refused(bertbench(tmp_path, "report"), "python -m bertbench")
    assert list(tmp_path.iterdir()) == []


def test_a_report_from_no_folder_is_refused(tmp_path):
    refused(bertbench(tmp_path, "report", "--uri", "sqlite:///no/folder/mlflow.db"), "no/folder")


def test_a_failed_run_alone_is_one_sentence_too(tmp_path, migrated):
    """Found late, below the encoder: no promise of seconds, but the same manners."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    said = bertbench(tmp_path, *TOY, "mode=frozen", "mode.layer=99")
    refused(said._replace(seconds=0), "mode.layer=99")


def test_a_bug_shows_its_traceback(tmp_path, migrated):
    """Only bad input is one sentence."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    said = bertbench(tmp_path, *TOY, "task.source._target_=toy.broken")
    assert said.code == 1
    assert "Traceback" in said.err
    assert "RuntimeError: a bug in the task" in said.err


def test_a_reader_that_leaves_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as gone:
        found = subprocess.run(
            [sys.executable, "-m", "bertbench", "--help"], cwd=tmp_path, stdout=gone,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")


# One run, a sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, migrated):
    """A sweep of three jobs, the second of which fails; its folder and what it said."""
    folder = tmp_path_factory.mktemp("sweep")
    shutil.copy(migrated, folder / "mlflow.db")
    return folder, bertbench(folder, "-m", *TOY, "mode=frozen", "mode.layer=-1,99,0")


@pytest.mark.slow
def test_a_sweep_goes_on_after_a_failing_job(sweep):
    folder, said = sweep
    assert said.code == 2
    statuses = [json.loads(p.read_text()) for p in sorted(folder.glob("outputs/*/*/status.json"))]
    assert [status["state"] for status in statuses] == ["finished", "failed", "finished"]
    assert "1 of 3 jobs failed" in said.out
    table = said.out[said.out.index("1 of 3 jobs failed") :]
    assert "mode.layer=99" in table
    assert "0 is the embedding, 2 the last layer" in table
    assert "mode.layer=-1" not in table
    assert "Traceback" not in said.out + said.err


@pytest.mark.slow
def test_a_sweep_brings_tfidf_along_and_writes_its_sheet(sweep):
    folder, said = sweep
    results = folder / "results" / "main"
    assert sorted(p.name for p in results.iterdir()) == [
        "comparison_1.png", "predictions.parquet", "pretraining.png", "records.jsonl", "sheet.json",
        "sheet.md",
    ]  # fmt: skip
    text = (results / "sheet.md").read_text()
    assert "**TF-IDF**" in text
    assert "python -m bertbench -m" in text
    lines = (results / "records.jsonl").read_text().splitlines()
    records = [RunRecord.from_json(line) for line in lines]
    assert sorted(record.mode for record in records) == ["frozen", "frozen", "tfidf"]
    assert {record.recipe["model"] for record in records} == {"bert", "tfidf"}
    predictions = pd.read_parquet(results / "predictions.parquet")
    assert set(predictions["key"]) == {record.key for record in records}
    assert "results/main/sheet.md" in said.out
    assert len([d for d in (folder / ".bertbench" / "encoder").iterdir() if d.is_dir()]) == 1


@pytest.mark.slow
def test_the_report_command_writes_the_same_tables(sweep):
    folder, _ = sweep
    main = folder / "results" / "main"
    before = {p.name: p.read_bytes() for p in main.iterdir()}
    for name in before.keys() - {"sheet.json"}:
        (main / name).unlink()
    said = bertbench(folder, "report")
    assert (said.code, said.err) == (0, "")
    assert {p.name: p.read_bytes() for p in main.iterdir()} == before


@pytest.mark.slow
def test_the_same_run_again_is_skipped_and_succeeds(sweep):
    """After the sweep: its first job alone, in seconds, with code 0."""
    folder, _ = sweep
    said = bertbench(folder, *TOY, "mode=frozen", "name=alone")  # a sheet of its own
    assert (said.code, said.err) == (0, "")
    statuses = sorted(folder.glob("outputs/*/status.json"))
    assert [json.loads(p.read_text())["state"] for p in statuses] == ["skipped"]
