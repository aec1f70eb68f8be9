"""Labelled rows in, files of each format out; and what a task has read of them."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest

from bertbench.errors import UserError
from bertbench.kinds import KINDS
from bertbench.tasks import files
from bertbench.types import Answer


def rows_of(count, *, classes=("a", "b"), start=0):
    """Return pairs of a text and a class."""
    return [
        (f"text {i} of {i} words", classes[i % len(classes)]) for i in range(start, start + count)
    ]


def write(path, rows, columns=("text", "label")):
    """Write rows in the format of the file's ending; return the path as a user gives it."""
    buffer = io.StringIO()
    if ".jsonl" in path.suffixes:
        for row in rows:
            buffer.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
    elif ".json" in path.suffixes:
        json.dump([dict(zip(columns, row, strict=True)) for row in rows], buffer)
    elif ".tsv" in path.suffixes:
        buffer.writelines("\t".join(map(str, row)) + "\n" for row in [columns, *rows])
    else:
        csv.writer(buffer).writerows([columns, *rows])
    return raw(path, buffer.getvalue())


def raw(path, content):
    """Write text as it stands, packed where the ending says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = content.encode()
    path.write_bytes(gzip.compress(packed) if path.suffix == ".gz" else packed)
    return str(path)


def conll(path, sentences, *, universal=False):
    """Write sentences, pairs of words and tags, as CoNLL columns or CoNLL-U."""
    lines = []
    for words, tags in sentences:
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), 1):
            cells = [str(number), word, "_", tag, *"______"] if universal else [word, "_", tag]
            lines.append("\t".join(cells))
        lines.append("")
    return raw(path, "\n".join(lines))


def squad(path, questions):
    """Write questions, each with its context and answers (start, text), as SQuAD has them."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": str(number),
                    "question": question,
                    "answers": [{"text": text, "answer_start": start} for start, text in answers],
                    "is_impossible": not answers,
                }
            ],
        }
        for number, (question, context, answers) in enumerate(questions)
    ]
    return raw(path, json.dumps({"data": [{"title": "all", "paragraphs": paragraphs}]}))


def folder(path, columns):
    """Write files that belong together line by line, by name."""
    for name, lines in columns.items():
        raw(path / name, "".join(f"{line}\n" for line in lines))
    return str(path)


def classes_folder(path, rows):
    """Write a folder of .txt files for each class."""
    for number, (text, label) in enumerate(rows):
        raw(path / label / f"{number}.txt", text)
    return str(path)


def pairs(data):
    """Return the text and the class of each item, in order of the splits."""
    return [
        (text, data.classes[label])
        for split in data[2:5]
        for text, label in zip(split.texts, split.labels, strict=True)
    ]


def sizes(data):
    """Return the number of items of each split."""
    return tuple(len(split.ids) for split in data[2:5])


def said(function, *arguments, **named):
    """Return the one sentence that bad input is refused with."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def named(path: str | Path, line: int) -> str:
    """Return how an error begins that is about a line."""
    return f"{path}, line {line} "


# Items of every kind of task

TAGS = ["B-LOC", "B-PER", "I-PER", "O"]
COLUMNS = {name: [column for column in kind.columns[:3] if column] for name, kind in KINDS.items()}
STARTS, SIZES = {"train": 0, "validation": 300, "test": 600}, {"validation": 15, "test": 20}


def item(kind, i):
    """Return the cells of item `i`, in the order of the kind's columns."""
    if kind == "multilabel":
        return [f"text {i}", [name for bit, name in enumerate("pqr") if i % 8 >> bit & 1]]
    if kind == "regression":
        return [f"text {i}", (i * 37 % 101) / 8 - 3]
    if kind == "ranking":
        return [f"query {i // 5}", f"candidate {i}", float(i % 5 % 3)]
    if kind == "token":
        tags = [TAGS[number] for number in (1, 2, 3, 3, i % 2 * 3)]
        return [["Anna", "B.", f"flog{i}", "nach", "Rom"], tags]
    if kind == "span":
        context = f"Paragraph {i // 3}: it is about {i // 3}"
        told = [Answer(context.index(text), text) for text in ("Paragraph", "it is")]
        return [f"what is {i}?", context, told if i % 4 else []]
    return [f"text {i}", "xyz"[i % 3]]


def put(kind, path, items):
    """Write items of a kind in the format that the ending says; return the path."""
    if path.suffix in (".conll", ".conllu"):
        return conll(path, items, universal=path.suffix == ".conllu")
    if path.suffix == ".squad":
        return squad(path.with_suffix(".json"), items)
    if path.suffix == ".lines":
        columns = [[" ".join(words) for words in column] for column in zip(*items, strict=True)]
        return folder(path, dict(zip(COLUMNS[kind], columns, strict=True)))
    return write(path, [_plain(kind, cells, path.suffix) for cells in items], COLUMNS[kind])


def _plain(kind, cells, ending):
    *texts, label = cells
    if kind == "span" and ending == ".csv":  # has room for one answer, told by its text
        return [*texts, label[0].text if label else ""]
    if kind == "span":
        return [*texts, [{"text": answer.text, "answer_start": answer.start} for answer in label]]
    if kind == "token" and ending in (".csv", ".tsv"):
        return [" ".join(texts[0]), " ".join(label)]
    if kind == "multilabel" and ending in (".csv", ".tsv"):
        return [*texts, " | ".join(label)]
    return [*texts, label]


def task(kind, place, *, count=60, ending=".jsonl", cut=False, **settings):
    """Return a task of three files, or of one where it is cut."""
    given = {
        part: put(
            kind,
            place / f"{part}{ending}",
            [item(kind, start + i) for i in range(SIZES.get(part, count))],
        )
        for part, start in STARTS.items()
        if part == "train" or not cut
    }
    return files.task(**given, kind=kind, **settings)


def labels_of(data, split):
    """Return the labels of a split by name, as they were written."""
    if data.kind == "multilabel":
        return [[data.classes[i] for i in np.flatnonzero(found)] for found in split.labels]
    if data.kind == "token":
        return [[data.classes[i] for i in found] for found in split.labels]
    if data.kind == "classification":
        return [data.classes[i] for i in split.labels]
    return list(split.labels)
