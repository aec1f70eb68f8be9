"""Whatever breaks between a run and MLflow, all of the run arrives, and nothing of it twice."""

import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy

from bertbench.commands import sync
from bertbench.tracking import delivery
from bertbench.tracking.delivery import BATCH
from bertbench.tracking.journal import DELIVERED, Journal, journals
from bertbench.tracking.protocol import Found, keep_text
from bertbench.tracking.tracker import MlflowTracker


def tracker_in(folder, uri=None):
    return MlflowTracker(
        uri=uri or f"sqlite:///{folder}/mlflow.db",
        artifacts=f"{folder}/artifacts",
        experiment="test",
        journals=Path(folder) / "runs",
    )


@pytest.fixture
def tracker(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    (tmp_path / "runs").mkdir()
    return tracker_in(tmp_path)


def steps(tracker, run_id, name="loss"):
    return sorted(m.step for m in tracker.client.get_metric_history(run_id, name))


def runs_of(tracker, key="k"):
    """Return (id, status) of each run of a key."""
    found = tracker.client.search_runs(["1"], f"tags.key = '{key}'")
    return [(run.info.run_id, run.info.status) for run in found]


def log(run, numbers):
    for step in numbers:
        run.log({"loss": step / 2}, step)


def stop_at(tracker, numbers, error=KeyboardInterrupt):
    """Log some steps, then stop as an interrupt does; return MLflow's name of the run."""
    with contextlib.suppress(error), tracker.run("k", "run", params={"a": 1}, tags={}) as run:
        log(run, numbers)
        raise error
    return run.run_id


def test_a_stopped_run_goes_on_in_the_same_run_and_no_step_is_doubled(tracker, tmp_path):
    run_id = stop_at(tracker, range(10))
    assert runs_of(tracker) == [(run_id, "KILLED")]
    assert stop_at(tracker_in(tmp_path), range(5, 15)) == run_id  # from an older checkpoint
    assert steps(tracker, run_id) == list(range(15))
    with tracker_in(tmp_path).run("k", "run", params={"a": 1}, tags={}) as run:
        assert runs_of(tracker) == [(run_id, "RUNNING")]
        log(run, range(12, 20))
    assert runs_of(tracker) == [(run_id, "FINISHED")]
    assert steps(tracker, run_id) == list(range(20))
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_failed_run_does_not_go_on(tracker):
    first = stop_at(tracker, range(3), ZeroDivisionError)
    with tracker.run("k", "run", params={}, tags={}) as run:
        log(run, range(3))
    assert set(runs_of(tracker)) == {(first, "FAILED"), (run.run_id, "FINISHED")}


@pytest.mark.parametrize("sent", [0, 4])
def test_a_lost_note_of_what_was_delivered_makes_no_second_run_and_no_second_step(
    sent, tracker, tmp_path
):
    run_id = stop_at(tracker, range(sent))
    [note] = tmp_path.glob(f"runs/*/{DELIVERED}")
    note.unlink()  # killed between two writes
    with tracker_in(tmp_path).run("k", "run", params={"a": 1}, tags={}) as run:
        log(run, range(8))
    assert runs_of(tracker) == [(run_id, "FINISHED")]
    assert steps(tracker, run_id) == list(range(8))


class Cut:
    """MLflow's client, but the connection breaks before or after call number `at`."""

    def __init__(self, client, at, *, after):
        self.client, self.left, self.after = client, at, after

    def __getattr__(self, name):
        act = getattr(self.client, name)

        def call(*args, **kwargs):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise ConnectionError
            result = act(*args, **kwargs)
            if self.left == 0:
                raise ConnectionError
            return result

        return call


@pytest.mark.parametrize("after", [False, True])
def test_a_delivery_that_breaks_at_any_call_arrives_once(after, tracker, tmp_path):
    broken, at = True, 0
    while broken:
        at += 1
        opening = {"title": "run", "params": {"a": 1}, "tags": {"t": "1"}}
        journal = Journal.start(tracker.journals, f"k{at}", opening)
        for step in range(BATCH + 2):
            journal.log({"loss": math.nan if step else 1.0}, step)
        with contextlib.closing(journal):
            journal.write({"dataset": dict.fromkeys(("name", "digest", "source"), "d")
                           | {"source_type": "code", "schema": "", "profile": ""}})  # fmt: skip
            (journal.files / "a.txt").write_text("a")
            journal.write({"end": "FINISHED"})
        try:
            delivery.deliver(journal, Cut(tracker.client, at, after=after), "1", "here")
            broken = False
        except ConnectionError:
            delivery.deliver(Journal(journal.folder), tracker.client, "1", "here")
        [(run_id, status)] = runs_of(tracker, f"k{at}")
        assert (status, steps(tracker, run_id)) == ("FINISHED", list(range(BATCH + 2)))
        run = tracker.client.get_run(run_id)
        assert (run.data.params, len(run.inputs.dataset_inputs)) == ({"a": "1"}, 1)
        assert (tmp_path / "artifacts" / run_id / "artifacts" / "a.txt").read_text() == "a"
    assert at > 7  # it broke at each call


# A database that another process has locked


@contextlib.contextmanager
def lock(folder, how="IMMEDIATE"):
    """Lock the database as another process does that writes for long."""
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    try:
        other.execute(f"BEGIN {how}")
        yield
    finally:
        other.close()


@pytest.fixture
def impatient(monkeypatch):
    """MLflow waits 20 seconds for a lock, by a statement of its own."""
    real = sqlalchemy.sql.text

    def text(statement):
        return real(statement.replace("20000", "1"))

    monkeypatch.setattr("mlflow.store.db.utils.sql", SimpleNamespace(text=text))


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_database_that_is_locked_in_mid_run_stops_no_run(
    how, tracker, tmp_path, impatient, caplog, monkeypatch
):
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.WARNING, logger="bertbench")
    with (
        contextlib.ExitStack() as locked,
        tracker.run("k", "run", params={"a": 1}, tags={}) as run,
    ):
        log(run, range(3))
        locked.enter_context(lock(tmp_path, how))
        for step in range(3, 30):
            clock[0] += 4.0
            log(run, [step])
        keep_text(run, "record.json", "{}")
    away, kept = (r.getMessage() for r in caplog.records if r.name.startswith("bertbench"))
    assert "locked" in away  # said once, however often it was tried
    [journal] = journals(tmp_path / "runs")
    assert f"the run is kept in {journal.folder}: python -m bertbench sync" in kept
    assert journal.ended == "FINISHED"
    assert runs_of(tracker) == [(run.run_id, "RUNNING")]
    assert sync.main(["--store", str(tmp_path)]) == 0
    assert runs_of(tracker) == [(run.run_id, "FINISHED")]
    assert steps(tracker, run.run_id) == list(range(30))
    assert journals(tmp_path / "runs") == []


def test_a_run_on_a_database_that_is_locked_all_the_time_is_found_and_delivered_later(
    tracker, tmp_path, impatient
):
    stop_at(tracker, range(2), ZeroDivisionError)  # makes the experiment
    with lock(tmp_path), tracker_in(tmp_path).run("k", "run", params={"a": 1}, tags={}) as run:
        log(run, range(5))
        keep_text(run, "record.json", '{"mine": 1}')
    assert run.run_id == ""
    assert [status for _, status in runs_of(tracker)] == ["FAILED"]
    for _ in range(2):  # from its journal, which is delivered by that; then from MLflow
        assert tracker_in(tmp_path).find("k") == Found("FINISHED", '{"mine": 1}')
        assert sorted(status for _, status in runs_of(tracker)) == ["FAILED", "FINISHED"]
        assert journals(tmp_path / "runs") == []
    [run_id] = [run_id for run_id, status in runs_of(tracker) if status == "FINISHED"]
    assert steps(tracker, run_id) == list(range(5))


def test_a_stopped_run_on_a_locked_database_goes_on_later(tracker, tmp_path, impatient):
    stop_at(tracker, [], ZeroDivisionError)
    with lock(tmp_path):
        stop_at(tracker_in(tmp_path), range(5))
        stop_at(tracker_in(tmp_path), range(3, 8))
    with tracker_in(tmp_path).run("k", "run", params={"a": 1}, tags={}) as run:
        log(run, range(6, 10))
    assert steps(tracker, run.run_id) == list(range(10))
    assert len(runs_of(tracker)) == 2


# A remote server that goes away


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(folder, port):
    """Start an MLflow server; kill it with all its workers at the end of the block."""
    arguments = [
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
        f"{folder}/remote", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (folder / "server.log").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *arguments], cwd=folder, stdout=said,
            stderr=said, start_new_session=True, env=os.environ,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        while answers(port):
            time.sleep(0.05)


@pytest.mark.slow
def test_a_server_that_is_killed_in_mid_run_has_all_of_it_after_sync(
    tracker, tmp_path, caplog, capsys
):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with caplog.at_level(logging.WARNING, logger="bertbench"), contextlib.ExitStack() as serving:
        serving.enter_context(server(tmp_path, port))
        remote = tracker_in(tmp_path, uri)
        with remote.run("k", "run", params={"a": 1}, tags={"t": "b"}) as run:
            remote.settle(run.journal)
            log(run, range(5))
            remote.settle(run.journal)
            run_id = run.run_id
            serving.close()
            log(run, range(3, 12))
            keep_text(run, "record.json", '{"mine": 1}')
    assert "does not answer" in caplog.text
    assert "the run is kept in" in caplog.text
    assert sync.main(["--store", str(tmp_path)]) == 2  # it is still away
    assert runs_of(tracker) == [(run_id, "RUNNING")]
    with server(tmp_path, port):
        for delivered in (1, 0):
            assert sync.main(["--store", str(tmp_path)]) == 0
            assert capsys.readouterr().out.endswith(
                f"{delivered} runs delivered, 0 could not be, 0 are under way\n"
            )
        assert tracker_in(tmp_path, uri).find("k") == Found("FINISHED", '{"mine": 1}')
    assert runs_of(tracker) == [(run_id, "FINISHED")]
    assert steps(tracker, run_id) == list(range(12))
    assert journals(tmp_path / "runs") == []


def test_a_store_that_does_not_answer_is_believed_to_have_what_it_took(tracker, tmp_path, caplog):
    """Finished work is not done again because the database is locked for a while."""
    with tracker.run("k", "run", params={}, tags={}) as run:
        keep_text(run, "record.json", '{"mine": 1}')
    away = tracker_in(tmp_path)
    away._client = Dead()
    assert away.find("k") == Found("FINISHED", '{"mine": 1}')
    assert away.find("other") is None


class Dead:
    """A client of a store that is away."""

    def __getattr__(self, name):
        raise OSError("connection refused")


@pytest.mark.parametrize("gone", ["deleted", "database"])
def test_a_stopped_run_that_mlflow_lost_is_delivered_anew(gone, tracker, tmp_path, migrated):
    with (
        contextlib.suppress(KeyboardInterrupt),
        tracker.run("k", "run", params={}, tags={}) as run,
    ):
        log(run, range(3))
        raise KeyboardInterrupt
    if gone == "deleted":
        tracker.client.delete_run(run.run_id)
    else:
        tracker.client._tracking_client.store.engine.dispose()
        shutil.copy(migrated, tmp_path / "mlflow.db")
    again = tracker_in(tmp_path)
    with again.run("k", "run", params={}, tags={}) as run:
        log(run, range(5))
        keep_text(run, "record.json", "{}")
    [found] = again.client.search_runs(["1"], "tags.key = 'k'")
    assert found.info.status == "FINISHED"
    history = again.client.get_metric_history(found.info.run_id, "loss")
    assert [m.step for m in history] == [0, 1, 2, 3, 4]


def test_a_folder_that_was_moved_as_a_whole_goes_on(tmp_path, migrated, monkeypatch):
    """MLflow keeps absolute places; the old one is gone."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    shutil.copy(migrated, first / "mlflow.db")
    for folder in (first, second):
        monkeypatch.chdir(folder)
        tracker = MlflowTracker(
            uri="sqlite:///mlflow.db",
            artifacts="mlartifacts",
            experiment="e",
            journals=Path("runs"),
        )
        if folder == first:
            with tracker.run("k", "run", params={}, tags={}) as run:
                keep_text(run, "record.json", "{}")
            tracker.client._tracking_client.store.engine.dispose()
            first.rename(second)
    assert tracker.find("k") == Found("FINISHED", "{}")
    [found] = tracker.client.search_runs(["1"], "tags.key = 'k'")
    assert found.info.artifact_uri.startswith(second.as_uri())
    assert not first.exists()
