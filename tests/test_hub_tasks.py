"""Data sets of the hub are read as files are, and what cannot be had is one sentence at once."""

import json
import os
import re
import subprocess
import sys
import time

import datasets
import numpy as np
import pytest
from conftest import CONF
from datasets import ClassLabel, Dataset, Features, List, Value

from bertbench import config, kinds
from bertbench.data.fetching import HUB_ID
from bertbench.errors import UserError
from bertbench.kinds.validate import validate
from bertbench.tasks import files, hub
from bertbench.tasks.hub import Part, Reading
from bertbench.types import Answer

READY = sorted(
    path
    for path in (CONF / "task").glob("*.yaml")
    if "defaults: [hub, _self_]" in path.read_text(encoding="utf-8")
)
TOPICS = ["sport", "money", "art"]  # not in the order of the alphabet
TAGS = ["O", "B-PER", "I-PER"]


def stem(path):
    return path.stem


def said(function, *arguments, **more):
    with pytest.raises(UserError) as caught:
        function(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(kind, names=None, *, splits=("train", "validation", "test"), **of_splits):
    """Return the task that data sets hold; columns are the kind's own."""
    parts = {
        role: Part(split, of_splits[role])
        for role, split in zip(("train", "validation", "test"), splits, strict=True)
        if role in of_splits
    }
    return hub.of_splits(parts, Reading("owner/texts", kind, kinds.find(kind).columns, names))


def labelled(labels, feature, *, texts=None, key="label"):
    texts = texts or [f"text {i}" for i in range(len(labels))]
    features = Features({"text": Value("string"), key: feature})
    return Dataset.from_dict({"text": texts, key: labels}, features=features)


# The ready ones


def composed(path):
    from hydra import compose, initialize_config_dir

    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[f"task={path.stem}"])
    return config.plain(cfg)["task"]


def test_the_known_benchmarks_are_there():
    glue = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
    more = ("ag_news", "banking77", "trec6", "imdb", "conll2003", "wnut17", "ud_ewt")
    expected = {f"glue_{name}" for name in glue} | {*more, "squad", "squad_v2"}
    assert {path.stem for path in READY} == expected


@pytest.mark.parametrize("path", READY, ids=stem)
def test_a_ready_task_says_what_it_is(path):
    """Its first line names size, licence and paper."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"# .+; .*\d.* (rows|sentences|questions); licence: .+; ", first)
    assert re.search(r"; [A-Z][\w ]+ (et al\. )?\(\d{4}\), https://\S+(, section [\d.]+)?$", first)


@pytest.mark.parametrize("path", READY, ids=stem)
def test_a_ready_task_fits_its_kind(path):
    task = composed(path)
    kind = kinds.find(task["kind"])
    assert task["name"] == path.stem
    assert task["metric"] in kind.measures
    assert HUB_ID.fullmatch(task["source"]["name"])
    assert None not in (task["train"], task["test"])  # what a benchmark reports is never cut
    assert task["source"]["test"] == task["test"]


@pytest.mark.parametrize("path", READY, ids=stem)
def test_without_a_network_a_ready_task_is_one_sentence_at_once(path, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    source = composed(path)["source"]
    started = time.perf_counter()
    sentence = said(config.build, source)
    assert time.perf_counter() - started < 2
    assert sentence == (
        f"task.source.name={source['name']} is on the Hugging Face hub, which cannot be reached from here, "
        "and is not in the local cache: load it once where there is a network, or choose task=files "
        "task.train=..."
    )


def test_the_command_line_says_so_too(tmp_path):
    """Also where nobody has said that there is no network."""
    dropped = ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    done = subprocess.run(
        [sys.executable, "-m", "bertbench", "task=glue_sst2", "tracking=none"],
        env=kept | {
            "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path),
            "PYTHONPATH": str(CONF.parent),
        },
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for word in ("nyu-mll/glue", "Hugging Face hub", "task=files"):
        assert word in done.stderr


# What is in the cache


def test_without_a_network_what_is_in_the_cache_is_read(tmp_path, monkeypatch):
    """In the folders that `datasets` keeps what it fetched in; the names of classes lie there too."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    rows = labelled([0, 1, 2] * 10, ClassLabel(names=TOPICS))
    rows.to_parquet(str(tmp_path / "a.parquet"))
    builder = Parquet(
        cache_dir=str(tmp_path / "work"), dataset_name="texts", config_name="plain", hash="0" * 40,
        data_files={"train": [str(tmp_path / "a.parquet")]},
    )  # fmt: skip
    cache = tmp_path / "datasets" / "owner___texts" / "plain" / "0.0.0" / ("0" * 40)
    builder.download_and_prepare(output_dir=str(cache))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    name = ("owner/texts", "plain")
    data = hub.task(*name, "train[:50%]", None, "train[50%:]", kind="classification")
    assert data.classes == TOPICS
    assert len(data.test.ids) == 15
    assert data.test.ids[0] == "train[50%:]:1"
    assert data.test.texts[0] == "text 15"
    assert sorted(data.train.ids + data.validation.ids) == sorted(
        f"train[:50%]:{row}" for row in range(1, 16)
    )
    assert said(hub.task, *name, "train", None, "trial", kind="classification").startswith(
        "task.source.name=owner/texts task.source.config=plain task.test=trial cannot be loaded ("
    )
    assert said(hub.task, *name, "train", None, None, kind="token").startswith(
        "owner/texts/plain train has no column 'tokens': set task.text to one of its columns"
    )


def test_what_is_no_choice_is_refused():
    def asked(name="owner/texts", train="train", test=None, kind="classification"):
        return said(hub.task, name, None, train, None, test, kind=kind)

    for name in (None, "csv", "/a/b", "a/b/c", "a b/c"):
        assert asked(name) == (
            f"task.source.name={name} is no hub id: name a data set as OWNER/NAME"
        )
    assert asked(train=None).startswith("task.train has no default: set it to a split of owner/")
    assert asked(test="train") == (
        "task.train and task.test are both 'train' of owner/texts: name another split, or set task.test "
        "to null to cut that part off the training split"
    )
    assert "did you mean 'token'?" in asked(kind="tokens")


# Rows


PAIRED = Features(
    {"text": Value("string"), "label": ClassLabel(names=TOPICS), "by": Value("string")}
)


def test_a_class_label_has_the_names_and_the_order_of_the_data_set():
    one, two, three = (labelled([i, 2, 0], ClassLabel(names=[*TOPICS, "none"])) for i in range(3))
    data = read("classification", train=one, validation=two, test=three)
    assert data.classes == TOPICS  # none of the fourth
    assert data.train.labels.tolist() == [0, 2, 0]
    assert data.test.labels.tolist() == [2, 2, 0]
    assert data.train.ids == ["train:1", "train:2", "train:3"]
    assert data.notes == ()


def test_names_of_the_user_stand_above_those_of_the_data_set():
    rows = labelled([1, 0, 1, 0], ClassLabel(names=["0", "1"]))
    data = read("classification", ("no", "yes"), train=rows, validation=rows, test=rows)
    assert data.classes == ["no", "yes"]
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    numbers = labelled([1, 0, 2, 0], Value("int64"))
    assert said(read, "classification", ("no", "yes"), train=numbers) == (
        "owner/texts train, row 3 has 2 under 'label', which is none of the 2 classes (no, yes): name all "
        "in task.source.names, the label 0 first"
    )
    plain = read("classification", train=numbers, validation=numbers, test=numbers)
    assert plain.classes == ["0", "1", "2"]
    words = labelled(["b", "a"], Value("string"))
    assert read("classification", train=words, validation=words, test=words).classes == ["a", "b"]
    assert said(read, "regression", ("no",), train=numbers) == (
        "task.source.names names classes, which a task of the kind regression has not: set it to null"
    )


def test_pairs_and_groups_come_from_their_columns():
    rows = Dataset.from_dict(
        {
            "text": [f"one {i}" for i in range(40)],
            "label": [i % 3 for i in range(40)],
            "by": [f"author {i % 10}" for i in range(40)],
        },
        features=PAIRED,
    )
    columns = kinds.find("classification").columns._replace(second="by", group="by")
    data = hub.of_splits(
        {"train": Part("train", rows)}, Reading("owner/texts", "classification", columns, None)
    )
    assert data.train.texts[0] == ("one 0", "author 0")
    authors = [set(split.groups) for split in data[2:5]]
    assert [len(found) for found in authors] == [6, 2, 2]
    assert len(set.union(*authors)) == 10


def test_a_list_of_class_labels_is_tags_or_a_set():
    feature = List(ClassLabel(names=TAGS))
    tags = Dataset.from_dict(
        {"tokens": [["Ann", "Lee", "ran"], ["so"]], "tags": [[1, 2, 0], [0]]},
        features=Features({"tokens": List(Value("string")), "tags": feature}),
    )
    data = read("token", train=tags, validation=tags, test=tags)
    assert data.classes == TAGS
    assert data.train.texts == [["Ann", "Lee", "ran"], ["so"]]
    assert [row.tolist() for row in data.train.labels] == [[1, 2, 0], [0]]
    sets = labelled([[0, 2], [], [1]], List(ClassLabel(names=TOPICS)), key="labels")
    data = read("multilabel", train=sets, validation=sets, test=sets)
    assert data.classes == TOPICS
    assert data.train.labels.tolist() == [[True, False, True], [False] * 3, [False, True, False]]


def test_tags_that_are_numbers_without_names_are_refused():
    numbers = Dataset.from_dict({"tokens": [["Ann", "ran"]], "tags": [[1, 0]]})
    assert said(read, "token", train=numbers) == (
        "owner/texts train, row 1 has the number 1 for a tag under 'tags', and the data set does not say "
        "what it means: name all tags in task.source.names, the label 0 first"
    )
    data = read("token", ("O", "B-PER"), train=numbers, validation=numbers, test=numbers)
    assert data.classes == ["O", "B-PER"]
    assert data.train.labels[0].tolist() == [1, 0]


def test_answers_are_those_of_the_data_set():
    context = "Ann met Bob. Bob left."
    answers = [{"text": ["Bob", "Bob"], "answer_start": [8, 13]}, {"text": [], "answer_start": []}]
    rows = Dataset.from_dict(
        {"question": ["Who left?", "Who came?"], "context": [context] * 2, "answers": answers}
    )
    data = read("span", train=rows, validation=rows, test=rows)
    assert data.classes == []
    assert data.train.texts == [("Who left?", context), ("Who came?", context)]
    assert data.train.labels == [[Answer(8, "Bob"), Answer(13, "Bob")], []]
    assert data.train.groups == [context] * 2


@pytest.mark.parametrize("role", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("kind", "feature", "hidden"),
    [
        ("classification", ClassLabel(names=TOPICS), [-1, -1, -1]),
        ("classification", ClassLabel(names=TOPICS), [-1, 1, 0]),
        ("classification", Value("int64"), [-1, -1, -1]),
        ("regression", Value("float32"), [-1.0, -1.0, -1.0]),
    ],
)
def test_hidden_labels_are_refused_with_the_way_out(role, kind, feature, hidden):
    shown = labelled([0, 1, 2], feature)
    parts = {"train": shown, "validation": shown, "test": shown, role: labelled(hidden, feature)}
    cut = "" if role == "train" else ", or to null to cut it off the training split"
    assert said(read, kind, **parts) == (
        f"owner/texts {role}, row 1 has the label -1, as benchmarks mark labels that they keep to "
        f"themselves: set task.{role} to a split with labels{cut}"
    )


def test_minus_one_among_other_numbers_is_a_number():
    rows = labelled([-1.0, 0.5, 1.0], Value("float32"))
    assert read("regression", train=rows, validation=rows, test=rows).train.labels[0] == -1
    signs = labelled([-1, 0, 1], Value("int64"))
    data = read("classification", train=signs, validation=signs, test=signs)
    assert data.classes == ["-1", "0", "1"]


def test_rows_without_text_or_label_are_left_out_with_a_note():
    rows = labelled([0, 1, None, 0, 1], ClassLabel(names=TOPICS), texts=["a", " ", "c", None, "e"])
    data = read("classification", train=rows, validation=rows, test=rows)
    assert data.train.texts == ["a", "e"]
    assert data.train.ids == ["train:1", "train:5"]
    assert data.notes[0] == (
        "owner/texts train: 3 of 5 rows lack a text or a label and are left out (row 2, row 3, row 4)"
    )
    blank = labelled([None, None], Value("string"))
    assert said(read, "classification", train=rows, validation=rows, test=blank) == (
        "owner/texts test has no row with text and label: set task.test to a split that has"
    )


def test_an_error_names_split_and_row():
    many = labelled(["1"] * hub.ROWS + ["x"], Value("string"))
    row = hub.ROWS + 1
    sentence = said(read, "regression", train=many, splits=("train[:90%]", "", ""))
    assert sentence.startswith(f"owner/texts train[:90%], row {row} has 'x' under 'label'")
    other = many.rename_column("label", "lable")
    assert said(read, "classification", train=other) == (
        "owner/texts train has no column 'label'; did you mean 'lable'?: set task.label to one of its "
        "columns ('text', 'lable')"
    )


# As files are read


def records(kind):
    """Return forty rows of a kind, as JSON has them; some repeat a text."""
    texts = [f"text {i % 36}" for i in range(40)]
    pairs = {"query": [f"q{i % 8}" for i in range(40)], "candidate": texts}
    context = [f"In {i} there was a town." for i in range(10) for _ in range(4)]
    columns = {
        "classification": {"text": texts, "label": [TOPICS[i % 36 % 3] for i in range(40)]},
        "multilabel": {"text": texts, "labels": [TOPICS[: i % 36 % 4] for i in range(40)]},
        "regression": {"text": texts, "label": [i % 36 / 7 for i in range(40)]},
        "ranking": pairs | {"relevance": [float(i % 3) for i in range(40)]},
        "token": {
            "tokens": [["Ann", f"w{i % 36}"] for i in range(40)],
            "tags": [["B-PER", "O"] if i % 36 % 2 else ["O", "O"] for i in range(40)],
        },
        "span": {
            "question": [f"How many, {i}?" for i in range(40)],
            "context": context,
            "answers": [
                {"text": [str(i // 4)], "answer_start": [3]}
                if i % 3
                else {"text": [], "answer_start": []}
                for i in range(40)
            ],
        },
    }[kind]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_the_same_rows_in_a_file_are_the_same_task(kind, tmp_path):
    """Also the parts that are cut, and what is said of rows that are left out."""
    rows = records(kind)
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    of_file = files.task(str(tmp_path / "a.jsonl"), kind=kind)
    of_hub = read(kind, train=Dataset.from_list(rows))
    assert of_file.classes == of_hub.classes
    for one, other in zip(of_file[2:5], of_hub[2:5], strict=True):
        assert one.texts == other.texts
        assert one.groups == other.groups
        assert [row.split(":")[1] for row in one.ids] == [row.split(":")[1] for row in other.ids]
        assert len(one.labels) == len(other.labels)
        assert all(map(np.array_equal, one.labels, other.labels))
    assert [re.sub("line|question", "row", note.partition(": ")[2]) for note in of_file.notes] == [
        note.partition(": ")[2] for note in of_hub.notes
    ]
    validate(of_hub, "x")


def test_a_cut_is_the_same_twice_and_in_proportion():
    rows = labelled([i % 3 for i in range(90)], ClassLabel(names=TOPICS))
    one, two = (read("classification", train=rows) for _ in range(2))
    assert [split.ids for split in one[2:5]] == [split.ids for split in two[2:5]]
    assert [np.bincount(split.labels).tolist() for split in one[2:5]] == [
        [18] * 3,
        [6] * 3,
        [6] * 3,
    ]
    assert len({name for split in one[2:5] for name in split.ids}) == 90
    kept = read("classification", train=rows, test=labelled([0, 1], ClassLabel(names=TOPICS)))
    assert [len(split.ids) for split in kept[2:5]] == [72, 18, 2]
    few = labelled([0, 1], ClassLabel(names=TOPICS))
    assert said(read, "classification", train=few) == (
        "owner/texts train has too few distinct texts of each class to cut 2 fifths off: add some, or name "
        "splits for task.validation and task.test"
    )
