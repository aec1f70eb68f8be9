"""One process at a time has a lock; who waits says for whom, and the dead hold nothing."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from bertbench import interrupt
from bertbench.locks import held, locked

HOLDER = """
import sys
from pathlib import Path
from bertbench.locks import locked
with locked(Path(sys.argv[1]), "thing", doing="making a thing"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def holder(folder):
    """Let another process hold the lock until it is told to let go, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            let_go(process)


def let_go(process):
    with contextlib.suppress(BrokenPipeError, ValueError):  # it was killed or let go before
        process.stdin.close()
    process.wait(60)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def asked():
    """Ask this process to stop, as Ctrl-C does, when called."""

    def ask():
        interrupt._State.requested = True

    yield ask
    interrupt.forget()


@pytest.fixture
def said(caplog):
    """What was logged by those who wait."""
    caplog.set_level(logging.INFO, logger="bertbench.locks")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_lock_is_free_again_after_its_block(tmp_path, said):
    with locked(tmp_path, "thing", doing="making"):
        assert held(tmp_path, "thing")
    assert not held(tmp_path, "thing")
    with pytest.raises(KeyboardInterrupt), locked(tmp_path, "thing", doing="making"):
        raise KeyboardInterrupt
    assert not held(tmp_path, "thing")
    assert said() == []


def test_never_two_are_inside_at_once(tmp_path):
    inside, most, entered = 0, 0, 0

    def work():
        nonlocal inside, most, entered
        for _ in range(5):
            with locked(tmp_path, "thing", doing="counting"):
                inside, entered = inside + 1, entered + 1
                most = max(most, inside)
                time.sleep(0.002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, entered) == (1, 15)


def test_other_names_do_not_wait_for_each_other(tmp_path, said):
    with locked(tmp_path, "one", doing="a"), locked(tmp_path, "two", doing="b"):
        assert held(tmp_path, "one")
        assert held(tmp_path, "two")
        assert not held(tmp_path, "three")
    assert said() == []


def test_held_says_whether_another_process_or_this_one_has_it(tmp_path):
    with holder(tmp_path) as process:
        assert held(tmp_path, "thing")
        let_go(process)
        assert not held(tmp_path, "thing")
    with locked(tmp_path, "thing", doing="making"):
        assert held(tmp_path, "thing")


def test_asking_who_holds_a_lock_changes_nothing(tmp_path):
    assert not held(tmp_path, "thing")
    assert contents(tmp_path) == {}
    with holder(tmp_path):
        before = contents(tmp_path)
        assert [held(tmp_path, "thing") for _ in range(3)] == [True] * 3
        assert contents(tmp_path) == before
    before = contents(tmp_path)
    assert not held(tmp_path, "thing")
    assert contents(tmp_path) == before


def test_a_killed_process_holds_nothing(tmp_path, said):
    with holder(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        assert (tmp_path / "thing.owner").exists()  # it could not say that it left
        assert not held(tmp_path, "thing")
        with locked(tmp_path, "thing", doing="going on"):
            owner = json.loads((tmp_path / "thing.owner").read_text())
            assert owner["process"] == os.getpid()
    assert said() == []


@pytest.mark.parametrize("left", [b"", b"4711", b"\x00\xff"])
def test_a_lock_file_that_was_left_behind_is_free(left, tmp_path, said):
    (tmp_path / "thing.lock").write_bytes(left)
    assert not held(tmp_path, "thing")
    with locked(tmp_path, "thing", doing="making"):
        pass
    assert said() == []


def test_who_waits_says_for_whom_and_how_long(tmp_path, said):
    with holder(tmp_path) as process:
        threading.Timer(0.3, let_go, [process]).start()
        with locked(tmp_path, "thing", doing="making another"):
            assert process.wait(60) == 0  # it had let go
    waiting, waited = said()
    me = f"process {process.pid} on {socket.gethostname()}: making a thing"
    assert waiting == f"waiting for {me}"
    assert waited.startswith("waited ")
    assert waited.endswith(" s for making another")


@pytest.mark.parametrize(
    "owner", [None, b"", b"{", b"[]", b"null", b'{"process": 1}', b"\xff\xfe"], ids=repr
)
def test_who_cannot_tell_for_whom_says_what_for(owner, tmp_path, said, asked):
    with locked(tmp_path, "thing", doing="making"):
        (tmp_path / "thing.owner").unlink()
        if owner is not None:
            (tmp_path / "thing.owner").write_bytes(owner)
        asked()
        with pytest.raises(KeyboardInterrupt):
            locked(tmp_path, "thing", doing="making too").__enter__()
    assert said() == ["waiting for making too"]


@pytest.mark.parametrize("delay", [0, 0.3])
def test_a_waiter_that_is_asked_to_stop_stops_and_disturbs_nobody(delay, tmp_path, asked):
    with holder(tmp_path) as process:
        before = contents(tmp_path)
        timer = threading.Timer(delay, asked)
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            locked(tmp_path, "thing", doing="making too").__enter__()
        assert time.monotonic() - started < 5
        timer.join()
        assert held(tmp_path, "thing")
        assert contents(tmp_path) == before
        interrupt.forget()
        let_go(process)
        with locked(tmp_path, "thing", doing="making too"):
            pass


def test_nobody_is_the_owner_of_a_free_lock(tmp_path):
    with locked(tmp_path, "thing", doing="making"):
        owner = json.loads((tmp_path / "thing.owner").read_text())
    assert owner == {"doing": "making", "process": os.getpid(), "host": socket.gethostname()}
    assert not (tmp_path / "thing.owner").exists()


def test_an_owner_file_that_cannot_be_written_or_removed_stops_nobody(tmp_path):
    """It is only for those who wait."""
    (tmp_path / "thing.owner").mkdir()
    for _ in range(2):
        with locked(tmp_path, "thing", doing="making"):
            assert held(tmp_path, "thing")
        assert not held(tmp_path, "thing")
