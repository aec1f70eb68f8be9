"""Each kind of task reads back what was written, and names a cell that is wrong with its line."""

import json

import numpy as np
import pytest
from labelled import (
    COLUMNS,
    SIZES,
    STARTS,
    TAGS,
    item,
    labels_of,
    named,
    raw,
    said,
    task,
    write,
)

from bertbench import kinds
from bertbench.kinds.cells import class_name, number
from bertbench.kinds.validate import validate
from bertbench.tasks import files
from bertbench.types import Answer

KINDS = [*kinds.KINDS]
FILES = [(kind, ending) for kind in KINDS for ending in (".jsonl", ".json", ".csv")]
FILES += [("token", ending) for ending in (".conll", ".conllu", ".lines", ".tsv")]
FILES += [("span", ".squad"), ("ranking", ".tsv"), ("multilabel", ".tsv"), ("regression", ".tsv")]


@pytest.mark.parametrize(("kind", "ending"), FILES)
def test_what_was_written_is_read_back(kind, ending, tmp_path):
    data = task(kind, tmp_path, ending=ending)
    validate(data, "task files")
    assert data.kind == kind
    assert not data.notes
    for part, start in STARTS.items():
        split = getattr(data, part)
        rows = [item(kind, start + i) for i in range(SIZES.get(part, 60))]
        texts = [tuple(texts) if len(texts) > 1 else texts[0] for *texts, _ in rows]
        labels = [label for *_, label in rows]
        if (kind, ending) == ("span", ".csv"):
            labels = [found[:1] for found in labels]
        assert split.texts == texts
        assert labels_of(data, split) == labels
    found = {"classification": [*"xyz"], "multilabel": [*"pqr"], "token": TAGS}
    assert data.classes == found.get(kind, [])


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_a_second_column_makes_pairs(kind, tmp_path):
    rows = [[f"first {i}", f"second {i}", item(kind, i)[1]] for i in range(40)]
    path = write(tmp_path / "data.jsonl", rows, ["text", "other", COLUMNS[kind][1]])
    data = files.task(path, kind=kind, second="other")
    validate(data, "task files")
    found = [text for split in data[2:5] for text in split.texts]
    assert sorted(found) == sorted((first, second) for first, second, _ in rows)


def test_types_and_shapes_are_those_of_the_kind(tmp_path):
    types = {kind: [split.labels for split in task(kind, tmp_path / kind)[2:5]] for kind in KINDS}
    assert {labels.dtype for labels in types["classification"]} == {np.dtype(np.int64)}
    assert {labels.dtype for labels in types["multilabel"]} == {np.dtype(bool)}
    assert [labels.shape for labels in types["multilabel"]] == [(60, 3), (15, 3), (20, 3)]
    for kind in ("regression", "ranking"):
        assert {labels.dtype for labels in types[kind]} == {np.dtype(np.float64)}
    assert all(tags.dtype == np.int64 for labels in types["token"] for tags in labels)
    assert all(isinstance(a, Answer) for labels in types["span"] for row in labels for a in row)


def test_an_answer_stands_where_it_is_said_to_or_where_it_stands_once(tmp_path):
    context = "to be or not to be, 🎉 that is it"
    told = {
        "offsets": [{"text": "to be", "answer_start": 13}],
        "as in datasets": {"text": ["be", "or"], "answer_start": [16, 6]},
        "no offsets": {"text": ["not"]},
        "counted in UTF-16": [{"text": "that", "answer_start": 23}],
        "a number of another type": [{"text": "or", "answer_start": 6.0}, "it"],
        "a text": "🎉",
    }
    none = ([], {"text": [], "answer_start": []}, None, "", " ")
    rows = [[f"what {i}?", context, found] for i, found in enumerate([*told.values(), *none])]
    path = write(tmp_path / "data.jsonl", rows, COLUMNS["span"])
    own = {part: write(tmp_path / f"{part}.jsonl", rows, COLUMNS["span"]) for part in SIZES}
    found = files.task(path, **own, kind="span").train.labels
    assert found == [
        [Answer(13, "to be")],
        [Answer(16, "be"), Answer(6, "or")],
        [Answer(9, "not")],
        [Answer(22, "that")],
        [Answer(6, "or"), Answer(30, "it")],
        [Answer(20, "🎉")],
        *[[]] * 5,
    ]
    assert all(context.startswith(text, start) for row in found for start, text in row)


# What is refused

WRONG = [
    (
        "multilabel",
        {"text": "a", "labels": "x|y|x"},
        "names a class twice under 'labels' ('x|y|x')",
    ),
    (
        "multilabel",
        {"text": "a", "labels": ["1", 1]},
        "names a class twice under 'labels' (['1', 1])",
    ),
    ("multilabel", {"text": "a", "labels": "x||y"}, "has a blank class in 'x||y' under 'labels'"),
    ("multilabel", {"text": "a", "labels": "x|"}, "has a blank class in 'x|' under 'labels'"),
    ("multilabel", {"text": "a", "labels": ["x", " "]}, "has nothing under 'labels'"),
    ("multilabel", {"text": "a", "labels": ["x", None]}, "has None under 'labels'"),
    ("multilabel", {"text": "a", "labels": [["x"]]}, "has ['x'] under 'labels'"),
    (
        "multilabel",
        {"text": "a", "labels": "['x', 'y']"},
        "has the list \"['x', 'y']\" as one text",
    ),
    ("multilabel", {"text": "a", "labels": '["x"]'}, "has the list '[\"x\"]' as one text"),
    ("multilabel", {"text": "a", "labels": "[]"}, "has the list '[]' as one text under 'labels'"),
    ("multilabel", {"text": "a", "labels": "[1, 2]"}, "has the list '[1, 2]' as one text"),
    (
        "multilabel",
        {"text": "a", "labels": 3},
        "has 3 under 'labels': it must be a list of classes",
    ),
    ("multilabel", {"text": "a", "labels": {"x": True}}, "has {'x': True} under 'labels'"),
    ("multilabel", {"text": "a", "label": ["x"]}, "has no 'labels'; did you mean 'label'?"),
    (
        "regression",
        {"text": "a", "label": "high"},
        "has 'high' under 'label': it must be a number",
    ),
    ("regression", {"text": "a", "label": "3,5"}, "has '3,5' under 'label': it must be a number"),
    (
        "regression",
        {"text": "a", "label": "1_000"},
        "has '1_000' under 'label': it must be a number",
    ),
    ("regression", {"text": "a", "label": True}, "has True under 'label': it must be a number"),
    ("regression", {"text": "a", "label": "inf"}, "has 'inf' under 'label': it must be a number"),
    ("regression", {"text": "a", "label": "nan"}, "has 'nan' under 'label': it must be a number"),
    ("regression", {"text": "a", "label": 1e200}, "has 1e+200 under 'label': it must be a number"),
    ("regression", {"text": "a", "label": [1.0]}, "has [1.0] under 'label': it must be a number"),
    (
        "ranking",
        {"query": "a", "candidate": "b", "relevance": -1},
        "has -1 under 'relevance': a rel",
    ),
    ("ranking", {"query": "a", "candidate": "b", "relevance": 1e4}, "is a number from 0 to 1000"),
    (
        "ranking",
        {"query": "a", "candidate": "b", "relevance": "yes"},
        "has 'yes' under 'relevance'",
    ),
    ("ranking", {"query": "a", "candidate": ["b"], "relevance": 1}, "has ['b'] under 'candidate'"),
    (
        "token",
        {"tokens": ["a", "b"], "tags": ["O"]},
        "has 2 words under 'tokens' and 1 tags under",
    ),
    ("token", {"tokens": "a b", "tags": "O O O"}, "has 2 words under 'tokens' and 3 tags under"),
    ("token", {"tokens": ["a", " "], "tags": ["O", "O"]}, "has a blank for word 2 under 'tokens'"),
    ("token", {"tokens": ["a", "b"], "tags": ["O", ""]}, "has a blank for word 2 under 'tags'"),
    (
        "token",
        {"tokens": ["a", 1], "tags": ["O", "O"]},
        "has ['a', 1] under 'tokens': it must be words",
    ),
    ("token", {"tokens": ["a"], "tags": [3]}, "has [3] under 'tags': it must be words"),
    ("token", {"tokens": ["a"], "tags": 3}, "has 3 under 'tags': it must be words"),
    (
        "token",
        {"tokens": ["a"], "tags": ["B PER"]},
        "has the tag 'B PER' under 'tags': take the white",
    ),
    (
        "token",
        {"tokens": "['a', 'b']", "tags": "['O', 'O']"},
        "has the list \"['a', 'b']\" as one",
    ),
    ("span", {"answers": ["dog"]}, "has the answer 'dog', which does not stand in its context"),
    ("span", {"answers": "Cat"}, "has the answer 'Cat', which does not stand in its context"),
    ("span", {"answers": "a"}, "has the answer 'a', which stands in its context more than once"),
    ("span", {"answers": "aa"}, "has the answer 'aa', which stands in its context more than once"),
    (
        "span",
        {"answers": [{"text": "a", "answer_start": 3}]},
        "stands in its context more than once",
    ),
    (
        "span",
        {"answers": [{"text": "a", "answer_start": -1}]},
        "stands in its context more than once",
    ),
    (
        "span",
        {"answers": [{"text": "a", "answer_start": True}]},
        "stands in its context more than",
    ),
    ("span", {"answers": [{"text": " "}]}, "has {'text': ' '} under 'answers': an answer must be"),
    (
        "span",
        {"answers": [{"answer": "cat"}]},
        "has {'answer': 'cat'} under 'answers': an answer must",
    ),
    (
        "span",
        {"answers": {"text": "cat"}},
        "has {'text': 'cat'} under 'answers': it must be answers",
    ),
    (
        "span",
        {"answers": {"text": ["cat"], "answer_start": []}},
        "give each text its answer_start",
    ),
    ("span", {"answers": {"text": ["cat"], "answer_start": 0}}, "give each text its answer_start"),
    ("span", {"answers": 5}, "has 5 under 'answers': it must be answers as in SQuAD's JSON"),
]


@pytest.mark.parametrize(("kind", "cells", "words"), WRONG)
def test_a_wrong_cell_is_named_with_file_and_line(kind, cells, words, tmp_path):
    if kind == "span":
        cells = {"question": "what?", "context": "the cat sat, aaa"} | cells
    good = dict(
        zip(COLUMNS[kind], item(kind, 1) if kind != "span" else ["a", "b", []], strict=True)
    )
    path = raw(tmp_path / "data.jsonl", f"{json.dumps(good)}\n\n{json.dumps(cells)}\n")
    sentence = said(files.task, path, kind=kind)
    assert sentence.startswith(named(path, 3))
    assert words in sentence
    assert ": " in sentence[len(path) :]  # says what to do


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_is_missing_is_named_with_the_nearest(kind, tmp_path):
    for place, column in enumerate(COLUMNS[kind]):
        columns = [*COLUMNS[kind]]
        columns[place] = f"{column}2"
        path = write(tmp_path / "data.csv", [[*"abc"][: len(columns)]], columns)
        own = kinds.find(kind).columns._asdict()
        key = next(key for key, name in own.items() if name == column)
        assert said(files.task, path, kind=kind).startswith(
            f"{path} has no column {column!r}; did you mean '{column}2'?: set task.{key} to one of"
        )


# Cells


def test_a_number_is_what_python_reads_but_for_its_own_ways():
    generator = np.random.Generator(np.random.Philox(key=0))
    for value in generator.normal(size=200) * 10.0 ** generator.integers(-90, 90, 200):
        for written in (float(value), str(value), f" {value:.3e} "):
            assert number({"n": written}, "label", "n", "a.csv, line 2") == float(written)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"), (1.0, "1"), ("1.00", "1"), (-2.0, "-2"), (-0.0, "0"), ("-0", "0"), (0.5, "0.5"),
        (True, "true"), ("True", "True"), ("01", "01"), (" a b ", "a b"), ("\u00a0a\u3000", "a"),
        ("e\u0301", "é"), ("1.5.0", "1.5.0"), ("v1.0", "v1.0"),
    ],
)  # fmt: skip
def test_a_class_is_named_as_it_is_written(value, name):
    assert class_name(value, "label", "a.csv, line 2") == name
    assert class_name(name, "label", "a.csv, line 2") == name


@pytest.mark.parametrize("name", ["accurracy", None, "f1_macro"])
def test_an_unknown_metric_is_named_with_the_known(name):
    assert said(kinds.measure, name).startswith(f"task.metric={name} is no metric")


def test_the_direction_of_a_metric_is_the_same_in_each_kind():
    directions = {}
    for kind in kinds.KINDS.values():
        for name, measure in kind.measures.items():
            assert (
                directions.setdefault(name, measure.higher_is_better) == measure.higher_is_better
            )
        assert kind.tie in kind.measures
