"""A user's own labelled data that cannot be used: one sentence with the file, the line and the way out."""

import itertools
import json

import pytest
from labelled import conll, named, raw, rows_of, said, sizes, write

from bertbench.errors import UserError
from bertbench.kinds import KINDS
from bertbench.kinds.validate import validate
from bertbench.tasks import files

PARTS = ("train", "validation", "test")
every_ending = pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".csv.gz"])


def read(path, **settings):
    """Read a task as a run does: what the reader lets through, the check of the whole may refuse."""
    data = files.task(path, **settings)
    validate(data, "task files")
    return data


# Cells


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("cells", [1, 3])
def test_a_row_of_another_width_is_named(ending, cells, tmp_path):
    rows = [*rows_of(3), tuple("xyz"[:cells]), *rows_of(3)]
    path = write(tmp_path / f"data{ending}", rows)
    assert f"{path}, line 5 has {cells} cell" in said(files.task, path)


@every_ending
@pytest.mark.parametrize("row", [("text", ""), ("text", "  "), ("", "a"), ("\u3000", "a")])
def test_an_incomplete_row_is_named_where_none_may_be(ending, row, tmp_path):
    path = write(tmp_path / f"data{ending}", [*rows_of(3), row])
    words = said(files.task, path, incomplete="error")
    column = "text" if row[1] == "a" else "label"
    line = named(path, 4 if "jsonl" in ending else 5)
    assert words == (
        f"{line}has nothing under {column!r}: fill it or remove the row, or set task.incomplete=drop"
    )


@pytest.mark.parametrize(
    "rows", [[("", "a")] * 4, [("text", " ")] * 4], ids=["no text", "no label"]
)
def test_a_file_whose_rows_are_all_incomplete_is_refused(rows, tmp_path):
    path = write(tmp_path / "data.csv", rows)
    assert said(files.task, path) == f"{path} has no labelled rows: give it texts and labels"


@pytest.mark.parametrize("value", ["Drop", None, True])
def test_what_becomes_of_incomplete_rows_is_one_of_two(value, tmp_path):
    path = write(tmp_path / "data.csv", rows_of(20))
    assert said(files.task, path, incomplete=value).startswith(f"task.incomplete={value} must be")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": 5, "label": "a"}, "has 5 under 'text': it must be text"),
        ({"text": ["a"], "label": "a"}, "has ['a'] under 'text': it must be text"),
        ({"text": [1, 2], "label": "a"}, "has [1, 2] under 'text': it must be text"),
        ({"text": True, "label": "a"}, "has True under 'text': it must be text"),
        ({"text": "a", "label": float("inf")}, "has inf under 'label'"),
        ({"text": "a", "label": ["x"]}, "has ['x'] under 'label'"),
        ({"text": "a", "label": [1, 2]}, "has [1, 2] under 'label'"),
        ({"text": "a", "label": {"x": 1}}, "has {'x': 1} under 'label'"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_cell_of_another_kind_is_named(row, words, tmp_path):
    path = raw(tmp_path / "data.jsonl", "\n" + json.dumps(row))
    assert f"{path}, line 2 {words}" in said(files.task, path)


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        (("text", "Label"), {}, "has no column 'label'; did you mean 'Label'?: set task.label to"),
        (("texts", "label"), {}, "has no column 'text'; did you mean 'texts'?: set task.text to"),
        (("text", "label"), {"second": "text2"}, "did you mean 'text'?: set task.second to"),
        (("text", "label"), {"group": "author"}, "no column 'author': set task.group to"),
        (("text", "label"), {"id": "key"}, "no column 'key': set task.id to one of its columns"),
        (("te\u0445t", "label"), {}, "has no column 'text'; did you mean 'te\u0445t'?"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(columns, settings, words, tmp_path):
    path = write(tmp_path / "data.csv", rows_of(20), columns)
    assert words in said(files.task, path, **settings)


def test_a_file_whose_first_row_is_data_is_told_of_the_setting(tmp_path):
    path = raw(tmp_path / "data.csv", "a fine film,1\na dull film,0\n")
    words = said(files.task, path)
    assert words.endswith(
        "('a fine film', '1'), or, if its first row is data, set task.header=false: its columns are then "
        "1, 2 and so on"
    )
    assert "task.header" not in said(files.task, path, header=False)


@pytest.mark.parametrize("sign", [";", ",", "|"])
def test_another_separator_than_the_one_that_is_told_is_named(sign, tmp_path):
    path = raw(tmp_path / "data.tsv", f"text{sign}label\na fine film{sign}1\na dull film{sign}0\n")
    words = said(files.task, path, format="tsv")
    assert words.endswith(
        f"; its rows are one cell: if {sign!r} stands between cells, set task.format=csv"
    )
    path = raw(tmp_path / "data.csv", "text\na fine film\na dull film\n")
    assert said(files.task, path).endswith(
        "; its rows are one cell: put commas, semicolons, tabs or bars between cells"
    )


@pytest.mark.parametrize(("cell", "right"), [("3,5", "3.5"), ("-0,25", "-0.25"), (" ,5", ".5")])
def test_a_decimal_comma_is_shown_with_a_point(cell, right, tmp_path):
    path = write(tmp_path / "data.csv", [*rows_of(20, classes=(1, 2)), ("a text", cell)])
    words = said(files.task, path, kind="regression")
    assert words.endswith(
        f"line 22 has {cell!r} under 'label': it must be a number with a point, such as {right}"
    )


def test_a_part_without_labels_is_named(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(20))
    own = write(tmp_path / "own.csv", [(text,) for text, _ in rows_of(9)], ("text",))
    words = said(files.task, path, validation=own)
    assert words.startswith(f"{own} has no column 'label': set task.label")


@pytest.mark.parametrize(
    "settings", [{"text": "label"}, {"second": "text"}, {"second": "label"}], ids=str
)
def test_a_column_is_not_two_things(settings, tmp_path):
    path = write(tmp_path / "data.csv", rows_of(20))
    words = said(files.task, path, **settings)
    assert f"are both the column {next(iter(settings.values()))!r}" in words


def test_a_column_that_stands_twice_is_refused_only_if_it_is_asked_for(tmp_path):
    columns = ("text", "label", "n", "n")
    path = write(tmp_path / "data.csv", [(*row, 1, 2) for row in rows_of(20)], columns)
    assert sum(sizes(files.task(path))) == 20
    assert f"{path} has 2 columns 'n': rename one" in said(files.task, path, id="n")


@pytest.mark.parametrize("value", [None, "", " ", 1.5, True, []])
def test_an_id_is_text_or_a_number(value, tmp_path):
    rows = [(1, "text", "a"), (value, "other", "b")]
    path = write(tmp_path / "data.jsonl", rows, ("key", "text", "label"))
    assert "line 2 has " in said(files.task, path, id="key")


def test_an_id_that_stands_twice_is_named_with_both_lines(tmp_path):
    columns = ("text", "label", "key")
    rows = [(*row, f"k{i}") for i, row in enumerate(rows_of(20))]
    path = write(tmp_path / "data.csv", [*rows, ("another", "a", "k3")], columns)
    words = said(files.task, path, id="key")
    way_out = "give each row its own, or set task.id to null"
    assert words in [
        f"{path}, line {one} has the id 'k3' of line {other}: {way_out}"
        for one, other in ((5, 22), (22, 5))
    ]
    own = write(tmp_path / "own.csv", [(*row, "k7") for row in rows_of(1, start=90)], columns)
    clean = write(tmp_path / "data.csv", rows, columns)
    words = said(files.task, clean, id="key", test=own)
    assert words.startswith(f"{own}, line 2 has the id 'k7' of {clean}, line 9: give each row")


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_row_without_a_group_is_named(blank, tmp_path):
    rows = [(*row, "g" if i < 5 else blank) for i, row in enumerate(rows_of(20))]
    path = write(tmp_path / "data.jsonl", rows, ("text", "label", "author"))
    words = said(files.task, path, group="author")
    assert words == f"{path}, line 6 has nothing under 'author': fill it or remove the row"


@pytest.mark.parametrize("content", ["", "\n\n", "text,label\n", "text,label\n\n"])
def test_a_file_without_rows_is_refused(content, tmp_path):
    path = raw(tmp_path / "data.csv", content)
    assert f"{path} has no rows" in said(files.task, path)


# Classes


@pytest.mark.parametrize(
    "rows",
    [rows_of(1), rows_of(4), rows_of(4) * 50, rows_of(30, classes=[*map(str, range(30))])],
    ids=["1", "4", "same", "unique"],
)
def test_too_few_texts_to_cut_are_refused(rows, tmp_path):
    path = write(tmp_path / "data.csv", rows)
    words = said(files.task, path)
    assert f"{path} has too few distinct texts of each class to cut 2 fifths off" in words
    assert words.endswith("name files for task.validation and task.test")
    own = write(tmp_path / "own.csv", rows_of(4, start=100))
    other = write(tmp_path / "other.csv", rows_of(4, start=200))
    assert sizes(files.task(path, validation=own, test=other)) == (len(rows), 4, 4)


def test_one_class_alone_is_refused(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(40, classes=("spam",)))
    assert said(read, path).startswith("all training texts of task files have the class 'spam'")


def test_a_class_that_is_not_trained_on_is_refused(tmp_path):
    path = write(tmp_path / "data.csv", rows_of(40))
    own = write(tmp_path / "own.csv", rows_of(9, start=100, classes=("a", "B", "B")))
    words = said(read, path, test=own)
    assert words.startswith(
        "6 test texts of task files have the class 'B', which no training text"
    )


def test_a_tag_that_is_not_trained_on_is_noted(tmp_path):
    """It can be scored, as every tagger of it is wrong alike; newswire has such tags."""
    train = [([f"word{i}", "x"], ["B-PER", "O"]) for i in range(40)]
    path = conll(tmp_path / "data.conll", train)
    own = conll(tmp_path / "own.conll", [(["Rome", "x"], ["B-LOC", "O"])])
    data = read(path, test=own, kind="token")
    assert data.classes == ["B-LOC", "B-PER", "O"]
    words = "no training text has the class 'B-LOC', so no model can learn it"
    assert data.notes == (f"{path}: {words}",)


# Files


def test_the_training_file_must_be_given():
    assert said(files.task, None).startswith("task.train has no default: set it with task.train=")


@pytest.mark.parametrize("key", PARTS)
@pytest.mark.parametrize(
    "value", ["nothing.csv", ".", "data.xlsx", 7, "", "x" * 300, "~nobody-of-this-name/data.csv"]
)
def test_a_file_that_cannot_be_is_named_with_its_setting(key, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw(tmp_path / "data.xlsx", "")
    given = {"train": write(tmp_path / "data.csv", rows_of(20))} | {key: value}
    words = said(files.task, **given)
    shown = "." if value == "" else value
    assert words.startswith(f"task.{key}={shown}") or "File name too long" in words


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(PARTS, 2)))
def test_one_file_is_not_two_parts(one, other, tmp_path):
    given = {key: write(tmp_path / f"{key}.csv", rows_of(20)) for key in PARTS}
    (tmp_path / "link.csv").symlink_to(given[one])
    given[other] = str(tmp_path / "link.csv")
    assert said(files.task, **given).startswith(f"task.{one} and task.{other} are both")


@pytest.mark.parametrize("kind", ["tokens", "Classification", None, 3])
def test_an_unknown_kind_is_named_with_the_known(kind, tmp_path):
    words = said(files.task, write(tmp_path / "data.csv", rows_of(20)), kind=kind)
    assert words.startswith(f"task.kind={kind} is no kind of task")
    assert "known: classification, multilabel, regression, ranking, token, span" in words


GOOD = {  # the cells of a row, in the order of the kind's own columns
    "classification": lambda i: [f"text {i}", "ab"[i % 2]],
    "multilabel": lambda i: [f"text {i}", ["a", "b"][: i % 3]],
    "regression": lambda i: [f"text {i}", i / 7],
    "ranking": lambda i: [f"query {i // 4}", f"candidate {i}", i % 4],
    "token": lambda i: [[f"word{i}", "a"], ["B-X", "O"]],
    "span": lambda i: [f"what is {i}?", f"it is {i} here", [{"text": str(i), "answer_start": 6}]],
}
ODD = ["", " ", "a", "a|b", "1", "-1e400", "nan", "0.5", "[]", "['a']", "\u200b", "_", "a b"]
ODD += [None, True, 0, 7, 1e300, -1, [], [1], ["a"], ["a", ""], ["a", "b"], [None], {}]
ODD += [{"text": ["a"]}, {"text": []}, {"text": ["0"], "answer_start": 6}, [{"text": "is"}]]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_stands_in_a_cell_is_read_or_refused_in_a_sentence(kind, tmp_path):
    """Each odd cell in each column, in one row or in every row: no other exception."""
    own = KINDS[kind].columns
    columns = [column for column in (own.text, own.second, own.label) if column]
    refused = []
    for column, odd, many in itertools.product(range(len(columns)), ODD, (False, True)):
        rows = [GOOD[kind](i) for i in range(40)]
        for row in rows if many else rows[5:6]:
            row[column] = odd
        path = write(tmp_path / "data.jsonl", rows, columns)
        files._task.cache_clear()
        try:
            assert sum(sizes(read(path, kind=kind))) <= 40
        except UserError as error:
            refused.append(str(error))
    assert 0 < len(refused) < len(columns) * len(ODD) * 2
    assert not [words for words in refused if "\n" in words]
    assert all(path in words or "task files" in words for words in refused)
