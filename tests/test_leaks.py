"""Texts that stand in two splits: every planted one is found, whatever its spelling, and nothing else."""

import unicodedata

import numpy as np
import pytest
from labelled import said

from bertbench.data.duplicates import find, leaks
from bertbench.tasks.leaks import checked
from bertbench.types import Answer, Split, TaskData

ORDER = ("train", "validation", "test")
SIZE = 12

FORMS = {  # ways to write a text that a reader takes for the same
    "as it is": str,
    "upper case": str.upper,
    "folded": lambda text: text.replace("ß", "ss"),
    "spaces": lambda text: f"\t {text.replace(' ', '  ')}\n",
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "compatible": lambda text: text.replace("fi", "\ufb01").replace("t", "\uff54"),
}
WORDS = ("the", "final", "café", "of", "Straße")


def plain(key, form=str):
    return form(f"{' '.join(WORDS)} {key}")


TEXTS = {  # a text of each shape, and the kind of task that has it
    "classification": plain,
    "regression": lambda key, form=str: (plain(key, form), plain(f"{key} other", form)),
    "ranking": lambda key, form=str: (plain(key, form), plain(f"{key} candidate", form)),
    "token": lambda key, form=str: [form(word).strip() for word in (*WORDS, str(key))],
    "span": lambda key, form=str: (plain(key, form), f"context {key}"),
}


def labels_of(kind, count):
    if kind == "span":
        return [[Answer(0, "context")] for _ in range(count)]
    if kind == "token":
        return [np.arange(6) % 2 + i % 2 for i in range(count)]
    return np.arange(count) if kind == "classification" else np.arange(count) / 7


def split(name, kind):
    texts = [TEXTS[kind](f"{name} {i}") for i in range(SIZE)]
    groups = [f"{name} group {i // 3}" for i in range(SIZE)]
    return Split([f"{name}/{i}" for i in range(SIZE)], texts, labels_of(kind, SIZE), groups)


def task(kind, planted=(), form=str):
    """Return a task; `planted` are pairs of places: what stands at the first is written at the second."""
    parts = {name: split(name, kind) for name in ORDER}
    for (earlier, row), (later, other) in planted:
        parts[later].texts[other] = TEXTS[kind](f"{earlier} {row}", form)
    return TaskData("small", ["a", "b", "c"], **parts, kind=kind)


PLANTED = {
    "validation": [(("train", 3), ("validation", 0)), (("train", 0), ("validation", 7))],
    "test": [(("train", 2), ("test", 5)), (("validation", 4), ("test", 11))],
}
every_kind = pytest.mark.parametrize("kind", TEXTS)
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
every_later = pytest.mark.parametrize("later", PLANTED)


@every_kind
@every_form
@every_later
def test_an_error_counts_them_names_them_and_says_both_ways_out(kind, form, later):
    words = said(checked, task(kind, PLANTED[later], form), "error", "task small")
    first, second = (f"'{later}/{place[1]}'" for _, place in PLANTED[later])
    assert words == (
        f"2 of 12 {later} texts of task small also stand in an earlier split ({first}, {second}), so scores "
        "on them flatter every model: remove them, or set task.leaks=drop or task.leaks=warn"
    )


@every_kind
@every_form
@every_later
def test_a_warning_says_so_and_leaves_the_data(kind, form, later, caplog):
    data = task(kind, PLANTED[later], form)
    warned = checked(data, "warn", "task small")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert warned == data._replace(notes=(record.message,))
    assert record.message.startswith(f"2 of 12 {later} texts of task small also stand")


@every_kind
@every_form
@every_later
def test_dropped_ones_leave_the_later_split_and_all_else_stays_aligned(kind, form, later, caplog):
    data = task(kind, PLANTED[later], form)
    found = checked(data, "drop", "task small")
    gone = {place[1] for _, place in PLANTED[later]}
    rows = [row for row in range(SIZE) if row not in gone]
    for name in ORDER:
        before, after = getattr(data, name), getattr(found, name)
        kept = rows if name == later else range(SIZE)
        assert after.ids == [before.ids[row] for row in kept]
        assert after.texts == [before.texts[row] for row in kept]
        assert after.groups == [before.groups[row] for row in kept]
        assert type(after.labels) is type(before.labels)
        for label, row in zip(after.labels, kept, strict=True):
            assert np.array_equal(label, before.labels[row])
    [record] = caplog.records
    assert record.message.endswith("they are left out")
    assert found.notes == (record.message,)
    [flaw] = found.flaws
    assert flaw == (
        f"leaks dropped from {later}", 2, 12, [getattr(data, later).ids[row] for row in sorted(gone)],
        f"2 of 12 {later} texts stood in an earlier split and were dropped.",
    )  # fmt: skip
    assert checked(found, "error", "task small") is found


@every_kind
@pytest.mark.parametrize("action", ["error", "warn", "drop"])
def test_without_a_leak_the_same_comes_back_and_nothing_is_said(kind, action, caplog):
    """A text twice within one split is none, nor is a pair of which one text is known."""
    data = task(kind)
    for name in ORDER:
        texts = getattr(data, name).texts
        texts[1] = texts[0]
    if isinstance(data.train.texts[0], tuple):
        data.test.texts[5] = (data.train.texts[5][0], data.test.texts[5][1])
        data.test.texts[6] = data.train.texts[6][::-1]
    assert checked(data, action, "task small") is data
    assert caplog.records == []


def test_of_many_three_are_named():
    planted = [(("train", row), ("test", row)) for row in range(5)]
    words = said(checked, task("classification", planted), "error", "task small")
    assert "5 of 12 test texts" in words
    assert "('test/0', 'test/1', 'test/2' and more)" in words


@every_kind
@every_later
def test_a_split_that_is_leaked_as_a_whole_is_refused(kind, later):
    planted = [(("train", row), (later, row)) for row in range(SIZE)]
    words = said(checked, task(kind, planted), "drop", "task small")
    assert words == (
        f"all {later} texts of task small also stand in an earlier split: give it others"
    )


def test_a_text_of_all_three_splits_is_left_in_the_first(caplog):
    planted = [(("train", 2), ("validation", 3)), (("train", 2), ("test", 4))]
    found = checked(task("classification", planted), "drop", "task small")
    assert [len(part.ids) for part in found[2:5]] == [12, 11, 11]
    assert [record.message.split()[3] for record in caplog.records] == ["validation", "test"]


@every_form
@every_kind
def test_they_are_those_that_the_data_card_counts(kind, form):
    """Two ways to the same: a set of texts here, groups of duplicates there."""
    data = task(kind, [*PLANTED["validation"], *PLANTED["test"]], form)
    parts = {name: getattr(data, name) for name in ORDER}
    groups = find(
        {name: part.texts for name, part in parts.items()},
        {name: part.ids for name, part in parts.items()},
        threshold=1.0,
    )
    counted = {
        name: {
            parts[name].ids[row]
            for (_, later), rows in leaks(groups).items()
            for row, _, how in rows
            if later == name and how != "near"
        }
        for name in ORDER[1:]
    }
    found = checked(data, "drop", "task small")
    for name in ORDER[1:]:
        assert {*parts[name].ids} - {*getattr(found, name).ids} == counted[name]
