"""`store`, `status`, `sync`: they say what is there, and remove or send only what they are asked to."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertbench.commands import status, store, sync
from bertbench.errors import UserError
from bertbench.statuses import announce, reporting
from bertbench.store import MANIFEST, RUNS, Store
from bertbench.tracking.journal import FINISHED, Journal, journals
from bertbench.tracking.tracker import MlflowTracker

DAY = 86400.0
AWAY = "http://127.0.0.1:9"  # nobody listens there
KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def entry(name, *users, size=1000, days=0.0):
    """Make an entry that was last used so many days ago; return its folder."""
    for user in users or ("",):
        folder = Store(Path(".bertbench"), user=user).entry(
            "encoder", {"name": name}, lambda folder: (folder / "a").write_bytes(b"a" * size)
        )
    then = time.time() - days * DAY
    for path in (folder / MANIFEST, *Path(f".bertbench/uses/encoder-{folder.name}").iterdir()):
        os.utime(path, (then, then))
    return folder


def files():
    return {path for path in Path().rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def say(capsys):
    """Run a command; return its lines."""

    def run(command, *arguments, code=0):
        assert command.main(list(arguments)) == code
        return capsys.readouterr().out.splitlines()

    return run


# store


def test_the_store_lists_each_entry_with_size_age_and_users(say):
    old = entry("old", "roberta on bbc", "bert on bbc", "albert on bbc", size=3 * 2**20, days=40)
    new = entry("new")
    before = files()
    heading, first, second, total = say(store)
    assert heading.split() == ["kind", "key", "size", "made", "used", "by"]
    assert first.split()[:8] == ["encoder", old.name, "3.0", "M", "6w", "ago", "6w", "ago"]
    assert first.endswith("  albert on bbc; bert on bbc and 1 more")
    assert second.split() == ["encoder", new.name, "1.1", "K", "now", "now", "nobody", "known"]
    assert total == "2 entries, 3.0 M"
    assert say(store, "list", "--store", ".bertbench")[1:] == [first, second, total]
    assert files() == before


@pytest.mark.parametrize("arguments", [[], ["prune", "--older-than", "1d"]])
def test_a_store_that_is_not_there_is_refused_and_not_made(arguments, tmp_path):
    (tmp_path / "file").touch()
    for name in (".bertbench", "file"):
        with pytest.raises(UserError, match=f"--store {name} is no folder"):
            store.main([*arguments, "--store", name])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


AGES = {  # of an entry last used ten days ago: does it go?
    "9d": True, "11d": False, "239h": True, "241h": False, "1w": True, "2w": False,
    "1.4w": True, "1.5w": False, "14399m": True, "14401m": False, "0m": True,
}  # fmt: skip


@pytest.mark.parametrize(("age", "goes"), AGES.items())
def test_prune_removes_what_was_unused_for_that_long(age, goes, say):
    folder = entry("old", days=10)
    assert say(store, "prune", "--older-than", age) == (
        [f"removed encoder {folder.name} (1.1 K)"] if goes else ["nothing to remove"]
    )
    assert folder.exists() != goes


@pytest.mark.parametrize(
    ("limit", "left"), [("0K", 0), ("1.9K", 0), ("2.5K", 1), ("4.2K", 2), ("1M", 3), ("0.5G", 3)]
)
def test_prune_removes_the_longest_unused_down_to_a_size(limit, left, say):
    folders = [
        entry(name, size=2000, days=days) for name, days in zip("abc", (3, 9, 1), strict=True)
    ]
    say(store, "prune", "--max-size", limit)
    by_use = [folders[2], folders[0], folders[1]]
    assert [folder.exists() for folder in by_use] == [n < left for n in range(3)]


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--older-than", ["", "30", "d", "30D", "30 d", "-1d", "1y", "1e3d", "nan", "infd", ".d"]),
        ("--max-size", ["", "2", "G", "2g", "2GB", "-2G", "2 G", "1e3M", "inf", "2,5G", "2B"]),
    ],
)
def test_an_age_or_size_that_is_none_is_one_sentence(flag, values):
    folder = entry("old", days=1000)
    for value in values:
        with pytest.raises(UserError, match=flag) as caught:
            store.main(["prune", f"{flag}={value}"])
        assert f"{flag} {value} is no " in str(caught.value)
        assert "such as" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert folder.exists()


def test_prune_without_a_limit_removes_nothing():
    folder = entry("old", days=1000)
    with pytest.raises(UserError, match="needs a limit: --older-than 30d"):
        store.main(["prune"])
    assert folder.exists()


def test_a_dry_run_says_what_prune_then_does(say):
    entry("old", days=10)
    held = entry("held", days=10)
    entry("new")
    (Path(".bertbench/encoder") / ".work-123-dead").mkdir()
    with Store(Path(".bertbench")).lock(f"encoder-{held.name}", doing="reading"):
        before = files()
        would = say(store, "prune", "--older-than", "1d", "--dry-run")
        assert files() == before
        did = say(store, "prune", "--older-than", "1d")
    assert [line.replace("would remove", "removed") for line in would] == did
    assert len(did) == 3
    assert f"in use, stays: encoder {held.name} (1.1 K)" in did
    assert held.exists()


def test_prune_keeps_what_nobody_can_make_again(say):
    """The state of a training that was interrupted, and runs that MLflow does not have."""
    opened = Store(Path(".bertbench"))
    state = opened.partial("encoder", {"name": "begun"})
    state.mkdir(parents=True)
    (state / "weights").touch()
    runs = opened.root / RUNS
    runs.mkdir()
    journal = Journal.start(runs, KEY, {"title": "run", "params": {}, "tags": {}})
    assert say(store, "prune", "--older-than", "0m", "--max-size", "0K") == ["nothing to remove"]
    assert (state / "weights").exists()
    assert journal.folder.exists()


def test_what_was_pruned_is_made_again_when_needed(say):
    folder = entry("old", "somebody", days=10)
    say(store, "prune", "--older-than", "1d")
    assert entry("old", "somebody else") == folder
    assert say(store)[1].endswith("  somebody else")


# status


def sweep(name, *states):
    """Leave the folder of a sweep; None: that job did not begin."""
    folder = Path("outputs") / name
    announce(folder, [[f"seed={n}"] for n in range(len(states))], "python -m bertbench -m seed=0")
    for number, state in enumerate(states):
        if state is not None:
            with reporting(folder / str(number), [f"seed={number}"]) as said:
                said |= {"state": state, "error": "the reason"}
    return folder


def test_status_shows_each_job_of_the_newest_sweep_and_how_many_are_how(say):
    sweep("2024-01-01", "finished")
    folder = sweep("2024-01-02", "finished", "failed", "skipped", "stopped", None)
    with reporting(folder / "5", ["seed=5"]):
        lines = say(status)
    assert lines[0] == (
        f"{folder}: 6 jobs, 1 finished, 1 failed, 1 skipped, 1 stopped, 1 waiting, 1 running"
    )
    assert lines[1] == "  python -m bertbench -m seed=0"
    assert lines[4] == "        the reason"
    assert [line.split() for line in (*lines[2:4], *lines[5:])] == [
        ["0", "finished", "0", "s", "seed=0"],
        ["1", "failed", "0", "s", "seed=1"],
        ["2", "skipped", "0", "s", "seed=2"],
        ["3", "stopped", "0", "s", "seed=3"],
        ["4", "waiting", "seed=4"],
        ["5", "running", "0", "s", "seed=5"],
    ]


def test_status_of_a_named_sweep_and_of_all(say):
    first, second = sweep("a", "finished"), sweep("b", "failed")
    with reporting(Path("outputs/c"), []) as said:  # a run alone
        said["state"] = "finished"
    assert say(status, str(first))[0] == f"{first}: 1 jobs, 1 finished"
    headings = [line for line in say(status, "--all") if line.startswith("outputs")]
    assert headings == [
        f"{first}: 1 jobs, 1 finished", f"{second}: 1 jobs, 1 failed",
        "outputs/c: 1 jobs, 1 finished",
    ]  # fmt: skip
    assert say(status) == [headings[2], "     c  finished       0 s  defaults"]


@pytest.mark.parametrize("name", ["no", "outputs", "outputs/file"])
def test_a_folder_without_jobs_is_refused(name):
    Path("outputs").mkdir()
    Path("outputs/file").touch()
    with pytest.raises(UserError, match=f"{name} is no output folder"):
        status.main([name])
    with pytest.raises(UserError, match="no runs below outputs/"):
        status.main([])


def test_status_says_which_runs_mlflow_lacks(say, tmp_path):
    sweep("a", "finished")
    assert "sync" not in "\n".join(say(status))
    leave("a", end=None)
    assert "sync" not in "\n".join(say(status))  # under way
    leave("b")
    leave("c", end="FAILED")
    assert say(status)[-1] == "2 runs that ended are not in MLflow yet: python -m bertbench sync"


# sync


def leave(title, uri=AWAY, end=FINISHED, steps=3):
    """Leave the journal of a run whose MLflow was away."""
    runs = Path(".bertbench") / RUNS
    runs.mkdir(parents=True, exist_ok=True)
    target = {"uri": uri, "artifacts": str(Path("files").absolute()), "experiment": "test"}
    opening = {"title": title, "params": {"a": 1}, "tags": {}} | target
    journal = Journal.start(runs, title * 64, opening)
    for step in range(steps):
        journal.log({"loss": float(step)}, step)
    (journal.files / "a.txt").write_text(title)
    if end:
        journal.write({"end": end})
    journal.close()
    return journal


@pytest.fixture
def database(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def arrived(uri):
    """Return (title, status, steps, text of a.txt) of each run of a store."""
    tracker = MlflowTracker(uri=uri, artifacts="a", experiment="test", journals=Path("runs"))
    client = tracker.client
    found = []
    for run in client.search_runs([client.get_experiment_by_name("test").experiment_id]):
        steps = sorted(m.step for m in client.get_metric_history(run.info.run_id, "loss"))
        text = Path(f"files/{run.info.run_id}/artifacts/a.txt")
        found.append(
            (run.info.run_name, run.info.status, steps, text.exists() and text.read_text())
        )
    return sorted(found)


def test_sync_delivers_each_run_once(say, database):
    for title, end in (("a", "FINISHED"), ("b", "FAILED")):
        leave(title, database, end)
    assert say(sync) == ["2 runs delivered, 0 could not be, 0 are under way"]
    expected = [("a", "FINISHED", [0, 1, 2], "a"), ("b", "FAILED", [0, 1, 2], "b")]
    assert arrived(database) == expected
    assert say(sync) == ["0 runs delivered, 0 could not be, 0 are under way"]
    assert arrived(database) == expected
    assert journals(Path(".bertbench/runs")) == []


def test_sync_delivers_a_stopped_run_and_keeps_its_journal_to_go_on(say, database):
    journal = leave("a", database, end=None)
    for _ in range(2):
        assert say(sync) == ["1 runs delivered, 0 could not be, 0 are under way"]
        assert arrived(database) == [("a", "KILLED", [0, 1, 2], False)]
    assert journal.folder.exists()


def test_sync_leaves_alone_what_a_process_is_at(say, database):
    journal = leave("a", database, end=None)
    with Store(Path(".bertbench")).lock(f"run-{'a' * 20}", doing="the run a"):
        assert say(sync) == ["0 runs delivered, 0 could not be, 1 are under way"]
    assert arrived(database) == []
    assert Journal(journal.folder).events == journal.events


def test_sync_says_what_could_not_be_delivered_and_keeps_it(say, database):
    journal = leave("a", AWAY)
    leave("b", database)
    assert say(sync, code=2) == ["1 runs delivered, 1 could not be, 0 are under way"]
    assert [j.folder for j in journals(Path(".bertbench/runs"))] == [journal.folder]
    assert Journal(journal.folder).events == journal.events
    assert [run[0] for run in arrived(database)] == ["b"]


def test_sync_delivers_elsewhere_on_request(say, database):
    leave("a", AWAY)
    assert say(sync, "--uri", database) == ["1 runs delivered, 0 could not be, 0 are under way"]
    assert arrived(database) == [("a", "FINISHED", [0, 1, 2], "a")]


def test_sync_without_a_store_is_refused():
    with pytest.raises(UserError, match=r"--store \.bertbench is no folder here"):
        sync.main([])


def test_sync_goes_on_after_a_run_whose_place_cannot_be(say, database, capsys):
    leave("a", "sqlite:////no/folder/mlflow.db")
    leave("b", database)
    assert sync.main([]) == 2
    said = capsys.readouterr()
    assert said.out == "1 runs delivered, 1 could not be, 0 are under way\n"
    assert "a: tracking.uri=sqlite:////no/folder/mlflow.db" in said.err
    assert [run[0] for run in arrived(database)] == ["b"]


def test_what_one_store_has_of_a_run_does_not_count_for_another(say, database, migrated):
    shutil.copy(migrated, "other.db")
    journal = leave("a", database, end=None)
    assert say(sync) == ["1 runs delivered, 0 could not be, 0 are under way"]
    again = Journal(journal.folder)
    again.write({"end": FINISHED})
    again.close()
    other = f"sqlite:///{Path('other.db').absolute()}"
    assert say(sync, "--uri", other) == ["1 runs delivered, 0 could not be, 0 are under way"]
    assert [run[:3] for run in arrived(other)] == [("a", "FINISHED", [0, 1, 2])]


def test_sync_counts_a_run_that_ends_meanwhile_as_delivered(say, database, monkeypatch):
    journal = leave("a", database, end=None)
    held = sync.held

    def ends(folder, name):
        journal.remove()
        return held(folder, name)

    monkeypatch.setattr(sync, "held", ends)
    assert say(sync) == ["1 runs delivered, 0 could not be, 0 are under way"]


def test_prune_clears_a_journal_whose_removal_was_cut_off(say, database, monkeypatch):
    journal = leave("a", database)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        journal.remove()
    say(store, "prune", "--older-than", "0m")
    assert list(Path(".bertbench/runs").iterdir()) == []


@pytest.mark.parametrize("command", ["store", "status", "sync"])
def test_the_front_door_knows_the_command(command, tmp_path):
    arguments = [sys.executable, "-m", "bertbench", command]
    found = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("bertbench: ")
    assert len(found.stderr.splitlines()) == 1
