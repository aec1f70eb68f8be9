"""A user's own labelled data: each format gives the same task, cells stay as they are, cuts are clean."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from labelled import classes_folder, conll, folder, pairs, raw, rows_of, sizes, squad, write

from bertbench import config
from bertbench.data.splits import split_ids
from bertbench.tasks import files

ENDINGS = [".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".tsv.gz", ".jsonl.gz"]
every_ending = pytest.mark.parametrize("ending", ENDINGS)
PARTS = ("train", "validation", "test")


# What is read


@every_ending
def test_every_format_gives_the_same_task(ending, tmp_path):
    data = files.task(write(tmp_path / f"data{ending}", rows_of(40)))
    expected = files.task(write(tmp_path / "expected.csv", rows_of(40)))
    assert sorted(pairs(data)) == sorted(rows_of(40))
    assert pairs(data) == pairs(expected)
    assert data.classes == ["a", "b"]
    assert (data.kind, data.notes) == ("classification", ())


def test_a_folder_of_classes_and_a_parquet_file_give_it_too(tmp_path):
    place = classes_folder(tmp_path / "all", rows_of(40))
    assert sorted(pairs(files.task(place))) == sorted(rows_of(40))
    pd.DataFrame(rows_of(40), columns=["text", "label"]).to_parquet(tmp_path / "data.parquet")
    assert sorted(pairs(files.task(str(tmp_path / "data.parquet")))) == sorted(rows_of(40))


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_cells_come_back_as_they_were_written(ending, tmp_path):
    texts = ['say "hi"', "a, b", "two\nlines", " spaces ", "tab\t", "'", '""', "\\n", "=1", "é"]
    rows = [(f"{text}{i}", "x" if i % 2 else "y") for i, text in enumerate(texts * 4)]
    path = write(tmp_path / f"data{ending}", rows)
    assert sorted(pairs(files.task(path))) == sorted(rows)


def test_cells_are_those_of_pandas_told_not_to_guess(tmp_path):
    """An independent reader: everything text, nothing missing."""
    generator = np.random.default_rng(0)
    letters = list('ab",;\n\t é1.NA')
    rows = [("".join(generator.choice(letters, 12)) + str(i), f"c{i % 3}") for i in range(200)]
    path = write(tmp_path / "data.csv", rows)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert sorted(pairs(files.task(path))) == sorted(
        zip(frame["text"], frame["label"], strict=True)
    )


@every_ending
@pytest.mark.parametrize("names", [("NA", "None"), ("null", "nan"), ("-", "N/A"), ("#N/A", "0")])
def test_a_label_is_what_stands_there(ending, names, tmp_path):
    data = files.task(write(tmp_path / f"data{ending}", rows_of(20, classes=names)))
    assert data.classes == sorted(names)


@every_ending
def test_a_whole_number_is_one_class_however_it_is_written(ending, tmp_path):
    names = [1, "1", 1.0, "1.00", 0, "0", -0.0, " 0 "]
    rows = [(f"text {i}", names[i % 8]) for i in range(80)]
    data = files.task(write(tmp_path / f"data{ending}", rows))
    assert data.classes == ["0", "1"]
    assert sum(int(split.labels.sum()) for split in data[2:5]) == 40


def test_other_numbers_and_truths_are_named_as_json_writes_them(tmp_path):
    rows = rows_of(40, classes=(True, False, 0.5, -2.0))
    data = files.task(write(tmp_path / "data.jsonl", rows))
    assert data.classes == ["-2", "0.5", "false", "true"]


def test_an_accent_is_one_class_in_either_form_of_unicode(tmp_path):
    data = files.task(write(tmp_path / "data.csv", rows_of(40, classes=("caf\xe9", "cafe\u0301"))))
    assert data.classes == ["caf\xe9"]


def test_classes_that_read_alike_are_kept_apart_and_said(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(60, classes=("Sport", "sport", "art")))
    data = files.task(path)
    assert data.classes == ["Sport", "art", "sport"]
    assert data.notes == (f"{path}: the classes 'Sport', 'sport' read alike: are they one?",)


def test_columns_have_the_names_they_are_given(tmp_path):
    rows = [(i, f"text {i}", "ab"[i % 2], f"other {i}") for i in range(20)]
    path = write(tmp_path / "data.csv", rows, ("key", "review", "stars", "more"))
    data = files.task(path, text="review", second="more", label="stars", id="key")
    assert sorted(name for split in data[2:5] for name in split.ids) == sorted(map(str, range(20)))
    for split in data[2:5]:
        for name, pair in zip(split.ids, split.texts, strict=True):
            assert pair == (f"text {name}", f"other {name}")


def test_columns_without_a_header_are_numbers(tmp_path):
    path = raw(tmp_path / "data.csv", "".join(f"{c},text {i}\n" for i, c in enumerate("ab" * 10)))
    data = files.task(path, header=False, text=2, label=1)
    assert sorted(pairs(data)) == sorted((f"text {i}", c) for i, c in enumerate("ab" * 10))


def test_without_ids_they_are_part_and_line(tmp_path):
    """Even where texts have several lines: a text begins in the line that its id names."""
    rows = [(f"text {i}\nmore", "ab"[i % 2]) for i in range(20)]
    data = files.task(write(tmp_path / "data.csv", rows))
    lines = (tmp_path / "data.csv").read_text().split("\n")
    for split in data[2:5]:
        for name, text in zip(split.ids, split.texts, strict=True):
            part, _, line = name.partition(":")
            assert part == "row"
            assert lines[int(line) - 1].strip('"') == text.split("\n")[0]


@every_ending
def test_rows_without_text_or_label_are_left_out_and_named(ending, tmp_path, caplog):
    rows = [*rows_of(20), ("", "a"), ("text", "  "), *rows_of(5, start=50), (" \n ", "b")]
    rows = rows[:-1] if "tsv" in ending else rows
    path = write(tmp_path / f"data{ending}", rows)
    data = files.task(path)
    assert sorted(pairs(data)) == sorted([*rows_of(20), *rows_of(5, start=50)])
    [note] = data.notes
    assert note == caplog.records[0].message
    assert caplog.records[0].levelname == "WARNING"
    unit = "row" if ending == ".json" else "line"
    first = 21 if "json" in ending else 22
    assert f"{path}: {len(rows) - 25} of {len(rows)} rows lack a text or a label" in note
    assert f"({unit} {first}, {unit} {first + 1}" in note


@every_ending
@pytest.mark.parametrize("unseen", ["\u200b", "\u200b \ufeff", "\u2060\u00ad", "\u2800"])
def test_signs_that_are_not_seen_are_blank(ending, unseen, tmp_path):
    rows = [*rows_of(20), (unseen, "a"), ("a text", unseen)]
    data = files.task(write(tmp_path / f"data{ending}", rows))
    assert sorted(pairs(data)) == sorted(rows_of(20))
    [flaw] = data.flaws
    assert flaw[:3] == ("incomplete rows", 2, 22)


def test_a_task_of_every_text_format_is_read_without_the_heavy_libraries(tmp_path):
    """Or a slip would take seconds to be named."""
    sentences = [([f"word{i}", "x"], ["N", "V"]) for i in range(20)]
    questions = [(f"what {i}?", f"it is {i} there", [(6, str(i))]) for i in range(20)]
    lines = {"tokens": [f"word{i} x" for i in range(20)], "tags": ["N V"] * 20}
    cases = [(write(tmp_path / f"data{ending}", rows_of(20)), {}) for ending in ENDINGS]
    cases += [(classes_folder(tmp_path / "classes", rows_of(20)), {})]
    cases += [(conll(tmp_path / "data.conll", sentences), {"kind": "token"})]
    cases += [(conll(tmp_path / "data.conllu", sentences, universal=True), {"kind": "token"})]
    cases += [(folder(tmp_path / "lines", lines), {"kind": "token"})]
    cases += [(squad(tmp_path / "squad.json", questions), {"kind": "span"})]
    code = """
import json, sys
from bertbench.kinds.validate import validate
from bertbench.models import safety
from bertbench.tasks import files, leaks
for path, named in json.loads(sys.argv[1]):
    data = files.task(path, **named)
    assert sum(len(split.ids) for split in data[2:5]) == 20
    validate(data, path)
    assert leaks.checked(data, "error", path) is data
heavy = {"torch", "pandas", "transformers", "sklearn", "datasets", "mlflow"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code, json.dumps(cases)], check=True)


# The cut


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((), (60, 20, 20)),
        (("validation",), (80, 10, 20)),
        (("test",), (80, 20, 10)),
        (("validation", "test"), (100, 10, 10)),
    ],
    ids=lambda value: "+".join(value) if value and isinstance(value[0], str) else None,
)
def test_what_has_no_file_is_a_fifth_of_the_training_file(own, expected, tmp_path):
    path = write(tmp_path / "data.csv", rows_of(100))
    own_files = {
        name: write(tmp_path / f"{name}.csv", rows_of(10, start=1000 * len(name))) for name in own
    }
    data = files.task(path, **own_files)
    assert sizes(data) == expected
    for split in data[2:5]:
        assert np.bincount(split.labels).tolist() == [len(split.ids) // 2] * 2
    for name in own:
        assert split_ids(data)[name] == [f"{name}:{line}" for line in range(2, 12)]


def test_the_cut_is_clean_and_always_the_same(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(100))
    ids = split_ids(files.task(path))
    assert len({name for part in ids.values() for name in part}) == 100
    files._task.cache_clear()
    assert split_ids(files.task(path)) == ids


def test_a_text_never_lies_on_both_sides_of_the_cut(tmp_path, caplog):
    """Nor with other spaces, case or forms in it, nor under another label: the first row counts."""
    rows = rows_of(50)
    again = [(f"  {text.upper().replace(' ', '  ')}", label) for text, label in rows[:20]]
    wide = [("\uff54" + text[1:], label) for text, label in rows[20:25]]
    other = [(text, "b" if label == "a" else "a") for text, label in rows[:7]]
    path = write(tmp_path / "data.csv", [*rows, *again, *wide, *other])
    data = files.task(path)
    assert sorted(pairs(data)) == sorted(rows)
    same, conflicting = data.notes
    assert [record.message for record in caplog.records] == [same, conflicting]
    assert f"{path}: 25 rows repeat the text of an earlier one with the same label" in same
    assert "(line 52 as line 2, line 53 as line 3, " in same
    assert "and 15 more)" in same
    assert f"{path}: 7 rows repeat the text of an earlier one with another label" in conflicting
    assert "line 77 as line 2, " in conflicting


def test_rows_are_left_alone_where_nothing_is_cut(tmp_path, caplog):
    own = {name: write(tmp_path / f"{name}.csv", rows_of(10, start=100)) for name in PARTS[1:]}
    data = files.task(write(tmp_path / "data.csv", rows_of(10) * 2), **own)
    assert sizes(data) == (20, 10, 10)
    assert caplog.records == []


def test_files_of_one_name_give_distinct_ids(tmp_path):
    own = {
        key: write(tmp_path / key / "data.csv", rows_of(10, start=100 * i))
        for i, key in enumerate(PARTS)
    }
    names = list(itertools.chain(*split_ids(files.task(**own)).values()))
    assert len(set(names)) == 30
    assert names[0] == "train:2"


def test_neither_name_nor_folder_of_a_file_is_part_of_the_task(tmp_path, monkeypatch):
    """Renaming a file changes no result, so it runs nothing again."""
    monkeypatch.chdir(tmp_path)
    places = [write(tmp_path / name, rows_of(20)) for name in ("one.csv", "there/other.csv.gz")]
    read = [files.task(place) for place in (*places, "there/other.csv.gz")]
    assert split_ids(read[0]) == split_ids(read[1]) == split_ids(read[2])
    assert pairs(read[0]) == pairs(read[1]) == pairs(read[2])


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_source_is_read_once_until_it_changes(form, tmp_path, caplog, monkeypatch):
    """A run and its baseline share it, and its warnings."""

    def put(rows):
        if form == "file":
            return write(tmp_path / "data.csv", rows)
        return classes_folder(tmp_path / "data", rows)

    path = put(rows_of(20) * 2)
    count, read = itertools.count(), files.open_records
    monkeypatch.setattr(files, "open_records", lambda *a, **k: (next(count), read(*a, **k))[1])
    for _ in range(2):
        assert sizes(files.task(path)) == (12, 4, 4)
    assert next(count) == 1
    assert len(caplog.records) == 1
    put(rows_of(60))
    assert sizes(files.task(path)) == (36, 12, 12)


def test_a_relative_path_is_read_anew_in_another_folder(tmp_path, monkeypatch):
    for name, classes in (("here", "ab"), ("there", "cd")):
        write(tmp_path / name / "data.csv", rows_of(20, classes=classes))
        os.utime(tmp_path / name / "data.csv", ns=(0, 0))
        monkeypatch.chdir(tmp_path / name)
        assert files.task("data.csv").classes == [*classes]


# What the task is called


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("reviews.csv", "reviews"),
        ("my/data/reviews.v2.jsonl.gz", "reviews.v2"),
        ("/data/Große Daten (2).TSV", "Große-Daten-2"),
        ("a/b=c.csv", "b-c"),
        (".csv", "files"),
        ("???", "files"),
        (5, "5"),
    ],
)
def test_a_task_is_called_as_its_file(path, name):
    assert config.stem(path) == name
