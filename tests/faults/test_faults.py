"""Whatever happens to a sweep, it ends as an undisturbed one does, and nothing is done twice."""

import concurrent.futures
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from harness import SETTINGS, differences, environment, finish, runs, said, start
from kill import disturb

from bertbench.progress import SUFFIX

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("BERTBENCH_KILLS", "2"))
PAIR = ["-m", *SETTINGS, "mode=frozen,full"]  # one encoder, two ways to use it


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, migrated):
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(migrated, folder / "mlflow.db")
    finish(folder, *PAIR)
    return folder


@pytest.fixture
def work(tmp_path, migrated):
    """A folder with an MLflow database without runs; making one takes seconds."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    return folder


def wait_for(find, process, seconds=90):
    """Wait until `find()` has something; return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := find():
            return found
        assert process.poll() is None, "the sweep ended before what was waited for"
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def states(folder, kind):
    """Return the saved states of trainings of that kind: encoder or transfer."""
    return list((folder / ".bertbench/partial").glob(f"{kind}-*/**/*{SUFFIX}"))


def cut_in(folder, kind):
    """Start the sweep and kill it in the middle of a training; return the saved state."""
    process = start(folder, *PAIR)
    wait_for(lambda: states(folder, kind), process)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    found = states(folder, kind)
    assert found, "the training was over before it was killed"
    return found[-1]


def test_a_sweep_killed_at_random_moments(tmp_path):
    assert disturb(tmp_path, kills=KILLS, seed=0) == []


@pytest.mark.parametrize("kind", ["encoder", "transfer"])
def test_a_flipped_byte_in_the_state_of_a_training(kind, work, undisturbed):
    state = cut_in(work, kind)
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(bytes(data))
    finish(work, *PAIR)
    assert "damaged" in said(work)
    assert differences(work, undisturbed) == []


@pytest.mark.parametrize("kind", ["encoder", "features"])
def test_a_truncated_file_in_the_store(kind, work, undisturbed):
    """Set aside with a warning and made again, with the same bits."""
    shutil.copytree(undisturbed / ".bertbench", work / ".bertbench")
    largest = max((work / ".bertbench" / kind).rglob("*.*"), key=lambda p: p.stat().st_size)
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size // 2)
    finish(work, *PAIR)
    assert "set aside" in said(work)
    shutil.rmtree(next((work / ".bertbench" / kind).glob("*.damaged-*")))
    assert differences(work, undisturbed) == []


def test_locks_left_by_dead_processes(work, undisturbed):
    """A process is killed while it holds every lock that the sweep will need."""
    locks = work / ".bertbench/locks"
    locks.mkdir(parents=True)
    names = [p.name for p in (undisturbed / ".bertbench/locks").glob("*.lock")]
    holder = multiprocessing.get_context("spawn").Process(
        target=hold, args=([str(locks / name) for name in names], str(work / "held"))
    )
    holder.start()
    while not (work / "held").exists():
        time.sleep(0.01)
    for name in names:
        owner = '{"doing": "nothing", "process": 1, "host": "gone"}'
        (locks / name).with_suffix(".owner").write_text(owner)
    holder.kill()
    holder.join()
    finish(work, *PAIR)
    assert differences(work, undisturbed) == []


def hold(paths, note):
    for path in paths:
        FileLock(path).acquire()
    Path(note).touch()
    time.sleep(600)


def test_a_full_disk_while_a_state_is_written(work, undisturbed):
    """The largest file allowed is smaller than a state, but not than what else is written."""
    largest = 200 * 1024  # bytes; a state is larger, an encoder's weights are not
    with (work / "said.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "bertbench", *PAIR], cwd=work, stdout=log, stderr=log,
            env=environment(), check=False, timeout=300,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
        )  # fmt: skip
    assert "is not saved" in said(work) or "takes no more" in said(work)
    assert "Traceback" not in said(work)
    finish(work, *PAIR)
    assert differences(work, undisturbed) == []


def test_a_database_locked_for_half_a_minute(work, undisturbed):
    process = start(work, *PAIR)
    wait_for(lambda: list((work / ".bertbench").glob("partial/encoder-*")), process)
    database = sqlite3.connect(work / "mlflow.db", isolation_level=None, timeout=30)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(30)
    database.execute("ROLLBACK")
    database.close()
    assert process.wait(timeout=300) == 0, said(work)
    finish(work, "sync")
    assert differences(work, undisturbed) == []


def test_eight_processes_at_once_in_an_empty_folder(work):
    """All finish; one pretraining, one database, all runs there once."""
    (work / "mlflow.db").unlink()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda seed: finish(
                    work, *SETTINGS, "mode=frozen", f"seed={seed}", f"name=sheet{seed}"
                ),
                range(8),
            )
        )
    found = runs(work)
    assert len(found) == len({key for key, _ in found}) == 16  # eight, each with its baseline
    assert {status for _, status in found} == {"FINISHED"}
    assert len(re.findall(r"pretraining bert", said(work))) == 1
    assert len(list((work / ".bertbench/encoder").glob("*"))) == 1
    assert len(list((work / "outputs").iterdir())) == 8


def test_jobs_side_by_side_give_the_same_bits_as_one_after_another(work, undisturbed):
    """Both with one thread; the launcher shares the cores out."""
    finish(work, *PAIR, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert differences(work, undisturbed) == []


def test_an_interrupt_stops_cleanly_and_goes_on(work, undisturbed):
    """Once: the step ends, the state is saved, nothing begins, the sheet of what is done is written."""
    process = start(work, *PAIR)
    wait_for(lambda: states(work, "transfer"), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    text = said(work)
    assert "stopping after this step" in text
    assert "stopped with 1 of 2 jobs finished" in text
    assert "Traceback" not in text
    assert states(work, "transfer")
    assert ("KILLED" in {status for _, status in runs(work)}) is True
    finish(work, *PAIR)
    assert differences(work, undisturbed) == []
