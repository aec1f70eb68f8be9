"""What a job says of itself is true, also when it can say nothing any more."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bertbench.statuses import (
    FAILED,
    FINISHED,
    LOCK,
    RUNNING,
    STATUS,
    STOPPED,
    SWEEP,
    WAITING,
    announce,
    read_job,
    read_sweep,
    reporting,
)

JOBS = [["model=bert", "seed=0"], ["model=bert", "seed=1"], ["model=tfidf", "seed=0"]]
CHILD = """
import sys
from pathlib import Path
from bertbench.statuses import announce, reporting
folder = Path(sys.argv[1])
announce(folder, [["seed=0"], ["seed=1"]], "command")
with reporting(folder / "0", ["seed=0"]):
    print("running", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def sweeping(folder):
    """A process that has announced two jobs and is at the first; it dies as it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "running\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


def states(folder):
    return [job.state for job in read_sweep(folder)[1]]


def report(folder, state, overrides=(), **said):
    with reporting(folder, list(overrides)) as status:
        status |= {"state": state} | said


def files(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


# One job


@pytest.mark.parametrize("state", [FINISHED, FAILED, STOPPED])
def test_a_job_is_running_and_then_what_it_says(state, tmp_path):
    folder = tmp_path / "deep" / "7"
    with reporting(folder, ["seed=3"]) as status:
        job = read_job(folder)
        assert (job.name, job.state, job.overrides) == ("7", RUNNING, ["seed=3"])
        assert job.seconds >= 0
        status |= {"state": state, "keys": ["k"]}
        assert read_job(folder).state == RUNNING  # until its end
    job = read_job(folder)
    assert (job.state, job.overrides, job.status["keys"]) == (state, ["seed=3"], ["k"])
    assert job.seconds == job.status["seconds"] >= 0


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_job_that_ends_without_a_word_was_stopped(error, tmp_path):
    with pytest.raises(error), reporting(tmp_path, []):
        raise error
    assert read_job(tmp_path).state == STOPPED


def test_what_a_job_said_before_its_error_is_kept(tmp_path):
    with contextlib.suppress(SystemExit), reporting(tmp_path, []) as status:
        status |= {"state": FAILED, "error": "why"}
        raise SystemExit
    job = read_job(tmp_path)
    assert (job.state, job.status["error"]) == (FAILED, "why")


def test_a_killed_job_was_stopped(tmp_path):
    with sweeping(tmp_path) as process:
        assert read_job(tmp_path / "0").state == RUNNING
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        job = read_job(tmp_path / "0")
        assert json.loads((tmp_path / "0" / STATUS).read_text())["state"] == RUNNING
        assert (job.state, job.seconds) == (STOPPED, None)


def test_a_stopped_job_may_begin_again(tmp_path):
    with sweeping(tmp_path):
        pass
    with reporting(tmp_path / "0", ["seed=0"]) as status:
        assert read_job(tmp_path / "0").state == RUNNING
        status["state"] = FINISHED
    assert read_job(tmp_path / "0").state == FINISHED


BROKEN = ["", "{", "[]", "null", '"text"', "{}", '{"state": "running"}', "\0\0\0"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_status_that_a_power_cut_broke_is_none(text, tmp_path):
    (tmp_path / STATUS).write_text(text)
    (tmp_path / f"{LOCK}.lock").touch()
    assert read_job(tmp_path) is None
    assert read_sweep(tmp_path) == ({}, [])


def test_a_folder_without_status_has_no_job(tmp_path):
    assert read_job(tmp_path) is None
    assert read_job(tmp_path / "nothing") is None
    (tmp_path / "file").touch()
    assert read_job(tmp_path / "file") is None


def test_who_reads_while_a_job_writes_never_sees_half_a_status(tmp_path):
    report(tmp_path, FINISHED)
    done, seen = threading.Event(), []

    def read():
        while not done.is_set():
            seen.append(json.loads((tmp_path / STATUS).read_text()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(100):
            report(tmp_path, FINISHED, keys=["k" * 5000] * (number % 7))
    finally:
        done.set()
        reader.join(60)
    assert seen
    assert all({"state", "started"} <= status.keys() for status in seen)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{LOCK}.lock", STATUS]


# A sweep


def test_a_sweep_that_was_announced_waits(tmp_path):
    announce(tmp_path / "sweep", JOBS, "python -m bertbench -m")
    sweep, jobs = read_sweep(tmp_path / "sweep")
    assert sweep["command"] == "python -m bertbench -m"
    assert [(job.name, job.state, job.overrides, job.status) for job in jobs] == [
        (str(number), WAITING, overrides, {}) for number, overrides in enumerate(JOBS)
    ]
    assert [job.seconds for job in jobs] == [None] * 3


def test_what_a_job_says_counts_more_than_the_plan(tmp_path):
    announce(tmp_path, JOBS, "command")
    report(tmp_path / "0", FINISHED, ["seed=9"])
    report(tmp_path / "2", FAILED, JOBS[2], error="why")
    assert states(tmp_path) == [FINISHED, WAITING, FAILED]
    assert read_sweep(tmp_path)[1][0].overrides == ["seed=9"]


def test_jobs_that_never_began_wait_while_the_sweep_lives_and_are_stopped_after_it(tmp_path):
    with sweeping(tmp_path) as process:
        assert states(tmp_path) == [RUNNING, WAITING]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        assert states(tmp_path) == [STOPPED, STOPPED]


def test_a_sweep_on_another_machine_is_taken_to_live(tmp_path):
    with sweeping(tmp_path):
        pass
    sweep = json.loads((tmp_path / SWEEP).read_text())
    assert (sweep["host"], states(tmp_path)[1]) == (socket.gethostname(), STOPPED)
    (tmp_path / SWEEP).write_text(json.dumps(sweep | {"host": "elsewhere"}))
    assert states(tmp_path)[1] == WAITING


def test_jobs_come_in_their_order(tmp_path):
    announce(tmp_path, [[f"seed={number}"] for number in range(12)], "command")
    for number in (11, 3, 10):
        report(tmp_path / str(number), FINISHED)
    assert [job.name for job in read_sweep(tmp_path)[1]] == [str(n) for n in range(12)]


def test_more_jobs_than_planned_are_all_there(tmp_path):
    """As where the plan could not be told before: `glob(*)`."""
    announce(tmp_path, [], "command")
    for number in range(2):
        report(tmp_path / str(number), FINISHED)
    assert states(tmp_path) == [FINISHED, FINISHED]


def test_a_run_alone_is_a_sweep_of_one(tmp_path):
    report(tmp_path, FINISHED, ["seed=1"])
    sweep, [job] = read_sweep(tmp_path)
    assert (sweep, job.state, job.overrides) == ({}, FINISHED, ["seed=1"])


@pytest.mark.parametrize("text", BROKEN)
def test_an_announcement_that_a_power_cut_broke_hides_no_job(text, tmp_path):
    (tmp_path / SWEEP).write_text(text)
    report(tmp_path / "0", FINISHED)
    assert states(tmp_path) == [FINISHED]


def test_no_folder_has_no_jobs(tmp_path):
    (tmp_path / "file").touch()
    assert read_sweep(tmp_path) == read_sweep(tmp_path / "no") == ({}, [])
    assert read_sweep(tmp_path / "file") == ({}, [])


def test_reading_changes_nothing(tmp_path):
    with sweeping(tmp_path):
        before = files(tmp_path)
        assert states(tmp_path) == [RUNNING, WAITING]
        assert files(tmp_path) == before
    states(tmp_path)
    assert files(tmp_path) == before


def test_a_full_disk_costs_the_status_and_not_the_job(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with reporting(tmp_path / "0", ["a=1"]) as status:
            status["state"] = "finished"
    assert "No space left" in caplog.text
