"""What a run said is read again after whatever happened to its process; no step is said twice."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bertbench.tracking.journal import (
    DELIVERED,
    FAILED,
    FILES,
    FINISHED,
    LINES,
    Delivered,
    Journal,
    journals,
)

KEY = "0123456789abcdef" * 4
OPENING = {"title": "a run", "params": {"a": {"b": 1}}, "tags": {"seed": "0"}}


@pytest.fixture
def journal(tmp_path):
    started = Journal.start(tmp_path, KEY, OPENING)
    yield started
    started.close()


def again(journal):
    """The journal as another process reads it."""
    return Journal(journal.folder)


def said(journal):
    """What was said, without the time."""
    return [{k: v for k, v in event.items() if k != "time"} for event in journal.events[1:]]


def child(code, *arguments):
    """Run code in a process that may die of it; return what it printed."""
    script = "import os, signal, sys\nfrom pathlib import Path\n"
    script += f"from bertbench.tracking.journal import Journal\n{code}"
    found = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in found.stderr, found.stderr
    return found.stdout


# Lines


def test_what_was_said_is_read_again(journal):
    journal.log({"loss": 2.5, "lr": 1e-4}, 1)
    journal.write({"dataset": {"name": "bbc"}})
    journal.log({"loss": 2}, 2)
    found = again(journal)
    assert found.events == journal.events
    assert found.opening == OPENING | {"key": KEY, "journal": journal.folder.name}
    assert said(found) == [
        {"metrics": {"loss": 2.5, "lr": 1e-4}, "step": 1},
        {"dataset": {"name": "bbc"}},
        {"metrics": {"loss": 2.0}, "step": 2},
    ]
    times = [event["time"] for event in found.events]
    assert times == sorted(times)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324])
def test_a_value_is_read_bit_by_bit(value, journal):
    journal.log({"a": value}, 0)
    assert repr(said(again(journal))[0]["metrics"]["a"]) == repr(value)


@pytest.mark.parametrize("text", ["Zürich\n\r\u2028\x85\0", "\ud800", '"\\'])
def test_no_character_breaks_a_line(text, journal):
    journal.write({"dataset": {"name": text}})
    journal.write({"dataset": {"name": "next"}})
    assert said(again(journal)) == [{"dataset": {"name": text}}, {"dataset": {"name": "next"}}]


def test_a_step_that_was_said_is_not_said_again(journal):
    for number in range(3):
        journal.log({"loss": float(number)}, 7)
    assert said(journal) == [{"metrics": {"loss": 0.0}, "step": 7}]
    journal.log({"loss": 9.0, "lr": 1.0}, 7)
    journal.log({"loss": 9.0}, 8)
    assert said(journal)[1:] == [
        {"metrics": {"lr": 1.0}, "step": 7},
        {"metrics": {"loss": 9.0}, "step": 8},
    ]


def test_nor_by_the_process_that_goes_on(journal):
    for step in range(5):
        journal.log({"loss": step}, step)
    journal.close()
    second = again(journal)
    for step in range(3, 8):  # from an older checkpoint
        second.log({"loss": step}, step)
    second.close()
    assert [event["step"] for event in said(again(journal))] == list(range(8))


def test_lines_survive_the_kill_of_their_process(journal):
    child(
        "journal = Journal(Path(sys.argv[1]))\n"
        "for step in range(100): journal.log({'loss': step}, step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        journal.folder,
    )
    assert [event["step"] for event in said(again(journal))] == list(range(100))


def test_a_torn_last_line_is_dropped_and_overwritten_wherever_it_was_cut(journal):
    for step in range(3):
        journal.log({"loss": step}, step)
    journal.close()
    whole = (journal.folder / LINES).read_bytes()
    kept = len(b"".join(whole.splitlines(keepends=True)[:-1]))
    for cut in range(kept, len(whole)):
        (journal.folder / LINES).write_bytes(whole[:cut])
        torn = again(journal)
        assert torn.events == journal.events[:-1]
        assert (journal.folder / LINES).read_bytes() == whole[:cut]  # reading mends nothing
        torn.log({"loss": 2}, 2)
        torn.log({"loss": 3}, 3)
        torn.close()
        assert [event["step"] for event in said(again(journal))] == [0, 1, 2, 3]
        lines = (journal.folder / LINES).read_text().splitlines()
        assert [json.loads(line) for line in lines] == again(journal).events


@pytest.mark.parametrize("garbage", [b"\0" * 500, b"[]\n", b"null\n{}", b"\xff\xfe\n", b"\n"])
def test_what_a_power_cut_left_after_the_last_line_is_overwritten(garbage, journal):
    journal.log({"loss": 1}, 1)
    journal.close()
    with (journal.folder / LINES).open("ab") as lines:
        lines.write(garbage)
    torn = again(journal)
    torn.log({"loss": 2}, 2)
    torn.close()
    assert [event["step"] for event in said(again(journal))] == [1, 2]
    assert len((journal.folder / LINES).read_bytes().splitlines()) == 3


def test_a_full_disk_costs_the_line_that_did_not_fit_and_no_other(journal):
    code = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(Path(sys.argv[1]))
for step in range(100):
    try:
        journal.log({"loss": step}, step)
    except OSError:
        print(step, flush=True)
        os._exit(0)
"""
    full_at = int(child(code, journal.folder))
    found = again(journal)
    assert [event["step"] for event in said(found)] == list(range(full_at))
    for step in range(full_at - 2, full_at + 2):
        found.log({"loss": step}, step)
    found.close()
    assert [event["step"] for event in said(again(journal))] == list(range(full_at + 2))


def test_a_closed_journal_opens_again_and_loses_nothing(journal):
    for step in range(3):
        journal.log({"loss": step}, step)
        journal.sync()
        journal.close()
        journal.close()
    journal.sync()
    assert [event["step"] for event in said(again(journal))] == [0, 1, 2]


@pytest.mark.parametrize("status", [FINISHED, FAILED])
def test_a_run_ends_once_it_says_so(status, journal):
    journal.log({"loss": 1}, 1)
    assert journal.ended is again(journal).ended is None
    journal.write({"end": status})
    assert journal.ended == again(journal).ended == status


def test_a_run_whose_end_was_torn_has_not_ended(journal):
    journal.write({"end": FINISHED})
    journal.close()
    lines = journal.folder / LINES
    lines.write_bytes(lines.read_bytes()[:-1])
    assert again(journal).ended is None


# What was delivered


def test_what_was_delivered_is_remembered(journal):
    assert journal.delivered == again(journal).delivered == Delivered("", 0)
    journal.delivered = Delivered("run", 3)
    assert journal.delivered == again(journal).delivered == Delivered("run", 3)
    assert sorted(p.name for p in journal.folder.iterdir()) == [DELIVERED, FILES, LINES]


@pytest.mark.parametrize("text", ["", '{"run_id": "r"', "[]", "null", "\0\0", '{"other": 1}'])
def test_a_broken_note_of_delivery_says_that_nothing_was(text, journal):
    """Delivering again doubles nothing; leaving out would lose."""
    (journal.folder / DELIVERED).write_text(text)
    assert again(journal).delivered == Delivered("", 0)


# The folder


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_journal_is_started_whole_or_not_at_all(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Journal.start(tmp_path, KEY, OPENING)
    assert len(list(tmp_path.iterdir())) == 1
    assert journals(tmp_path) == journals(tmp_path, KEY) == []
    journal = Journal.start(tmp_path, KEY, OPENING)
    assert list(tmp_path.iterdir()) == [journal.folder]  # the next start tidies up


def test_a_start_clears_nothing_of_other_runs(tmp_path, monkeypatch):
    other = Journal.start(tmp_path, "f" * 64, OPENING)
    half = tmp_path / f".{'f' * 20}.12345678"
    half.mkdir()
    first = Journal.start(tmp_path, KEY, OPENING)
    second = Journal.start(tmp_path, KEY, OPENING)
    assert set(tmp_path.iterdir()) == {half, other.folder, first.folder, second.folder}


def test_a_removed_journal_is_gone(journal, tmp_path):
    (journal.files / "a.txt").write_text("a")
    journal.write({"end": FINISHED})
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_whose_process_died_while_removing_it_is_gone_too(
    journal, tmp_path, monkeypatch
):
    (journal.files / "a.txt").write_text("a")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.remove()
    assert not journal.folder.exists()
    assert journals(tmp_path) == []
    next_one = Journal.start(tmp_path, KEY, OPENING)
    assert list(tmp_path.iterdir()) == [next_one.folder]


def test_journals_are_found_by_key_the_oldest_first(tmp_path, monkeypatch):
    clock = iter([3.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr("time.time", lambda: next(clock))
    twin = KEY[:20] + "f" * 44  # has the same folder name
    for title, key in (("c", KEY), ("a", KEY), ("b", twin), ("d", "e" * 64)):
        Journal.start(tmp_path, key, OPENING | {"title": title})
    titles = {key: [j.opening["title"] for j in journals(tmp_path, key)] for key in (KEY, twin)}
    assert titles == {KEY: ["a", "c"], twin: ["b"]}
    assert [j.opening["title"] for j in journals(tmp_path)] == ["a", "b", "c", "d"]


def test_what_is_no_journal_is_passed_over(journal, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"{KEY[:20]}.txt").write_text("mine")
    (tmp_path / f"{KEY[:20]}.empty").mkdir()
    (tmp_path / f"{KEY[:20]}.lost" / FILES).mkdir(parents=True)
    (tmp_path / f"{KEY[:20]}.lost" / LINES).touch()  # a power cut before its first line
    for key in ("", KEY):
        assert [j.folder for j in journals(tmp_path, key)] == [journal.folder]
    assert journals(tmp_path / "no") == journals(tmp_path / "no", KEY) == []
