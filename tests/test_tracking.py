"""Runs reach MLflow whole: from several processes at once, cut where they must be, ended as they ended."""

import math
import multiprocessing
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from bertbench.errors import UserError
from bertbench.tracking import delivery
from bertbench.tracking.delivery import BATCH, PARAM_LIMIT, flatten
from bertbench.tracking.protocol import Found, NoTracker, keep_text
from bertbench.tracking.tracker import MlflowTracker


@pytest.fixture
def tracker(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return tracker_in(tmp_path)


def tracker_in(folder):
    return MlflowTracker(
        uri=f"sqlite:///{folder}/mlflow.db",
        artifacts=f"{folder}/artifacts",
        experiment="test",
        journals=Path(folder) / "runs",
    )


def start(folder, number, gate):
    """Make a run in a database that may not exist yet; what a process of a sweep does first."""
    tracker = tracker_in(folder)
    gate.wait()
    with tracker.run(str(number), f"run {number}", params={"number": number}, tags={}) as run:
        run.log({"test/number": number})


@pytest.mark.slow
def test_processes_that_start_at_once_on_no_database_all_succeed(tmp_path):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    processes = [
        context.Process(target=start, args=(str(tmp_path), number, gate)) for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    tracker = tracker_in(tmp_path)
    for number in range(3):
        [run] = tracker.client.search_runs(["1"], f"tags.key = '{number}'")
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"test/number": number}
    names = [e.name for e in tracker.client.search_experiments()]
    assert names.count("test") == 1


def test_every_metric_arrives_in_its_order(tracker):
    steps = 2 * BATCH + 17
    with tracker.run("k", "run", params={}, tags={}) as run:
        for step in range(steps):
            run.log({"train/loss": step / 2, "train/lr": -step}, step)
        run.log({"test/accuracy": 0.5})
    for name, sign in (("train/loss", 0.5), ("train/lr", -1)):
        history = tracker.client.get_metric_history(run.run_id, name)
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
            (step, sign * step) for step in range(steps)
        ]
    assert tracker.client.get_run(run.run_id).data.metrics["test/accuracy"] == 0.5


def test_metrics_are_sent_in_batches(tracker, monkeypatch):
    """One call a metric is thirty times slower."""
    calls = []
    send = tracker.client.log_batch
    monkeypatch.setattr(
        tracker.client,
        "log_batch",
        lambda *a, **k: (
            calls.extend([len(k["metrics"])] if "metrics" in k else []),
            send(*a, **k),
        ),
    )
    with tracker.run("k", "run", params={}, tags={}) as run:
        for step in range(BATCH + 1):
            run.log({"a": 1.0}, step)
        assert calls == []
    assert calls == [BATCH, 1]


def test_a_waiting_metric_is_sent_after_a_while(tracker, monkeypatch):
    """Whoever watches a long run sees it move."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with tracker.run("k", "run", params={}, tags={}) as run:
        run.log({"a": 1.0}, 1)
        assert tracker.client.get_metric_history(run.run_id, "a") == []
        clock[0] = 60.0
        run.log({"a": 2.0}, 2)
        assert len(tracker.client.get_metric_history(run.run_id, "a")) == 2


def test_metrics_before_an_error_arrive_too(tracker):
    def fails():
        with tracker.run("k", "run", params={}, tags={}) as run:
            run.log({"a": 1.0})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert tracker.find("k").status == "FAILED"
    [run] = tracker.client.search_runs(["1"], "tags.key = 'k'")
    assert run.data.metrics == {"a": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_kept(value, tracker):
    with tracker.run("k", "run", params={}, tags={}) as run:
        run.log({"a": value, "b": 1.0})
    metrics = tracker.client.get_run(run.run_id).data.metrics
    assert metrics["b"] == 1.0
    assert math.isnan(metrics["a"]) if math.isnan(value) else metrics["a"] * value > 0


def test_long_parameters_are_cut_not_refused(tracker):
    params = {"long": "x" * 50_000, "list": list(range(5_000)), "short": "y"}
    with tracker.run("k", "run", params=params, tags={"long": "z" * 50_000}) as run:
        pass
    data = tracker.client.get_run(run.run_id).data
    assert data.params["long"] == "x" * PARAM_LIMIT
    assert data.params["list"] == str(list(range(5_000)))[:PARAM_LIMIT]
    assert data.params["short"] == "y"
    assert set(data.tags["long"]) == {"z"}
    assert tracker.client.get_run(run.run_id).info.status == "FINISHED"


def test_many_parameters_are_all_kept(tracker):
    params = {f"group{i}": {"a": i, "b": None} for i in range(150)}
    with tracker.run("k", "run", params=params, tags={}) as run:
        pass
    kept = tracker.client.get_run(run.run_id).data.params
    assert kept == {
        f"group{i}.{k}": str(v) for i in range(150) for k, v in (("a", i), ("b", None))
    }


def test_flatten_joins_keys_with_dots():
    nested = {"a": {"b": {"c": 1, "_target_": "x"}, "d": [1, {"e": 2}]}, "f": None, "g": {}}
    assert flatten(nested) == {"a.b.c": 1, "a.b.target": "x", "a.d": [1, {"e": 2}], "f": None}


def test_flatten_loses_no_word_of_a_key():
    assert flatten({"head_tail": 1, "_partial_": {"views": 2}}) == {
        "head_tail": 1,
        "partial.views": 2,
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (ValueError, "FAILED"),
        (UserError, "FAILED"),
        (KeyboardInterrupt, "KILLED"),
        (SystemExit, "KILLED"),
    ],
)
def test_a_run_ends_as_it_ended(error, status, tracker):
    def go():
        with tracker.run("k", "run", params={}, tags={}) as run:
            seen.append(run.run_id)
            keep_text(run, "record.json", "{}")
            if error is not None:
                raise error("stopped")

    seen = []
    if error is None:
        go()
    else:
        with pytest.raises(error):
            go()
    info = tracker.client.get_run(seen[0]).info
    assert info.status == status
    assert info.end_time is not None
    record = "{}" if status == "FINISHED" else ""
    assert tracker.find("k") == (None if status == "KILLED" else Found(status, record))


def test_of_several_runs_the_newest_finished_is_found(tracker):
    for number, fails in enumerate((False, False, True)):
        time.sleep(0.002)  # MLflow orders by milliseconds
        with tracker.run("k", "run", params={}, tags={}) as run:
            keep_text(run, "record.json", str(number))
        if fails:
            tracker.client.set_terminated(run.run_id, "FAILED")
    assert tracker.find("k") == Found("FINISHED", "1")
    assert tracker.find("other") is None


def test_a_finished_run_whose_files_are_gone_is_not_found(tracker, tmp_path, caplog):
    with tracker.run("k", "run", params={}, tags={}) as run:
        keep_text(run, "record.json", "{}")
    shutil.rmtree(tmp_path / "artifacts")
    assert tracker.find("k") is None
    assert run.run_id in caplog.text


def test_a_deleted_run_is_not_found(tracker):
    with tracker.run("k", "run", params={}, tags={}) as run:
        pass
    tracker.client.delete_run(run.run_id)
    assert tracker.find("k") is None


def test_files_and_folders_lie_where_they_were_put(tracker, tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    with tracker.run("k", "run", params={}, tags={}) as run:
        run.file(folder, "model")
        run.file(tmp_path / "b.txt")
        run.file(tmp_path / "b.txt", "inside")
        keep_text(run, "record.json", "{}")
    root = next((tmp_path / "artifacts").iterdir()) / "artifacts"
    found = {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*.*")}
    assert found == {
        "model/deep/a.txt": "a", "b.txt": "b", "inside/b.txt": "b", "record.json": "{}",
    }  # fmt: skip
    assert tracker.find("k") == Found("FINISHED", "{}")


def test_a_relative_database_lies_in_the_working_folder(tmp_path, migrated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(migrated, "mlflow.db")
    tracker = MlflowTracker(
        uri="sqlite:///mlflow.db", artifacts="files", experiment="here", journals=Path("runs")
    )
    with tracker.run("k", "run", params={}, tags={}) as run:
        keep_text(run, "a.txt", "a")
    monkeypatch.chdir("/")  # a later change of folder moves nothing
    assert tracker.client.get_run(run.run_id).info.status == "FINISHED"
    assert (tmp_path / "files" / run.run_id / "artifacts" / "a.txt").read_text() == "a"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        names = database.execute("SELECT name FROM experiments").fetchall()
    database.close()
    assert ("here",) in names


def test_a_database_in_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"tracking\.uri=.*does not exist"):
        MlflowTracker(
            uri=f"sqlite:///{tmp_path}/no/mlflow.db",
            artifacts="a",
            experiment="e",
            journals=tmp_path,
        )


def test_no_tracker_keeps_and_finds_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker = NoTracker(journals=tmp_path)
    with tracker.run("k", "run", params={"a": 1}, tags={}) as run:
        run.log({"a": 1.0}, 1)
        keep_text(run, "a.txt", "a")
    assert tracker.find("k") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "ftp://host", "", "mlflow.db"])
def test_a_store_that_mlflow_does_not_take_is_refused(uri, tmp_path):
    with pytest.raises(UserError, match="is no store that MLflow takes: use sqlite:///FILE"):
        MlflowTracker(uri=uri, artifacts="a", experiment="e", journals=tmp_path)


@pytest.mark.parametrize(
    "text", ["no database, but a text of some length " * 99, "short", "\0" * 999]
)
def test_a_file_that_is_no_database_is_one_sentence_and_stays_as_it_was(text, tmp_path):
    (tmp_path / "mlflow.db").write_text(text)
    with pytest.raises(
        UserError, match=r"tracking\.uri=.*mlflow\.db cannot be opened: "
    ) as caught:
        tracker_in(tmp_path).find("k")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "mlflow.db").read_text() == text


@pytest.mark.slow
def test_a_database_is_made_whole_or_not_at_all(tmp_path, migrated, monkeypatch):
    def die(uri):
        half = migrated.read_bytes()[: migrated.stat().st_size // 2]
        Path(uri.removeprefix("sqlite:///")).write_bytes(half)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(delivery, "connect", die)
        with pytest.raises(KeyboardInterrupt):
            tracker_in(tmp_path).find("k")
    assert not (tmp_path / "mlflow.db").exists()
    assert (tmp_path / ".mlflow.db.new").exists()
    (tmp_path / ".mlflow.db.new-journal").write_bytes(b"of the one that died")
    with tracker_in(tmp_path).run("k", "run", params={}, tags={}) as run:
        run.log({"a": 1.0})
    assert tracker_in(tmp_path).client.get_run(run.run_id).data.metrics == {"a": 1.0}
    assert not [path for path in tmp_path.iterdir() if ".new" in path.name]
