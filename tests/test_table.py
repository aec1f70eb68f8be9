"""A user's own labelled texts: each format gives the same task, cells stay as they are, cuts are clean."""

import csv
import gzip
import io
import itertools
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bertbench import config
from bertbench.data import reading, rows, table
from bertbench.data.splits import split_ids
from bertbench.errors import UserError

ENDINGS = [".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz"]
every_ending = pytest.mark.parametrize("ending", ENDINGS)
PARTS = ("train", "validation", "test")


def rows_of(count, *, classes=("a", "b"), start=0):
    return [(f"text number {i}", classes[i % len(classes)]) for i in range(start, start + count)]


def write(path, rows, columns=("text", "label")):
    """Write rows in the format of the file's ending."""
    buffer = io.StringIO()
    if ".jsonl" in path.suffixes:
        for row in rows:
            buffer.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
    elif ".tsv" in path.suffixes:
        buffer.writelines("\t".join(map(str, row)) + "\n" for row in [columns, *rows])
    else:
        csv.writer(buffer).writerows([columns, *rows])
    raw = buffer.getvalue().encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


def pairs(data):
    """Return the text and the class of each item, in order of the splits."""
    return [
        (text, data.classes[label])
        for split in data[2:5]
        for text, label in zip(split.texts, split.labels, strict=True)
    ]


def sizes(data):
    return tuple(len(split.ids) for split in data[2:5])


def said(function, *arguments, **named):
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read


@every_ending
def test_every_format_gives_the_same_task(ending, tmp_path):
    data = table.task(write(tmp_path / f"data{ending}", rows_of(40)))
    expected = table.task(write(tmp_path / "expected.csv", rows_of(40)))
    assert sorted(pairs(data)) == sorted(rows_of(40))
    assert pairs(data) == pairs(expected)
    assert data.classes == ["a", "b"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_cells_come_back_as_they_were_written(ending, tmp_path):
    texts = [
        'say "hi"',
        "a, b",
        "two\nlines",
        " spaces ",
        "tab\there",
        "'",
        '""',
        "\\n",
        "=1+1",
        "é",
    ]
    rows = [(f"{text}{i}", "x" if i % 2 else "y") for i, text in enumerate(texts * 4)]
    path = write(tmp_path / f"data{ending}", rows)
    assert sorted(pairs(table.task(path))) == sorted(rows)


def test_a_quote_in_a_tsv_is_a_character(tmp_path):
    rows = [(f'"quoted" {i}', "x") for i in range(10)] + [(f'"open {i}', "y") for i in range(10)]
    assert sorted(pairs(table.task(write(tmp_path / "data.tsv", rows)))) == sorted(rows)


def test_cells_are_those_of_pandas_told_not_to_guess(tmp_path):
    """An independent reader: everything text, nothing missing."""
    generator = np.random.default_rng(0)
    letters = list('ab",;\n\t é1.NA')
    rows = [("".join(generator.choice(letters, 12)) + str(i), f"c{i % 3}") for i in range(200)]
    path = write(tmp_path / "data.csv", rows)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert sorted(pairs(table.task(path))) == sorted(
        zip(frame["text"], frame["label"], strict=True)
    )


@every_ending
@pytest.mark.parametrize("names", [("NA", "None"), ("null", "nan"), ("-", "N/A"), ("#N/A", "0")])
def test_a_label_is_what_stands_there(ending, names, tmp_path):
    data = table.task(write(tmp_path / f"data{ending}", rows_of(20, classes=names)))
    assert data.classes == sorted(names)


@every_ending
def test_a_whole_number_is_one_class_however_it_is_written(ending, tmp_path):
    names = [1, "1", 1.0, "1.00", 0, "0", 0.0, " 0 "]
    rows = [(f"text {i}", names[i % 8]) for i in range(80)]
    data = table.task(write(tmp_path / f"data{ending}", rows))
    assert data.classes == ["0", "1"]
    assert sum(int(split.labels.sum()) for split in data[2:5]) == 40


def test_other_numbers_and_truths_are_named_as_json_writes_them(tmp_path):
    rows = rows_of(40, classes=(True, False, 0.5, -2.0))
    assert table.task(write(tmp_path / "data.jsonl", rows)).classes == [
        "-2",
        "0.5",
        "false",
        "true",
    ]


def test_columns_have_the_names_they_are_given(tmp_path):
    rows = [(i, f"text {i}", "ab"[i % 2], "rest") for i in range(20)]
    path = write(tmp_path / "data.csv", rows, ("key", "review", "stars", "more"))
    data = table.task(path, text="review", label="stars", id="key")
    assert sorted(name for split in data[2:5] for name in split.ids) == sorted(map(str, range(20)))


def test_without_ids_they_are_file_and_line(tmp_path):
    """Even where texts have several lines: a text begins in the line that its id names."""
    rows = [(f"text {i}\nmore", "ab"[i % 2]) for i in range(20)]
    path = write(tmp_path / "data.csv", rows)
    lines = (tmp_path / "data.csv").read_text().split("\n")
    data = table.task(path)
    for split in data[2:5]:
        for name, text in zip(split.ids, split.texts, strict=True):
            file, _, line = name.partition(":")
            assert file == "row"
            assert lines[int(line) - 1].strip('"') == text.split("\n")[0]


def test_a_text_may_be_longer_than_the_csv_module_allows(tmp_path):
    rows = [(f"{i} {'word ' * 50_000}", "ab"[i % 2]) for i in range(10)]
    assert sorted(pairs(table.task(write(tmp_path / "data.csv", rows)))) == sorted(rows)


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path):
    path = tmp_path / "data.csv"
    body = "".join(f"text {i},{'ab'[i % 2]}\r\n\r\n" for i in range(20))
    path.write_bytes(b"\xef\xbb\xbf\r\n" + f" text , label\r\n{body}".encode())
    assert len(pairs(table.task(str(path)))) == 20


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
    files = {
        name: write(tmp_path / f"{name}.csv", rows_of(10, start=1000 * len(name))) for name in own
    }
    data = table.task(path, **files)
    assert sizes(data) == expected
    for split in data[2:5]:
        assert np.bincount(split.labels).tolist() == [len(split.ids) // 2] * 2
    for name in own:
        assert split_ids(data)[name] == [f"{name}:{line}" for line in range(2, 12)]


def test_the_cut_is_clean_and_always_the_same(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(100))
    ids = split_ids(table.task(path))
    assert len({name for part in ids.values() for name in part}) == 100
    table._task.cache_clear()
    assert split_ids(table.task(path)) == ids


def test_a_text_never_lies_on_both_sides_of_the_cut(tmp_path, caplog):
    """Nor with other spaces in it, nor under another label: the first row counts."""
    rows = rows_of(50)
    again = [(f"  {text.replace(' ', '  ')}", label) for text, label in rows[:20]]
    other = [(text, "b" if label == "a" else "a") for text, label in rows[:7]]
    path = write(tmp_path / "data.csv", [*rows, *again, *other])
    assert sorted(pairs(table.task(path))) == sorted(rows)
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert f"{path}: 27 rows repeat" in record.message
    assert "7 of them with another label" in record.message


def test_rows_are_left_alone_where_nothing_is_cut(tmp_path, caplog):
    files = {name: write(tmp_path / f"{name}.csv", rows_of(10, start=100)) for name in ("test",)}
    files["validation"] = write(tmp_path / "validation.csv", rows_of(10, start=200))
    data = table.task(write(tmp_path / "data.csv", rows_of(10) * 2), **files)
    assert sizes(data) == (20, 10, 10)
    assert caplog.records == []


@pytest.mark.parametrize("given", ["validation", "test"])
def test_a_leak_is_said_and_nothing_dropped(given, tmp_path, caplog):
    """Whichever part of the cut file the texts came to lie in, and whatever the spaces in them."""
    path = write(tmp_path / "data.csv", rows_of(50))
    known = [(f" {text}  ", label) for text, label in rows_of(50)[::5]]
    data = table.task(path, **{given: write(tmp_path / "own.csv", known + rows_of(6, start=900))})
    assert len(getattr(data, given).ids) == 16
    messages = [record.message for record in caplog.records]
    assert any(f"of 16 {given} texts also stand among the training texts" in m for m in messages)
    assert sum(int(message.split()[0]) for message in messages) == 10


def test_a_leak_between_validation_and_test_is_said(tmp_path, caplog):
    files = {
        "validation": write(tmp_path / "v.csv", rows_of(10, start=100)),
        "test": write(tmp_path / "t.csv", rows_of(10, start=105)),
    }
    table.task(write(tmp_path / "data.csv", rows_of(10)), **files)
    [record] = caplog.records
    assert record.message.startswith("5 of 10 test texts also stand among the validation texts")


def test_files_of_one_name_give_distinct_ids(tmp_path):
    files = {
        key: write(tmp_path / key / "data.csv", rows_of(10, start=100 * i))
        for i, key in enumerate(("path", "validation", "test"))
    }
    data = table.task(**files)
    names = [name for split in data[2:5] for name in split.ids]
    assert len(set(names)) == 30
    assert names[0] == "train:2"


def test_the_name_of_a_file_is_not_part_of_the_task(tmp_path):
    """Renaming a file changes no result, so it runs nothing again."""
    for name in ("one.csv", "other.csv.gz"):
        write(tmp_path / name, rows_of(20))
    first, second = (table.task(str(tmp_path / n)) for n in ("one.csv", "other.csv.gz"))
    assert split_ids(first) == split_ids(second)


def test_the_folder_of_a_file_is_not_part_of_the_task(tmp_path, monkeypatch):
    first = table.task(write(tmp_path / "here" / "data.csv", rows_of(20)))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "there" / "data.csv", rows_of(20))
    again = table.task("there/data.csv")
    assert split_ids(again) == split_ids(first)
    assert pairs(again) == pairs(first)


def test_a_file_is_read_once_until_it_changes(tmp_path, caplog, monkeypatch):
    """A run and its baseline share it, and its warnings."""
    path = write(tmp_path / "data.csv", rows_of(20) * 2)
    count, read = itertools.count(), reading.read_text
    monkeypatch.setattr(rows, "read_text", lambda file: (next(count), read(file))[1])
    for _ in range(2):
        assert sizes(table.task(path)) == (12, 4, 4)
    assert next(count) == 1
    assert len(caplog.records) == 1
    write(tmp_path / "data.csv", rows_of(40))
    assert sizes(table.task(path)) == (24, 8, 8)


# What is refused


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("cells", [1, 3])
def test_a_row_of_another_width_is_named(ending, cells, tmp_path):
    rows = [*rows_of(3), tuple("xyz"[:cells]), *rows_of(3)]
    path = write(tmp_path / f"data{ending}", rows)
    assert f"{path}, line 5 has {cells} cells, but the header has 2" in said(table.task, path)


@pytest.mark.parametrize("tail", ['"open,a\n', '"closed"early,a\n', 'x,"a\n\n\n'])
def test_a_wrong_quote_is_named_with_the_line_it_opens_in(tail, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(f'text,label\n"two\nlines",b\n{tail}')
    assert f"{path}, line 4 cannot be read" in said(table.task, str(path))


@every_ending
@pytest.mark.parametrize("missing", ["", "  "])
def test_an_empty_label_is_named(ending, missing, tmp_path):
    rows = [*rows_of(3), ("text", missing)]
    path = write(tmp_path / f"data{ending}", rows)
    line = 4 if "jsonl" in ending else 5
    assert f"{path}, line {line} has nothing under 'label'" in said(table.task, path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "a"}, "has no 'label': set task.source.label to one of its columns ('text')"),
        ({"label": "a"}, "has no 'text': set task.source.text"),
        ({"text": None, "label": "a"}, "has nothing under 'text'"),
        ({"text": "a", "label": None}, "has nothing under 'label'"),
        ({"text": 5, "label": "a"}, "has 5 under 'text': it must be text"),
        ({"text": "a", "label": float("nan")}, "has nan under 'label'"),
        ({"text": "a", "label": float("inf")}, "has inf under 'label'"),
        ({"text": "a", "label": ["x"]}, "has ['x'] under 'label'"),
        ({"text": "a", "label": {"x": 1}}, "has {'x': 1} under 'label'"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_cell_of_another_kind_is_named(row, words, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("\n" + json.dumps(row))
    assert f"{path}, line 2 {words}" in said(table.task, str(path))


@pytest.mark.parametrize("value", [None, "", 1.5, True, []])
def test_an_id_is_text_or_a_number(value, tmp_path):
    rows = [(1, "text", "a"), (value, "other", "b")]
    path = write(tmp_path / "data.jsonl", rows, ("key", "text", "label"))
    assert "line 2 has " in said(table.task, path, id="key")


def test_a_column_that_stands_twice_is_refused_only_if_it_is_asked_for(tmp_path):
    path = write(
        tmp_path / "data.csv", [(*row, 1, 2) for row in rows_of(20)], ("text", "label", "n", "n")
    )
    assert len(pairs(table.task(path))) == 20
    assert f"{path} has 2 columns 'n': rename one" in said(table.task, path, id="n")


@pytest.mark.parametrize("content", ["", "\n\n", "text,label\n", "text,label\n\n"])
def test_a_file_without_rows_is_refused(content, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    assert f"{path} has no rows" in said(table.task, str(path))


def test_blank_texts_are_counted_and_the_first_named(tmp_path):
    path = write(
        tmp_path / "data.csv", [*rows_of(20), ("", "a"), *rows_of(5, start=50), (" \n", "b")]
    )
    assert f"{path} has 2 blank texts, the first in line 22" in said(table.task, path)


@pytest.mark.parametrize("rows", [rows_of(1), rows_of(4), rows_of(4) * 50], ids=["1", "4", "same"])
def test_too_few_texts_to_cut_are_refused(rows, tmp_path):
    path = write(tmp_path / "data.csv", rows)
    assert f"{path} has too few distinct texts of each class to cut 2" in said(table.task, path)
    own = write(tmp_path / "own.csv", rows_of(4, start=100))
    other = write(tmp_path / "other.csv", rows_of(4, start=200))
    assert sizes(table.task(path, validation=own, test=other)) == (len(rows), 4, 4)


@pytest.mark.parametrize("key", ["path", "validation", "test"])
@pytest.mark.parametrize("value", ["nothing.csv", ".", "data.xlsx", 7])
def test_a_file_that_cannot_be_is_named_with_its_setting(key, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.xlsx").touch()
    files = {"path": write(tmp_path / "data.csv", rows_of(20))} | {key: value}
    assert said(table.task, **files).startswith(f"task.source.{key}={value} ")


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations(("path", "validation", "test"), 2))
)
def test_one_file_is_not_two_parts(one, other, tmp_path):
    files = {
        key: write(tmp_path / f"{key}.csv", rows_of(20)) for key in ("path", "validation", "test")
    }
    (tmp_path / "link.csv").symlink_to(files[one])
    files[other] = str(tmp_path / "link.csv")
    assert said(table.task, **files).startswith(
        f"task.source.{one} and task.source.{other} are both"
    )


def test_a_table_is_read_without_the_heavy_libraries(tmp_path):
    """Or a slip would take seconds to be named."""
    path = write(tmp_path / "data.csv", rows_of(20))
    code = (
        f"import sys; from bertbench.data import table; table.task({path!r}); "
        "from bertbench.models import safety; "
        "assert not {'torch', 'pandas', 'transformers', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
