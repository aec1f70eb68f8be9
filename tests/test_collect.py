"""A run counts once in a sheet, whether MLflow has it or its journal is still here."""

import logging
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from bertbench.commands import report
from bertbench.errors import UserError
from bertbench.records import RunRecord, fingerprint
from bertbench.report.collect import collect
from bertbench.tracking.journal import FAILED, FINISHED, LINES, Journal, journals
from bertbench.tracking.tracker import MlflowTracker

AWAY = "http://127.0.0.1:9"  # nobody listens there
PREDICTIONS = pd.DataFrame(
    {
        "id": ["a", "b", "c"], "split": ["test", "test", "validation"], "label": [0, 1, 0],
        "prediction": [0, 0, 0], "p_x": [0.75, 0.5, 1.0], "p_y": [0.25, 0.5, 0.0],
    }
)  # fmt: skip


def record(seed=0, **changed):
    linear = changed.get("mode") == "tfidf"
    science = {
        "version": 1,
        "task": {"data": "d", "metric": "accuracy", "metrics": ["accuracy"], "train_size": None,
                 "labels_per_class": None, "long_text": "head", "max_length": 128},
        "encoder": None if linear else {"seed": 0, "model": "bert"},
        "mode": {"_target_": "tfidf" if linear else "frozen"}, "seed": seed,
    }  # fmt: skip
    words = {"model": "bert", "weights": "pretrain", "scale": "tiny", "objective": "mlm"}
    fields = {
        "key": fingerprint(science), "group": fingerprint(science | {"seed": None}),
        "name": "main", "task": "toy", "mode": "frozen", "seed": seed, "science": science,
        "recipe": {"model": "tfidf"} if linear else words | {"masking": "static"},
        "metric": "accuracy", "metrics": {"test/accuracy": 0.5, "validation/accuracy": 0.5},
        "chosen": {"C": 1.0},
        "cost": {"parameters": 9.0, "train_seconds": 2.0, "milliseconds_per_text": 0.25},
        "pretraining": {}, "data": {"fingerprint": "d", "train": 60, "classes": ["x", "y"]},
        "environment": {"device": "CPU, float32"},
    }  # fmt: skip
    return RunRecord(**(fields | changed))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "store" / "runs"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def uri(tmp_path):
    """Of a database that does not exist yet."""
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def tracker(tmp_path, migrated, uri, kept):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return MlflowTracker(
        uri=uri, artifacts=f"{tmp_path}/files", experiment="bertbench", journals=kept
    )


def keep(kept, uri, record, *, end=FINISHED, experiment="bertbench"):
    """Leave a run in its journal as one does whose MLflow is away."""
    opening = {"title": "run", "params": {}, "tags": {}, "uri": uri, "experiment": experiment}
    journal = Journal.start(kept, record.key, opening | {"artifacts": f"{kept.parent}/files"})
    (journal.files / "record.json").write_text(record.to_json())
    PREDICTIONS.to_parquet(journal.files / "predictions.parquet", index=False)
    if end is not None:
        journal.write({"end": end})
    journal.close()
    return journal


def test_journals_alone_are_evidence_and_no_database_is_made(kept, uri, tmp_path):
    runs = [record(seed=seed) for seed in (2, 0, 1)]
    for run in runs:
        keep(kept, uri, run)
    found = collect(uri, "bertbench", None, kept)
    assert [evidence.record for evidence in found] == sorted(runs, key=lambda run: run.seed)
    for evidence in found:
        pd.testing.assert_frame_equal(evidence.predictions, PREDICTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_is_evidence_stays_the_same_when_it_is_delivered(tracker, kept, uri):
    for seed in (0, 1):
        keep(kept, uri, record(seed=seed))
    before = collect(uri, "bertbench", None, kept)
    for done, journal in enumerate(journals(kept), start=1):
        assert tracker.settle(journal)
        assert len(journals(kept)) == 2 - done
        after = collect(uri, "bertbench", None, kept)
        assert [e.record for e in after] == [e.record for e in before]
        for one, other in zip(before, after, strict=True):
            pd.testing.assert_frame_equal(one.predictions, other.predictions)


def test_a_run_that_both_have_counts_once(tracker, kept, uri, tmp_path):
    """Killed after the delivery, before its journal was removed."""
    journal = keep(kept, uri, record())
    shutil.copytree(journal.folder, tmp_path / "copy")
    tracker.settle(journal)
    shutil.copytree(tmp_path / "copy", journal.folder)
    [found] = collect(uri, "bertbench", None, kept)
    assert found.record == record()


@pytest.mark.parametrize("end", [FAILED, None])
def test_a_run_that_did_not_finish_is_no_evidence(end, kept, uri):
    keep(kept, uri, record(), end=end)
    with pytest.raises(UserError, match="there are no runs here"):
        collect(uri, "bertbench", None, kept)
    keep(kept, uri, record(seed=1))
    [found] = collect(uri, "bertbench", None, kept)
    assert found.record.seed == 1


def test_a_run_whose_end_was_torn_is_no_evidence(kept, uri):
    lines = keep(kept, uri, record()).folder / LINES
    lines.write_bytes(lines.read_bytes()[:-2])
    with pytest.raises(UserError, match="there are no runs here"):
        collect(uri, "bertbench", None, kept)


def test_runs_meant_for_elsewhere_are_no_evidence(kept, uri, tmp_path):
    keep(kept, AWAY, record(seed=1))
    keep(kept, f"sqlite:///{tmp_path}/other.db", record(seed=2))
    keep(kept, uri, record(seed=3), experiment="other")
    keep(kept, uri, record(seed=4))
    assert [e.record.seed for e in collect(uri, "bertbench", None, kept)] == [4]
    assert [e.record.seed for e in collect(uri, "other", None, kept)] == [3]


def test_only_the_asked_keys_count_from_either_place(tracker, kept, uri):
    runs = [record(seed=seed) for seed in range(4)]
    for run in runs[:2]:
        tracker.settle(keep(kept, uri, run))
    for run in runs[2:]:
        keep(kept, uri, run)
    asked = {runs[1].key, runs[2].key}
    assert [e.record for e in collect(uri, "bertbench", asked, kept)] == runs[1:3]
    assert [e.record for e in collect(uri, "bertbench", None, kept)] == runs
    with pytest.raises(UserError, match="no finished run"):
        collect(uri, "bertbench", {"another"}, kept)


def test_a_server_that_is_away_costs_a_warning_and_no_run_that_is_here(kept, caplog):
    keep(kept, AWAY, record())
    with caplog.at_level(logging.WARNING, logger="bertbench"):
        [found] = collect(AWAY, "bertbench", None, kept)
    assert found.record == record()
    [warning] = [r.getMessage() for r in caplog.records if r.name.startswith("bertbench")]
    assert AWAY in warning
    assert "kept here" in warning


@pytest.mark.parametrize("folder", [None, Path("store/runs"), Path("no/such/folder")])
def test_a_server_that_is_away_and_nothing_here_is_one_sentence(folder, kept):
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer: ."):
        collect(AWAY, "bertbench", None, folder)


def test_a_database_in_use_by_another_writer_is_read_all_the_same(tracker, kept, uri, tmp_path):
    tracker.settle(keep(kept, uri, record()))
    keep(kept, uri, record(seed=1))
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert [e.record.seed for e in collect(uri, "bertbench", None, kept)] == [0, 1]
    finally:
        other.close()


def test_a_sheet_is_the_same_before_and_after_the_delivery(tracker, kept, uri, tmp_path, capsys):
    for run in (record(), record(mode="tfidf")):
        keep(kept, uri, run)
    sheets = []
    for _ in ("before", "after"):
        assert report.main(["--uri", uri, "--store", str(kept.parent)]) == 0
        assert "results/main/sheet.md" in capsys.readouterr().out
        results = sorted((tmp_path / "results" / "main").iterdir())
        sheets.append({path.name: path.read_bytes() for path in results})
        for journal in journals(kept):
            assert tracker.settle(journal)
    assert sheets[0] == sheets[1]
    assert sheets[0].keys() >= {"sheet.md", "records.jsonl", "predictions.parquet"}
