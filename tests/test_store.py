"""The store makes an entry once, never shows half of one, mends what was damaged, removes the unused."""

import json
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertbench.errors import UserError
from bertbench.store import MANIFEST, Store, Stored, choose_unused, size_of

RECIPE = {"model": "bert", "depth": 2, "rates": [0.15, 0.1]}


class Maker:
    """Write two files, and count how often it was asked to."""

    def __init__(self, content="weights"):
        self.content, self.calls = content, 0

    def __call__(self, folder):
        assert not any(folder.iterdir())
        self.calls += 1
        (folder / "model.bin").write_text(self.content)
        (folder / "deep").mkdir()
        (folder / "deep" / "vocab.txt").write_text("a b c")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


MADE = {"model.bin": "weights", "deep/vocab.txt": "a b c"}


def test_an_entry_is_made_once_and_then_found(store):
    make = Maker()
    first = store.entry("encoder", RECIPE, make)
    assert contents(first) == MADE
    assert store.entry("encoder", RECIPE, make) == first
    assert Store(store.root).entry("encoder", RECIPE, make) == first
    assert make.calls == 1


def test_an_entry_is_the_only_thing_in_its_kind(store):
    folder = store.entry("encoder", RECIPE, Maker())
    assert list(folder.parent.iterdir()) == [folder]


def test_the_order_of_keys_does_not_make_another_entry(store):
    make = Maker()
    first = store.entry("encoder", RECIPE, make)
    assert store.entry("encoder", dict(reversed(RECIPE.items())), make) == first
    assert make.calls == 1


@pytest.mark.parametrize(
    "other", [RECIPE | {"depth": 4}, RECIPE | {"rates": [0.1, 0.15]}, RECIPE | {"seed": 0}, {}]
)
def test_another_recipe_is_another_entry(store, other):
    first = store.entry("encoder", RECIPE, Maker("one"))
    second = store.entry("encoder", other, Maker("two"))
    assert first != second
    assert contents(first)["model.bin"] == "one"
    assert contents(second)["model.bin"] == "two"


def test_another_kind_is_another_entry(store):
    first = store.entry("encoder", RECIPE, Maker("one"))
    second = store.entry("packed", RECIPE, Maker("two"))
    assert contents(first)["model.bin"] == "one"
    assert contents(second)["model.bin"] == "two"


def test_the_manifest_says_what_made_the_entry(store):
    folder = store.entry("encoder", RECIPE, Maker())
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["recipe"] == RECIPE
    assert manifest["sha256"].keys() == MADE.keys()


def change(folder):
    (folder / "model.bin").write_text("altered")


def shorten(folder):
    (folder / "deep" / "vocab.txt").write_text("")


def remove(folder):
    (folder / "deep" / "vocab.txt").unlink()


def unsign(folder):
    (folder / MANIFEST).unlink()


def manifest_of(text):
    def damage(folder):
        (folder / MANIFEST).write_text(text)

    return damage


DAMAGES = {
    "changed file": change,
    "emptied file": shorten,
    "missing file": remove,
    "no manifest": unsign,
    "empty manifest": manifest_of(""),
    "cut manifest": manifest_of('{"recipe": {'),
    "manifest without hashes": manifest_of("{}"),
    "manifest that is a list": manifest_of("[]"),
    "manifest that is null": manifest_of("null"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_set_aside_and_made_again_with_a_warning(store, damage, caplog):
    make = Maker()
    folder = store.entry("encoder", RECIPE, make)
    damage(folder)
    broken = {path.name for path in folder.rglob("*")}
    with caplog.at_level(logging.WARNING, logger="bertbench.store"):
        assert store.entry("encoder", RECIPE, make) == folder
    assert make.calls == 2
    assert contents(folder) == MADE
    (warning,) = caplog.records
    assert str(folder) in warning.getMessage()
    (aside,) = [path for path in folder.parent.iterdir() if path != folder]
    assert str(aside) in warning.getMessage()
    assert broken <= {path.name for path in aside.rglob("*")}


def test_a_mended_entry_is_found_without_another_warning(store, caplog):
    make = Maker()
    change(store.entry("encoder", RECIPE, make))
    store.entry("encoder", RECIPE, make)
    caplog.clear()
    store.entry("encoder", RECIPE, make)
    assert make.calls == 2
    assert not caplog.records


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_making_that_fails_leaves_nothing_and_can_be_repeated(store, error):
    def fail(folder):
        (folder / "half.bin").write_text("half")
        raise error("stopped")

    with pytest.raises(error, match="stopped"):
        store.entry("encoder", RECIPE, fail)
    assert list((store.root / "encoder").iterdir()) == []
    make = Maker()
    assert contents(store.entry("encoder", RECIPE, make)) == MADE
    assert make.calls == 1


def test_a_making_that_fails_after_damage_keeps_what_was_set_aside(store):
    folder = store.entry("encoder", RECIPE, Maker("precious"))
    remove(folder)

    def fail(folder):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        store.entry("encoder", RECIPE, fail)
    (kept,) = store.root.glob("encoder/**/model.bin")
    assert kept.read_text() == "precious"
    assert not folder.exists()


def test_nothing_is_visible_under_its_name_before_it_is_whole(store):
    seen = []

    def make(folder):
        (folder / "model.bin").write_text("weights")
        seen.extend(path for path in folder.parent.iterdir() if not path.name.startswith("."))

    store.entry("encoder", RECIPE, make)
    assert seen == []


def test_one_making_may_ask_for_another_entry(store):
    def make(folder):
        inner = store.entry("tokenizer", RECIPE, Maker("vocabulary"))
        (folder / "model.bin").write_text((inner / "model.bin").read_text())

    assert contents(store.entry("encoder", RECIPE, make)) == {"model.bin": "vocabulary"}


def ask(root, tally, start):
    """Run in another process: ask for the entry, and append a line for each making."""

    def make(folder):
        with Path(tally).open("a") as lines:
            lines.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        (folder / "model.bin").write_text("weights")

    start.wait(60)
    folder = Store(Path(root)).entry("encoder", RECIPE, make)
    assert (folder / "model.bin").read_text() == "weights"


def test_two_processes_that_ask_at_once_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    tally = tmp_path / "tally"
    processes = [
        context.Process(target=ask, args=(str(tmp_path / "store"), str(tally), start))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(tally.read_text().splitlines()) == 1


@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_root_that_is_a_file_is_refused_by_name(tmp_path, below):
    (tmp_path / "taken").write_text("a file")
    root = tmp_path / "taken" / below
    with pytest.raises(UserError, match=r"runtime\.store=.*taken"):
        Store(root)
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_relative_root_stays_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(Path("store"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = store.entry("encoder", RECIPE, Maker())
    assert folder.is_relative_to(tmp_path / "store")


# Who uses what


def stored(store, recipe=RECIPE):
    """Return the entry of a recipe, as a listing shows it."""
    folder = store.entry("encoder", recipe, Maker())
    return next(entry for entry in store.entries() if entry.folder == folder)


def test_a_listing_tells_all_of_an_entry(store):
    started = time.time()
    folder = store.entry("encoder", RECIPE, Maker())
    [entry] = store.entries()
    assert (entry.kind, entry.key, entry.folder) == ("encoder", folder.name, folder)
    assert entry.size == size_of(folder) > len("weights" + "a b c")
    assert started - 1 <= entry.made <= entry.used <= time.time() + 1
    assert entry.users == []  # nobody said on whose behalf


def test_everybody_who_asked_is_a_user_once_whoever_made_it(store):
    make = Maker()
    for user in ("run b", "run a", "run b", "run \u00e4\nb"):
        Store(store.root, user=user).entry("encoder", RECIPE, make)
    assert make.calls == 1
    assert stored(store).users == ["run a", "run b", "run \u00e4\nb"]


def test_a_use_without_making_makes_an_entry_young_again(store):
    entry = stored(store)
    for path in (entry.folder / MANIFEST, *(store.root / "uses").glob("*/*")):
        os.utime(path, (1000.0, 1000.0))
    assert store.entries()[0].used == 1000.0
    again = stored(Store(store.root, user="later"))
    assert again.made == 1000.0
    assert again.used > time.time() - 100


def test_who_uses_what_decides_nothing(store):
    make = Maker()
    folder = Store(store.root, user="a").entry("encoder", RECIPE, make)
    shutil.rmtree(store.root / "uses")
    (store.root / "uses").write_text("no folder any more")
    assert Store(store.root, user="b").entry("encoder", RECIPE, make) == folder
    assert make.calls == 1


def test_a_store_that_was_moved_is_whole(store, tmp_path):
    make = Maker()
    for depth in range(3):
        Store(store.root, user="run").entry("encoder", RECIPE | {"depth": depth}, make)
    before = [entry._replace(folder=None) for entry in store.entries()]
    store.root.rename(tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert [entry._replace(folder=None) for entry in moved.entries()] == before
    for depth in range(3):
        moved.entry("encoder", RECIPE | {"depth": depth}, make)
    assert make.calls == 3
    files = [path for path in moved.root.rglob("*") if path.is_file()]
    assert not any(str(store.root).encode() in path.read_bytes() for path in files)


# What is left over


def test_the_state_of_a_making_is_gone_once_the_entry_is_made(store):
    state = store.partial("encoder", RECIPE)
    other = store.partial("encoder", RECIPE | {"depth": 4})
    for folder in (state, other):
        folder.mkdir(parents=True)
        (folder / "step.bin").write_text("half way")

    def fail(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.entry("encoder", RECIPE, fail)
    assert (state / "step.bin").exists()  # to go on from
    store.entry("encoder", RECIPE, Maker())
    assert not state.exists()
    assert (other / "step.bin").exists()
    assert store.leftovers() == []


DIE = """
import os, signal, sys
from pathlib import Path
from bertbench.store import Store
def die(folder):
    (folder / "half.bin").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
Store(Path(sys.argv[1])).entry("encoder", {"model": "bert"}, die)
"""


def test_what_a_killed_making_left_goes_at_the_next_or_on_request(store):
    def leave():
        subprocess.run([sys.executable, "-c", DIE, str(store.root)], check=False)
        [left] = store.leftovers()
        assert [path.name for path in left.iterdir()] == ["half.bin"]
        return left

    store.clear(leave())
    assert store.leftovers() == []
    leave()
    folder = store.entry("encoder", {"model": "bert"}, Maker())
    assert list(folder.parent.iterdir()) == [folder]


def test_work_under_way_is_not_left_over_but_what_was_set_aside_is(store):
    seen = []

    def make(folder):
        seen.extend(store.leftovers())
        Maker()(folder)

    change(store.entry("encoder", RECIPE, make))
    store.entry("encoder", RECIPE, make)
    [damaged] = store.leftovers()
    assert seen == [damaged]
    store.clear(damaged)
    assert store.leftovers() == []


def test_an_entry_is_removed_whole_unless_a_process_is_at_it(store):
    entry, other = stored(store), stored(store, RECIPE | {"depth": 4})
    with store.lock(f"encoder-{entry.key}", doing="reading"):
        assert not store.remove(entry)
    assert store.remove(entry)
    assert store.entries() == [other]
    assert list(entry.folder.parent.iterdir()) == [other.folder]
    assert [path.name for path in (store.root / "uses").iterdir()] == [f"encoder-{other.key}"]


@pytest.mark.parametrize(
    ("older_than", "max_size", "keys"),
    [
        (None, None, ""), (50, None, "20"), (71, None, "2"), (70, None, "20"), (1, None, "2013"),
        (None, 100, ""), (None, 99, "2"), (None, 60, "2"), (None, 59, "20"), (None, 0, "2013"),
        (50, 60, "20"), (90, 55, "20"), (90, 100, "2"), (50, 10, "201"),
    ],
)  # fmt: skip
def test_the_longest_unused_go_first_until_both_limits_hold(older_than, max_size, keys):
    rows = enumerate([(20, 30.0), (30, 70.0), (40, 10.0), (10, 90.0)])  # size, last use
    entries = [Stored("e", str(n), Path(str(n)), size, 0.0, used, []) for n, (size, used) in rows]
    chosen = choose_unused(entries, older_than=older_than, max_size=max_size, now=100.0)
    assert "".join(entry.key for entry in chosen) == keys


def test_an_entry_that_is_not_visible_yet_is_not_listed(store, monkeypatch):
    """Sealed, but not renamed: a prune must not take it from who makes it."""
    first, seen, replace = stored(store), [], Path.replace

    def spy(path, target):
        seen.append([entry.key for entry in store.entries()])
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", spy)
        store.entry("encoder", RECIPE | {"depth": 4}, Maker())
    assert seen == [[first.key]]


def test_two_may_remove_one_entry(store):
    entry = stored(store)
    assert store.remove(entry)
    assert store.remove(entry)


def test_a_removal_cut_off_leaves_no_half_entry(store, monkeypatch):
    entry = stored(store)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            store.remove(entry)
    assert store.entries() == []
    assert len(store.leftovers()) == 1


def test_an_entry_is_in_use_while_a_run_that_asked_for_it_is_under_way(tmp_path):
    """Between its making and the run's end nobody holds the entry's own lock."""
    store = Store(tmp_path / "store", user="bert on bbc", run="run-0123")
    with store.lock("run-0123", doing="the run"):
        entry = stored(store)
        assert not store.remove(entry)
    assert store.remove(entry)
