"""Files that are wrong: each is answered with one sentence that names the file, the line and the way out.

`{file}` is what is opened; all else of a sentence stands here word for word.
"""

import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from bertbench.data import reading
from bertbench.data.formats.opening import FORMATS, Table, open_records
from bertbench.errors import UserError

ROWS = "{file} has no rows: give it labelled texts"
OBJECT = 'is not a JSON object: each line must be one, such as {"text": "..."}'
QUOTE = "cannot be read (unexpected end of data): close each quote, and double those within"
CUT = "quote a text that has ',' or a line break in it"
TAKE = "take tabs and line breaks out of its texts, or name its format csv if quotes enclose them"
ZERO = (
    "has a zero byte: it is no text, or UTF-16 without a byte order mark, so convert it to UTF-8 or name "
    "its encoding"
)
WORD = "write a word and its tags in each line"
COUNT = "count the words of a sentence from 1, and leave a blank line before the next"
TREE = "\t_\tX\t_\t_\t_\t_\t_\t_"
KEY = "task.train={file}"


def question(answers=(), **cells):
    """Return SQuAD's JSON of one question."""
    asked = {"id": "q", "question": "?", "answers": list(answers)} | cells
    asked = {name: value for name, value in asked.items() if value is not ...}
    return squad([{"context": "a cat and a dog", "qas": [asked]}])


def squad(paragraphs):
    return json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]})


def answer(text, start):
    return {"text": text, "answer_start": start}


TABLES = {
    "a row too short": (
        "a.csv",
        "a,b\n1,2\n3\n",
        f"{{file}}, line 3 has 1 cell, but the header has 2: {CUT}",
    ),
    "a row too long": (
        "a.csv",
        'a,b\n"x\ny",1\nw,x,y\n',
        f"{{file}}, line 4 has 3 cells, but the header has 2: {CUT}",
    ),
    "a row too long, packed": (
        "a.csv.gz",
        "a,b\n\nw,x,y\n",
        f"{{file}}, line 3 has 3 cells, but the header has 2: {CUT}",
    ),
    "a row too long after a mark": (
        "a.csv",
        "\ufeffa;b\n1;2\n3;4;5\n".encode("utf-16"),
        "{file}, line 3 has 3 cells, but the header has 2: quote a text that has ';' or a line break in it",
    ),
    "a tab too many": (
        "a.tsv",
        "a\tb\n1\t2\n3\t4\t5\n",
        f"{{file}}, line 3 has 3 cells, but the header has 2: {TAKE}",
    ),
    "a line cut in two": (
        "a.tsv",
        'a\tb\n"x\ny"\t2\n',
        f"{{file}}, line 2 has 1 cell, but the header has 2: {TAKE}",
    ),
    "a quote left open": ("a.csv", 'a,b\n1,2\n"3,4\n5,6\n', f"{{file}}, line 3 {QUOTE}"),
    "a quote left open in the header": ("a.csv", '"a,b\n1,2\n', f"{{file}}, line 1 {QUOTE}"),
    "a quote closed early": (
        "a.csv",
        'a,b\n"x" y,2\n',
        "{file}, line 2 cannot be read (',' expected after '\"'): close each quote, and double those within",
    ),
    "quotes that are characters": (
        "a.csv",
        'a\tb\nx\t1\n"y\t2\n',
        f"{{file}}, line 3 {QUOTE}, or name its format tsv",
    ),
    "an empty table": ("a.csv", "", ROWS),
    "a table of blank lines": ("a.tsv", "\n\r\n\n", ROWS),
    "a header alone": ("a.csv", "\ufeffa,b\n\n", ROWS),
    "an empty archive": ("a.csv.gz", "", ROWS),
}
ENCODINGS = {
    "a zero byte": ("a.csv", b"a,b\n1,2\n3,\0\n", f"{{file}}, line 3 {ZERO}"),
    "UTF-16 without a mark": ("a.csv", "a,b\n".encode("utf-16-le"), f"{{file}}, line 1 {ZERO}"),
    "UTF-32": ("a.jsonl", "{}".encode("utf-32"), f"{{file}}, line 1 {ZERO}"),
    "a zero byte in Latin-1": ("a.conll", b"\xe9 O\n\n\xe9\0 O\n", f"{{file}}, line 3 {ZERO}"),
    "UTF-16 cut in a character": (
        "a.csv",
        "a,b\n1,2\n".encode("utf-16") + b"x",
        "{file}, line 3 is not utf-16 (truncated data): convert it to UTF-8, or name another encoding",
    ),
    "UTF-8 with a broken line": (
        "a.csv",
        "a,b\nGrüße,1\n".encode() + b"\xfc,2\n",
        "{file}, line 3 has a byte that is not UTF-8, as the rest of it is: repair that line, or name its "
        "encoding",
    ),
    "a mark, and then no UTF-8": (
        "a.tsv",
        b"\xef\xbb\xbfa\tb\n1\t\xff\n",
        "{file}, line 2 has a byte that is not UTF-8, as the rest of it is: repair that line, or name its "
        "encoding",
    ),
}
JSON = {
    "a line that is cut": ("a.jsonl", '{"a": 1}\n{"a": \n', f"{{file}}, line 2 {OBJECT}"),
    "a line that is a list": ("a.jsonl", '{"a": 1}\n\n[1]\n', f"{{file}}, line 3 {OBJECT}"),
    "two objects in a line": ("a.ndjson", '{"a": 1} {"a": 2}\n', f"{{file}}, line 1 {OBJECT}"),
    "lists in lists": ("a.jsonl", '{"a": 1}\n' + "[" * 9**6, f"{{file}}, line 2 {OBJECT}"),
    "a number of 5,000 digits": ("a.jsonl", "{}\n" + "1" * 5000, f"{{file}}, line 2 {OBJECT}"),
    "half a character": (
        "a.jsonl",
        '{"a": "x"}\n{"a": {"b": ["\\ud83d"]}}\n',
        "{file}, line 2 has half a character (a lone surrogate) in '\\ud83d': repair it",
    ),
    "half a character in a list": (
        "a.json",
        '[{"a": "x"}, {"\\udc00": 1}]',
        "{file}, row 2 has half a character (a lone surrogate) in '\\udc00': repair it",
    ),
    "no lines": ("a.jsonl", "\n\n", ROWS),
    "JSON that is cut": (
        "a.json",
        '[{"a": 1},\n{"a": 2},\n',
        "{file}, line 3 is not JSON (Expecting value, character 1): write it with a JSON library, or "
        "name its format",
    ),
    "JSON with a comma too few": (
        "a.json",
        '[{"a": 1}\n{"a": 2}]',
        "{file}, line 2 is not JSON (Expecting ',' delimiter, character 1): write it with a JSON library, "
        "or name its format",
    ),
    "empty JSON": (
        "a.json",
        "",
        "{file}, line 1 is not JSON (Expecting value, character 1): write it with a JSON library, or "
        "name its format",
    ),
    "JSON with a long number": (
        "a.json",
        "[" + "1" * 5000 + "]",
        "{file} cannot be read as JSON (Exceeds the limit (4300 digits) for integer string conversion: "
        "value has 5000 digits): give it as plain objects",
    ),
    "columns in JSON": (
        "a.json",
        '{"text": {"0": "x"}, "label": {"0": "y"}}',
        "{file} is no list of objects, but an object of 'text', 'label': make it one, such as "
        '[{"text": "..."}], or {"data": [...]}',
    ),
    "a text in JSON": (
        "a.json",
        '"text"',
        '{file} is no list of objects: make it one, such as [{"text": "..."}], or {"data": [...]}',
    ),
    "a row of JSON that is no object": (
        "a.json",
        '{"data": [{"a": 1}, ["b"]]}',
        '{file}, row 2 is not a JSON object: make it one, such as {"text": "..."}',
    ),
    "a list without rows": ("a.json", "[]", ROWS),
}
WORDS = {
    "a word without a tag": (
        "a.conll",
        "EU B\n\nrejects\n",
        f"{{file}}, line 3 has 1 of the 2 columns that line 1 has, cut at spaces: {WORD}",
    ),
    "a word with two tags": (
        "a.conll",
        "-DOCSTART- O\n\nEU\tB\nx\tO\tO\n",
        f"{{file}}, line 4 has 3 of the 2 columns that line 3 has, cut at tabs: {WORD}",
    ),
    "spaces among tabs": (
        "a.conll",
        "EU\tB\nrejects O\n",
        f"{{file}}, line 2 has 1 of the 2 columns that line 1 has, cut at tabs: {WORD}",
    ),
    "words alone": (
        "a.conll",
        "\nEU\nrejects\n",
        "{file}, line 2 has no second column: write a word, a tab and its tag in each line",
    ),
    "an empty tag": (
        "a.conll",
        "EU\tB\nx\t\n",
        "{file}, line 2 has nothing in column 2: fill it, or remove the line",
    ),
    "an empty word": (
        "a.conll",
        "EU\tB\n \tO\n",
        "{file}, line 2 has nothing in column 1: fill it, or remove the line",
    ),
    "documents without sentences": ("a.conll", "-DOCSTART- O\n\n-DOCSTART- O\n", ROWS),
    "a column too few": (
        "a.conllu",
        f"# text = x\n1\tx{TREE[:-2]}\n",
        "{file}, line 2 has 9 of the 10 columns of CoNLL-U, cut at tabs: fill those without a value with _, "
        "or name the format conll",
    ),
    "no blank line between sentences": (
        "a.conllu",
        f"1\tx{TREE}\n2\ty{TREE}\n1\tz{TREE}\n",
        f"{{file}}, line 3 has the word number '1' where 3 is due: {COUNT}",
    ),
    "a number that is none": (
        "a.conllu",
        f"1\tx{TREE}\nb\ty{TREE}\n",
        f"{{file}}, line 2 has the word number 'b' where 2 is due: {COUNT}",
    ),
    "a tree without a word": (
        "a.conllu",
        f"1\tx{TREE}\n2\t{TREE}\n",
        "{file}, line 2 has no word: fill it with _",
    ),
    "a tree without a tag": (
        "a.conllu",
        f"1\tx{TREE.replace('X', '')}\n",
        "{file}, line 1 has no tag: fill it with _",
    ),
    "comments alone": ("a.conllu", "# text = x\n\n# text = y\n", ROWS),
}
QUESTIONS = {
    "an answer that stands nowhere": (
        "a.json",
        question([answer("cow", 2)]),
        "{file}, question 1 ('q') has the answer 'cow', which does not stand in its context: copy it from "
        "there",
    ),
    "an answer that stands elsewhere, twice": (
        "a.json",
        question([answer("a", 1)]),
        "{file}, question 1 ('q') has the answer 'a', which stands at several places of its context, but "
        'not at 1: correct "answer_start"',
    ),
    "an answer before the beginning": (
        "a.json",
        question([answer("a", -5)]),
        "{file}, question 1 ('q') has the answer 'a', which stands at several places of its context, but "
        'not at -5: correct "answer_start"',
    ),
    "an empty answer": (
        "a.json",
        question([answer(" ", 1)]),
        "{file}, question 1 ('q') has an empty answer: give its text, or no answer",
    ),
    "an offset that is text": (
        "a.json",
        question([answer("cat", "2")]),
        "{file}, question 1 ('q') has no \"answer_start\" as SQuAD has it: it must be a whole number",
    ),
    "an offset that is true": (
        "a.json",
        question([answer("cat", True)]),
        "{file}, question 1 ('q') has no \"answer_start\" as SQuAD has it: it must be a whole number",
    ),
    "an answer that is text": (
        "a.json",
        question(["cat"]),
        "{file}, question 1 ('q') has no \"text\" as SQuAD has it: it must be text",
    ),
    "an answer to what has none": (
        "a.json",
        question([answer("cat", 2)], is_impossible=True),
        "{file}, question 1 ('q') has answers, but \"is_impossible\" is true: correct one of them",
    ),
    "no answer to what has one": (
        "a.json",
        question(is_impossible=False),
        "{file}, question 1 ('q') has no answers, but \"is_impossible\" is false: correct one of them",
    ),
    "a question without an id": (
        "a.json",
        question(id=...),
        '{file}, question 1 has no id: give it a name of its own under "id"',
    ),
    "a question that is none": (
        "a.json",
        question(question=None),
        "{file}, question 1 ('q') has no \"question\" as SQuAD has it: it must be text",
    ),
    "half a character in a question": (
        "a.json",
        question(question="\ud83d"),
        "{file}, question 1 ('q') has half a character (a lone surrogate) in '\\ud83d': repair it",
    ),
    "an id that stands twice": (
        "a.json",
        squad([{"context": "c", "qas": [{"id": i, "question": "?"} for i in (5, "5")]}]),
        "{file}, question 2 has the id '5' of an earlier one: rename it",
    ),
    "a paragraph without a context": (
        "a.json",
        squad([{"context": "c", "qas": []}, {"qas": []}]),
        '{file}, article 1, paragraph 2 has no "context" as SQuAD has it: it must be text',
    ),
    "an article without paragraphs": (
        "a.json",
        '{"data": [{"qas": 1}]}',
        '{file}, article 1 has no "paragraphs" as SQuAD has it: it must be a list',
    ),
    "articles without questions": ("a.json", squad([{"context": "c", "qas": []}]), ROWS),
}
OTHERS = {
    "a spreadsheet": (
        "a.xlsx",
        b"PK\3\4",
        f"{KEY} is no text: save it as .csv, .jsonl or .parquet",
    ),
    "another ending": (
        "a.text",
        "a,b\n1,2\n",
        f"{KEY} does not say how it is to be read: name a file that ends in .csv, .tsv, .jsonl, .json, "
        ".parquet, .conll, .conllu or .txt, each but parquet also .gz, or name its format",
    ),
    "prose": (
        "a.txt",
        "Once upon a time\nthere was\n",
        f"{KEY} does not say how it is to be read: name a file that ends in .csv, .tsv, .jsonl, .json, "
        ".parquet, .conll, .conllu or .txt, each but parquet also .gz, or name its format",
    ),
}
CASES = TABLES | ENCODINGS | JSON | WORDS | QUESTIONS | OTHERS


def said(path, **named):
    with pytest.raises(UserError) as caught:
        open_records(path, key="task.train", **named)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_in_a_sentence(case, tmp_path):
    name, content, sentence = CASES[case]
    raw = content if isinstance(content, bytes) else content.encode()
    file = tmp_path / name
    file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)
    assert said(file) == sentence.replace("{file}", str(file))


# Without a header, and with what is given


def test_without_a_header_the_first_row_says_how_many_cells(tmp_path):
    (tmp_path / "a.tsv").write_text("1\tx\n2\n")
    assert ", line 2 has 1 cell, but the first row has 2: " in said(
        tmp_path / "a.tsv", header=False
    )


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (
            "utf8",
            ", line 2 is not utf8 (invalid start byte): convert it to UTF-8, or name another encoding",
        ),
        ("ascii", ", line 2 is not ascii (ordinal not in range(128)): convert it"),
        (
            "utf-9",
            " cannot be read as 'utf-9', which is no encoding of text: name one such as 'utf-8'",
        ),
        ("hex", " cannot be read as 'hex', which is no encoding of text"),
        ("", " cannot be read as '', which is no encoding of text"),
        ("a\0b", " cannot be read as 'a\\x00b', which is no encoding of text"),
        ("utf-7", ", line 1 has half a character (a lone surrogate): repair it"),
    ],
)
def test_an_encoding_that_does_not_fit_is_named(encoding, words, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"+2D0-,b\n1,2\n" if encoding == "utf-7" else b"a,b\n\xfc,2\n")
    assert said(file, encoding=encoding).startswith(f"{file}{words}")


def test_a_format_that_is_none_is_named_with_the_nearest(tmp_path):
    (tmp_path / "a.csv").touch()
    assert said(tmp_path / "a.csv", format="connl") == (
        f"'connl' is no format of task.train={tmp_path}/a.csv; did you mean 'conll'? (known: "
        f"{', '.join(FORMATS)})"
    )


@pytest.mark.parametrize("format", ["lines", "folder"])
def test_the_format_of_a_folder_is_not_that_of_a_file(format, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    assert said(tmp_path / "a.csv", format=format) == (
        f"task.train={tmp_path}/a.csv is a file, but {format} is the format of a folder: name the folder"
    )
    assert said(tmp_path, format="csv") == (
        f"task.train={tmp_path} is a folder, but csv is the format of a file: name a file of it"
    )


# Parquet


def test_a_parquet_file_that_is_cut_or_has_broken_text_is_refused(tmp_path):
    file = tmp_path / "a.parquet"
    broken = pa.Array.from_buffers(
        pa.string(),
        3,
        [None, pa.py_buffer(np.array([0, 1, 2, 3], "int32")), pa.py_buffer(b"a\xffb")],
    )
    parquet.write_table(pa.table({"id": [1, 2, 3], "text": broken}), file)
    assert said(file).startswith(
        f"{file}, row 2 cannot be read under 'text' ('utf-8' codec can't decode"
    )
    parquet.write_table(pa.table({"when": pa.array([0, 2**31 - 1], pa.date32())}), file)
    assert said(file).startswith(f"{file}, row 2 cannot be read under 'when' (")
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), file)
    assert said(file) == ROWS.replace("{file}", str(file))
    parquet.write_table(pa.table({"text": ["word"] * 999}), file)
    raw = file.read_bytes()
    for cut in [b"a,b\n1,2\n", *(raw[:n] for n in np.linspace(0, len(raw) - 1, 40, dtype=int))]:
        file.write_bytes(cut)
        sentence = said(file)
        assert sentence.startswith(f"{file} cannot be read as parquet (")
        assert sentence.endswith("): it is damaged or no parquet, so make it again")


# Paths and folders


def test_what_is_no_file_or_folder_is_named_with_its_setting(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "gone.csv").symlink_to("nothing")
    for name in ("nothing.csv", "fifo.csv", "loop.csv", "gone.csv", "a\0.csv", "fifo.csv/a.csv"):
        path = tmp_path / name
        assert said(path) == f"task.train={path} is no file or folder here: name one that is"
    path = tmp_path / ("x" * 300)
    assert said(path) == f"{path} cannot be read: File name too long"


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"a": b"1\n2\n", "b": b"1\n"},
            "{file}/a has 2 lines, but {file}/b has 1 line: give the folder only files that belong "
            "together line by line",
        ),
        (
            {"a": b"1\n2", "b": b"1\n2\n\n"},
            "{file}/a has 2 lines, but {file}/b has 3 lines: give the folder only files that belong "
            "together line by line",
        ),
        ({"a": b"", "b": b""}, ROWS),
        ({"a": b"1\n2\n", "b": b"1\n\0\n"}, f"{{file}}/b, line 2 {ZERO}"),
        ({"k/1.txt": b"a", "l/2.txt": b"b\nc\0"}, f"{{file}}/l/2.txt, line 2 {ZERO}"),
        (
            {"k/1.txt.gz": b"text"},
            "{file}/k/1.txt.gz cannot be unpacked (Not a gzipped file (b'te')): it is damaged or no gzip, "
            "so make it again",
        ),
        (
            {"train.csv": b"", "b.jsonl.gz": b""},
            "task.train={file} is a folder: name one of its files (b.jsonl.gz, train.csv)",
        ),
        (
            {"train/a": b"1", "test/a": b"1"},
            "task.train={file} is a folder without files: name one of its folders (test, train)",
        ),
        (
            {".hidden": b"1"},
            "task.train={file} is an empty folder: give it files that belong together line by line, or a "
            "folder of .txt files for each class",
        ),
    ],
)
def test_a_folder_that_is_wrong_is_named_with_its_file(files, sentence, tmp_path):
    fill(tmp_path, files)
    assert said(tmp_path) == sentence.replace("{file}", str(tmp_path))


def test_a_folder_of_another_format_has_no_rows(tmp_path):
    fill(tmp_path, {"k/notes.md": b"x"})
    assert said(tmp_path, format="folder").startswith(
        f"{tmp_path} has no rows: give it a folder for"
    )
    assert said(tmp_path, format="lines").startswith(f"{tmp_path} has no files: give it some")


def test_links_that_lead_nowhere_or_in_circles_are_named(tmp_path):
    fill(tmp_path, {"k/1.txt": b"a"})
    (tmp_path / "k" / "k").symlink_to(tmp_path)
    (tmp_path / "k" / "2.txt").symlink_to("2.txt")
    assert said(tmp_path).startswith(
        f"{tmp_path}/k/2.txt cannot be read: Too many levels of symbolic"
    )
    (tmp_path / "k" / "2.txt").unlink()
    (tmp_path / "k" / "2.txt").symlink_to("nothing")
    assert said(tmp_path) == f"{tmp_path}/k/2.txt cannot be read: No such file or directory"


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    """It would be a column or a class that cannot be written down."""
    try:
        fill(tmp_path, {"k/1.txt": b"a", os.fsdecode(b"\xff/1.txt"): b"b"})
    except OSError:
        pytest.skip("names are UTF-8 here")
    assert (
        said(tmp_path) == f"{tmp_path} has an entry '\\udcff', a name that is not UTF-8: rename it"
    )


# While it is read


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".csv.gz"])
def test_a_file_that_changes_meanwhile_is_refused(ending, tmp_path, monkeypatch):
    """Another program goes on writing between the look at its size and its last byte."""
    file = tmp_path / f"a{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.table({"a": [1]}), file)
    else:
        raw = b"a,b\n1,2\n" if "csv" in ending else b'[{"a": 1}]'
        file.write_bytes(gzip.compress(raw) if ending == ".csv.gz" else raw)
    look = reading.check_total

    def write_more(size, path):
        look(size, path)
        later = file.stat().st_mtime_ns + 10**9
        os.utime(file, ns=(later, later))

    monkeypatch.setattr(reading, "check_total", write_more)
    assert said(file) == f"{file} has changed while it was read: run it again"


def test_the_files_of_a_folder_have_the_limit_together(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 10)
    fill(tmp_path, {"lines/a": b"12345\n", "lines/b": b"12345\n", "classes/k/1.txt": b"1234567"})
    fill(tmp_path, {"classes/l/1.txt": b"1234567"})
    for name in ("lines", "classes"):
        assert said(tmp_path / name).startswith(f"{tmp_path / name} holds more than")


# Whatever bytes


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "squad.json", "a.conll", "a.conllu"]
)
def test_whatever_is_done_to_a_file_there_is_a_table_or_a_sentence(name, tmp_path):
    """200 files, each with some bytes put in, taken out or put elsewhere."""
    whole = {
        "a.csv": 'a,b\n"x ""y""\nz",1\nGrüße,2\n',
        "a.tsv": 'a\tb\n"x\t1\nGrüße\t2\n',
        "a.jsonl": '{"a": "x\\n", "b": [1]}\n{"a": "Gr\\u00fc\\ud83c\\udf89ße", "b": []}\n',
        "a.json": '[{"a": "x\\n", "b": [1]}, {"a": "Gr\\u00fcße", "b": []}]',
        "squad.json": question([answer("cat", 2)]),
        "a.conll": "-DOCSTART- O\n\nGrüße O\n# x y\nan B\n\nalle I\n",
        "a.conllu": f"# text = x\n1-2\tGrüße{TREE}\n1\tGr{TREE}\n2\tüße{TREE}\n\n1\tan{TREE}\n",
    }[name].encode()
    generator = np.random.Generator(np.random.Philox(key=7))
    file = tmp_path / name
    kinds = set()
    for _ in range(200):
        raw = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            at = int(generator.integers(len(raw)))
            inserted = bytes(generator.choice(list(b'",\n\r\t{}[]\\# \0\xfc\xff1a'), 2).tolist())
            raw[at : at + int(generator.integers(3))] = inserted[: generator.integers(3)]
        file.write_bytes(raw)
        try:
            kinds.add(type(open_records(file, key="task.train")))
        except UserError as error:
            kinds.add(str(error).startswith((str(file), f"task.train={file}")))
    assert kinds == {Table, True}
