"""Records out of every format: what was written comes back, and what had to be guessed is said."""

import csv
import gzip
import io
import json
import subprocess
import sys
from encodings.aliases import aliases

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import SHARED
from pyarrow import parquet

from bertbench.data import reading
from bertbench.data.formats.opening import FORMATS, column_error, open_records
from bertbench.errors import UserError

beside = pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not beside the project")
NASTY = [*'ab"",;|\t\n\r é1=#\'\\🎉\ufeff\u2028\x85\u3000', '""', "\r\n", "👩\u200d💻", "", " "]


def write(path, content):
    """Write text in UTF-8, or bytes, packed where the ending says so."""
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def opened(path, **named):
    return open_records(path, key="task.train", **named)


def cells(table):
    return [list(row.cells.values()) for row in table.rows]


def places(table):
    return [row.place for row in table.rows]


# Tables


@pytest.mark.parametrize("chunk", range(5))
def test_a_table_of_nasty_cells_comes_back_as_it_was_written(chunk, tmp_path):
    """500 random tables: separators, quotes and line ends within cells, with or without a mark."""
    generator = np.random.Generator(np.random.Philox(key=chunk))
    for number in range(100):
        width, height = generator.integers(2, 6), generator.integers(1, 8)
        rows = [
            ["".join(generator.choice(NASTY, generator.integers(0, 9))) for _ in range(width)]
            for _ in range(height)
        ]
        separator = str(generator.choice([",", ";", "\t", "|"]))
        columns = [f"column {i}" for i in range(width)]
        quoted = bool(
            generator.integers(2)
        )  # else a "\r" is quoted only if it is in the line's end
        buffer = io.StringIO(newline="")
        writer = csv.writer(
            buffer,
            delimiter=separator,
            lineterminator="\n" if quoted else "\r\n",
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerows([columns, *rows])
        mark = "\ufeff" if generator.integers(2) else ""
        ending = ".csv.gz" if generator.integers(2) else ".csv"
        file = write(tmp_path / f"{number}{ending}", mark + buffer.getvalue())
        table = opened(file)
        assert table.columns == columns
        assert cells(table) == rows
        note = [] if separator == "," else [f"{file}: separator {separator!r} found"]
        assert table.notes == note


@pytest.mark.parametrize("chunk", range(5))
def test_a_table_with_tabs_comes_back_to_the_quote(chunk, tmp_path):
    generator = np.random.Generator(np.random.Philox(key=(chunk, 1)))
    letters = [letter for letter in NASTY if not set(letter) & set("\t\r\n")]
    for number in range(100):
        width, height = generator.integers(2, 6), generator.integers(1, 8)
        rows = [
            ["".join(generator.choice(letters, generator.integers(0, 9))) for _ in range(width)]
            for _ in range(height)
        ]
        columns = [f"column {i}" for i in range(width)]
        lines = ["\t".join(row) for row in [columns, *rows]]
        table = opened(write(tmp_path / f"{number}.tsv", "\n".join(lines) + "\n"))
        assert table.columns == columns
        assert cells(table) == rows
        assert places(table) == list(range(2, height + 2))


def test_cells_and_separator_are_those_that_pandas_is_told(tmp_path):
    """An independent reader: everything text, nothing missing."""
    rows = [['say "hi"; he said', "1,5", "x|y"], ["two\nlines", "2,5", ""], ["NA", "3", "\\n"]] * 9
    for separator in ",;|\t":
        file = tmp_path / "a.csv"
        pd.DataFrame(rows, columns=["a", "b", "c"]).to_csv(file, sep=separator, index=False)
        frame = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
        assert cells(opened(file)) == frame.to_numpy().tolist() == rows


def test_a_place_is_the_line_that_a_row_begins_in(tmp_path):
    text = 'a,b\n"two\nlines",1\n\nx,2\n"three\n\nlines","4\n5"\ny,3'
    lines = text.split("\n")
    table = opened(write(tmp_path / "a.csv", text))
    assert places(table) == [2, 5, 6, 10]
    for place, row in zip(places(table), cells(table), strict=True):
        assert lines[place - 1].lstrip('"').startswith(row[0].split("\n")[0])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_a_line_is_one(end, tmp_path):
    table = opened(write(tmp_path / "a.csv", end.join(["a,b", "1,2", "", "3,4", ""])))
    assert cells(table) == [["1", "2"], ["3", "4"]]
    assert places(table) == [2, 4]


def test_without_a_header_columns_are_numbers(tmp_path):
    file = write(tmp_path / "a.tsv", "0\tone text\n1\tother text\n")
    table = opened(file, header=False)
    assert table.columns == ["1", "2"]
    assert [tuple(row) for row in table.rows] == [
        (1, {"1": "0", "2": "one text"}),
        (2, {"1": "1", "2": "other text"}),
    ]
    for header in (None, True):
        assert opened(file, header=header).columns == ["0", "one text"]


def test_a_header_loses_the_space_around_it_and_a_cell_does_not(tmp_path):
    table = opened(write(tmp_path / "a.csv", " text , label\n hi , x \n"))
    assert table.rows[0].cells == {"text": " hi ", "label": " x "}


def test_commas_of_prose_and_of_numbers_separate_nothing(tmp_path):
    text = "text;score\nHello, world;1,5\nWell, well;2,5\n"
    assert cells(opened(write(tmp_path / "a.csv", text)))[0] == ["Hello, world", "1,5"]
    text = "good, bad\t1\nnew, old\t2\n"
    assert cells(opened(write(tmp_path / "a.csv", text), header=False))[0] == ["good, bad", "1"]


def test_one_column_is_a_table(tmp_path):
    table = opened(write(tmp_path / "a.csv", 'text\n"a, b"\n""\nc\n'))
    assert cells(table) == [["a, b"], [""], ["c"]]


def test_a_column_may_stand_twice(tmp_path):
    assert opened(write(tmp_path / "a.csv", "a,b,b\n1,2,3\n")).columns == ["a", "b", "b"]


# Encodings


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        ("a,b\nGrüße,“so”\n", "utf-8", None),
        ("a,b\nGrüße,“so”\n", "utf-8-sig", None),
        ("a,b\nGrüße,“so”\n", "utf-16", None),
        ("\ufeffa,b\nGrüße,🎉\n", "utf-16-be", None),
        ("a,b\nx,y\nGrüße,so\n", "latin-1", "is not UTF-8 (first in line 3): read as Latin-1"),
        ("a,b\nnow,x\nnaïve,“so” €\n", "cp1252", "(first in line 3): read as Windows-1252"),
        ("a,b\nGrüße\x80,\x81\n", "latin-1", "is not UTF-8 (first in line 2): read as Latin-1"),
        ("a,b\n„Spaß“ für,größere\n", "cp1252", "(first in line 2): read as Windows-1252"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_text_comes_back_from_each_usual_encoding(ending, text, encoding, note, tmp_path):
    file = write(tmp_path / f"a{ending}", text.encode(encoding))
    table = opened(file)
    expected = text.removeprefix("\ufeff").strip("\n").split("\n")
    assert [",".join(row) for row in cells(table)] == expected[1:]
    assert table.columns == ["a", "b"]
    if note is None:
        assert table.notes == []
    else:
        assert table.notes[0].startswith(f"{file} is not UTF-8")
        assert table.notes[0].endswith(note)


@pytest.mark.parametrize("encoding", ["utf-16-le", "shift_jis", "cp1251", "utf-8", "koi8-r"])
def test_an_encoding_that_is_given_is_taken(encoding, tmp_path):
    text = "a,b\nЖизнь,быль\n"
    file = write(tmp_path / "a.csv", text.encode(encoding))
    table = opened(file, encoding=encoding)
    assert cells(table) == [["Жизнь", "быль"]]
    assert table.notes == []


def test_every_encoding_of_python_gives_text_or_one_sentence(tmp_path):
    """Whatever bytes are given: those that are no text, and those that are another."""
    file = write(tmp_path / "a.csv", "a,b\nЖизнь,быль \\ud83d +2D0-\n".encode())
    said = []
    for encoding in sorted(set(aliases.values()) - {"unicode_escape"}):  # warns of each escape
        try:
            opened(file, encoding=encoding)
        except UserError as error:
            said.append(str(error))
    assert all(sentence.startswith(f"{file}") and "\n" not in sentence for sentence in said)


# JSON and parquet

VALUES = [
    {"text": "one\u2028 two", "label": 1, "tokens": ["a", "b"], "score": 0.5},
    {"text": "Grüße 🎉", "label": 2, "tokens": [], "score": None},
    {"text": "\n", "label": 3, "tokens": ["\t"], "score": 1e300},
]


LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".txt")


@pytest.mark.parametrize("ending", [*LINES, ".json", ".json.gz", ".parquet"])
def test_values_keep_their_types(ending, tmp_path):
    file = tmp_path / f"a{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.Table.from_pylist(VALUES), file)
    elif ending in LINES:
        write(file, "\n".join(json.dumps(value, ensure_ascii=False) for value in VALUES))
    else:
        write(file, json.dumps(VALUES))
    table = opened(file)
    assert [row.cells for row in table.rows] == VALUES
    assert table.columns == list(VALUES[0])
    assert places(table) == [1, 2, 3]
    assert table.unit == ("line" if ending in LINES else "row")
    assert table.notes == ([f"{file}: read as jsonl"] if ending == ".txt" else [])


def test_a_parquet_file_of_several_batches_and_types_is_whole(tmp_path):
    numbers = list(range(3000))
    columns = {
        "text": [f"text {i}" for i in numbers],
        "class": pa.array([f"c{i % 3}" for i in numbers]).dictionary_encode(),
        "tokens": [["w"] * (i % 4) for i in numbers],
        "answers": [{"text": ["x"], "answer_start": [i]} for i in numbers],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=700)
    table = opened(tmp_path / "a.parquet")
    assert places(table) == [i + 1 for i in numbers]
    assert table.rows[2999].cells == {
        "text": "text 2999",
        "class": "c2",
        "tokens": ["w"] * 3,
        "answers": {"text": ["x"], "answer_start": [2999]},
    }


def test_json_may_be_lines_or_lie_under_data(tmp_path):
    expected = [{"text": "a"}, {"text": "b", "label": 1}]
    for content in (
        json.dumps({"version": 1, "data": expected}, indent=1),
        json.dumps(expected, indent=1),
        "\n".join(map(json.dumps, expected)),
    ):
        table = opened(write(tmp_path / "a.json", content))
        assert [row.cells for row in table.rows] == expected
        assert table.columns == ["text", "label"]


def test_a_line_of_json_keeps_its_number(tmp_path):
    for name in ("a.jsonl", "a.txt"):
        table = opened(write(tmp_path / name, '\n{"a": 1}\r\n  \n{"a": 2}'))
        assert places(table) == [2, 4]


# Words and their tags

CONLL = """-DOCSTART- -X- O O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- O O
# of sentences 2 3
# # O O
\u2028 NN B-NP O


"""


@pytest.mark.parametrize("cut", [" ", "   ", "\t"], ids=["space", "spaces", "tab"])
@pytest.mark.parametrize("ending", [".conll", ".txt", ".bio", ".annotated", ""])
def test_sentences_are_cut_at_tabs_or_spaces(ending, cut, tmp_path):
    comment = "# of sentences 2 3 4"
    text = CONLL.replace(" ", cut).replace(f"#{cut}of{cut}sentences{cut}2{cut}3", comment)
    table = opened(write(tmp_path / f"a{ending}", text.replace("\n", "\r\n")))
    assert table.columns == ["tokens", "1", "2", "3", "4", "tags"]
    assert places(table) == [3, 8]
    first, second = (row.cells for row in table.rows)
    assert first["tokens"] == first["1"] == ["EU", "rejects"]
    assert first["2"] == ["NNP", "VBZ"]
    assert first["tags"] == first["4"] == ["B-ORG", "O"]
    assert second["tokens"] == ["#", "\u2028"]


CONLLU = """# newdoc
# sent_id = s-1
# text_en = not this
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tV\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\tCase=Acc\t1\tobj\t_\t_
2.1\tcopia\t_\tVERB\t_\t_\t_\t_\t_\t_
3\ta l\ta\tADP\t_\t_\t5\tcase\t_\t_

1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
"""


@pytest.mark.parametrize("ending", [".conllu", ".conllu.gz", ".conll", ".txt"])
def test_ranges_and_empty_nodes_are_no_words(ending, tmp_path):
    table = opened(write(tmp_path / f"a{ending}", CONLLU))
    assert [tuple(row) for row in table.rows] == [
        (
            5,
            {
                "text": "vámonos al mar",
                "id": "s-1",
                "tokens": ["vamos", "nos", "a l"],
                "lemma": ["ir", "nosotros", "a"],
                "upos": ["VERB", "PRON", "ADP"],
                "xpos": ["V", "_", "_"],
                "feats": ["Mood=Imp", "Case=Acc", "_"],
                "deprel": ["root", "obj", "case"],
                "tags": ["VERB", "PRON", "ADP"],
            },
        ),
        (
            11,
            {
                "text": None,
                "id": None,
                "tokens": ["#"],
                "lemma": ["#"],
                "upos": ["SYM"],
                "xpos": ["_"],
                "feats": ["_"],
                "deprel": ["root"],
                "tags": ["SYM"],
            },
        ),
    ]


# Questions


def squad(*questions, context="a cat and a dog", **paragraph):
    return json.dumps(
        {
            "data": [
                {"title": "t", "paragraphs": [{"context": context, "qas": questions} | paragraph]}
            ]
        }
    )


def test_an_answer_is_taken_where_it_stands(tmp_path):
    """Also where its offset is wrong, if there is but one place; and that is said."""
    file = write(
        tmp_path / "a.json",
        squad(
            {"id": 1, "question": "?", "answers": [{"text": "a", "answer_start": 10}] * 2},
            {"id": "x", "question": "??", "answers": [{"text": "dog", "answer_start": 3}]},
            {"id": "y", "question": "!", "answers": [], "is_impossible": True},
            {"id": "z", "question": "!"},
        ),
    )
    table = opened(file)
    assert places(table) == [1, 2, 3, 4]
    assert [row.cells["id"] for row in table.rows] == ["1", "x", "y", "z"]
    assert [row.cells["impossible"] for row in table.rows] == [False, False, True, True]
    assert [[a["answer_start"] for a in row.cells["answers"]] for row in table.rows] == [
        [10, 10],
        [12],
        [],
        [],
    ]
    for row in table.rows:
        for answer in row.cells["answers"]:
            assert row.cells["context"][answer["answer_start"] :].startswith(answer["text"])
    [note] = table.notes
    assert "1 answer does not stand where it is said to, the first of question 'x'" in note


# Folders


def test_files_belong_together_line_by_line(tmp_path):
    write(tmp_path / "seq.in", "\ufeffa b\r\n\r\nc\r\n")
    write(tmp_path / "seq.out.gz", "O O \n\nB")
    write(tmp_path / "label", "x\ny\nz\n")
    write(tmp_path / ".hidden", "x")
    table = opened(tmp_path)
    assert table.columns == ["label", "seq.in", "seq.out"]
    assert cells(table) == [["x", "a b", "O O "], ["y", "", ""], ["z", "c", "B"]]
    assert places(table) == [1, 2, 3]


def test_a_folder_of_folders_is_a_class_each(tmp_path):
    write(tmp_path / "b" / "2.txt", "two\n")
    write(tmp_path / "b" / "1.TXT", "Grüße".encode("cp1252"))
    write(tmp_path / "a" / "3.txt.gz", "three")
    write(tmp_path / "a" / "notes.md", "no text")
    write(tmp_path / "README", "no class")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "loop").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    table = opened(tmp_path)
    assert table.columns == ["text", "label", "id"]
    assert cells(table) == [
        ["three", "a", "a/3.txt.gz"],
        ["Grüße", "b", "b/1.TXT"],
        ["two\n", "b", "b/2.txt"],
    ]
    assert table.notes == [
        f"{tmp_path}/b/1.TXT is not UTF-8 (first in line 1): read as Latin-1",
        f"{tmp_path}: 'README' is no folder of .txt files, so it is no class; nor are 2 others",
    ]


# What holds for all


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
    file = write(tmp_path / "a.csv", "text,lable,n,n\na,b,1,2\n")
    with pytest.raises(UserError) as caught:
        column_error(opened(file), "label", "task.label", file)
    assert str(caught.value) == (
        f"{file} has no column 'label'; did you mean 'lable'?: set task.label to one of its columns "
        "('text', 'lable', 'n', 'n')"
    )
    with pytest.raises(UserError, match="has 2 columns 'n': rename one"):
        column_error(opened(file), "n", "task.id", file)
    with pytest.raises(AssertionError):
        column_error(opened(file), "text", "task.text", file)


def test_a_format_that_is_given_goes_before_the_ending(tmp_path):
    assert cells(opened(write(tmp_path / "a.tsv", '"a\tb"\tc\n"d\te"\tf\n'), format="csv")) == [
        ["d\te", "f"]
    ]
    assert cells(opened(write(tmp_path / "a.csv", 'a\t"b\nc\td"\n'), format="tsv")) == [
        ["c", 'd"']
    ]
    assert cells(opened(write(tmp_path / "a.md", '{"a": 1}'), format="jsonl")) == [[1]]
    assert cells(opened(write(tmp_path / "b/a.csv", "x\ny").parent, format="lines")) == [
        ["x"],
        ["y"],
    ]


def test_every_format_is_read_the_same_twice(tmp_path):
    files = {
        "csv": write(tmp_path / "a.csv", "a,b\n1,2\n"),
        "tsv": write(tmp_path / "a.tsv", "a\tb\n1\t2\n"),
        "jsonl": write(tmp_path / "a.jsonl", '{"a": 1}'),
        "json": write(tmp_path / "a.json", '[{"a": 1}]'),
        "conll": write(tmp_path / "a.conll", CONLL.replace("2 3", "2 3 4")),
        "conllu": write(tmp_path / "a.conllu", CONLLU),
        "squad": write(tmp_path / "squad.json", squad({"id": "x", "question": "?"})),
        "parquet": tmp_path / "a.parquet",
        "lines": write(tmp_path / "lines" / "a", "x").parent,
        "folder": write(tmp_path / "folder" / "a" / "a.txt", "x").parents[1],
    }
    parquet.write_table(pa.table({"a": [1]}), files["parquet"])
    assert set(files) == set(FORMATS)
    for format, path in files.items():
        table = opened(path, format=format)
        assert table == opened(path, format=format)
        assert table._replace(notes=[]) == opened(path)._replace(notes=[])
        assert all(set(row.cells) <= set(table.columns) for row in table.rows)


def test_records_are_read_without_the_heavy_libraries(tmp_path):
    file = write(tmp_path / "a.csv", "a,b\n1,2\n")
    code = (
        "import sys; from pathlib import Path; from bertbench.data.formats.opening import open_records; "
        f"open_records(Path({str(file)!r}), key='x'); "
        "heavy = {'torch', 'pandas', 'transformers', 'sklearn', 'pyarrow', 'datasets', 'mlflow'}; "
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".parquet", ".conll"])
def test_a_file_at_the_limit_is_read_and_beyond_it_is_not(ending, tmp_path, monkeypatch):
    file = tmp_path / f"a{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.table({"a": ["x" * 1000] * 1000}), file)
        size = 1_000_000  # unpacked: a thousandth of that is on disk
        assert file.stat().st_size < size / 100
        least = size + 5 * 1000  # an offset of four bytes, and a byte for a row
    else:
        text = {".csv": "a,b\nc,d\n", ".conll": "a b\n\nc d\n"}.get(ending, '{"data": [{"a": 1}]}')
        least = write(file, text).stat().st_size
    monkeypatch.setattr(reading, "LIMIT", least + 1000 * (ending == ".parquet"))
    opened(file)
    monkeypatch.setattr(reading, "LIMIT", least - 1)
    with pytest.raises(UserError, match="holds more than"):
        opened(file)


# The data sets beside the project


@beside
@pytest.mark.parametrize(
    ("path", "rows", "columns"),
    [
        ("snips_intent_slots/train", 13084, ["label", "seq.in", "seq.out"]),
        ("snips_intent_slots/valid", 700, ["label", "seq.in", "seq.out"]),
        ("snips_intent_slots/test", 700, ["label", "seq.in", "seq.out"]),
        ("sst2/train.tsv", 6920, ["1", "2"]),
        ("sst2/dev.tsv", 872, ["1", "2"]),
        ("sst2/test.tsv", 1821, ["1", "2"]),
        ("mrpc/msr-para-train.tsv", 3576, ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]),
        ("mrpc/msr-para-val.tsv", 500, ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]),
        ("mrpc/msr-para-test.tsv", 1725, ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]),
        ("wnut17/wnut17train.conll", 3394, ["tokens", "1", "2", "tags"]),
        ("wnut17/emerging.dev.conll", 1009, ["tokens", "1", "2", "tags"]),
        ("wnut17/emerging.test.annotated", 1287, ["tokens", "1", "2", "tags"]),
        ("ud_atis/en_atis-ud-train.conllu", 4274, None),
        ("ud_atis/en_atis-ud-dev.conllu", 572, None),
        ("ud_atis/en_atis-ud-test.conllu", 586, None),
        ("policyqa/dev.json", 3809, None),
    ],
)
def test_data_sets_have_their_rows(path, rows, columns):
    table = opened(SHARED / path, header=False if "sst2" in path else None)
    assert len(table.rows) == rows
    assert columns in (None, table.columns)


@beside
def test_words_and_tags_of_the_data_sets_are_as_many():
    files = ["wnut17/wnut17train.conll", "wnut17/emerging.test.annotated"]
    for path, kinds in zip([*files, "ud_atis/en_atis-ud-dev.conllu"], (13, 13, None), strict=True):
        table = opened(SHARED / path)
        for row in table.rows:
            assert (
                len({len(value) for value in row.cells.values() if isinstance(value, list)}) == 1
            )
        if kinds:
            assert len({tag for row in table.rows for tag in row.cells["tags"]}) == kinds
        else:
            assert all(row.cells["text"].split() == row.cells["tokens"] for row in table.rows)


@beside
def test_quotes_of_mrpc_are_characters():
    table = opened(SHARED / "mrpc/msr-para-train.tsv")
    assert table.rows[0].cells["#1 String"].count('"') == 2
    assert {row.cells["Quality"] for row in table.rows} == {"0", "1"}
    assert [row.place for row in table.rows] == list(range(2, 3578))
