"""A corpus is a stream that can be begun anew, has the name of its content, and is never held whole."""

import dataclasses
import gzip
import http.server
import json
import os
import random
import re
import subprocess
import sys
import threading
import tracemalloc
from itertools import islice

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from bertbench.data import files, hub, reading
from bertbench.data.corpus import Corpus, as_corpus, check_not_empty, sample
from bertbench.errors import UserError
from bertbench.records import fingerprint

TEXTS = ["one", "two\nlines", "Grüße, 世界 🎉", "", "the last\u2028one\n"]
WIKI = [
    "",
    " = One = \n",
    "",
    " a line \n",
    " = = Part = = \n",
    " more \n",
    " = Two = \n",
    " b \n",
]
FORMATS = ["folder", ".jsonl", ".jsonl.gz", ".parquet"]
formats = pytest.mark.parametrize("form", FORMATS)


def put(place, texts, column="text", **more):
    """Write texts in the format that the ending of `place` names; a folder has a .txt for each."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".parquet":
        parquet.write_table(pyarrow.table({"n": list(range(len(texts))), column: texts}), place)
    elif ".jsonl" in place.name:
        lines = "".join(json.dumps({"n": 1, column: text}) + "\n" for text in texts).encode()
        place.write_bytes(gzip.compress(lines, mtime=0) if place.suffix == ".gz" else lines)
    else:
        place.mkdir()
        for number, text in enumerate(texts):
            (place / f"{number:06}.txt").write_bytes(text.encode())
    return files.corpus(str(place), **more)


def said(function, *arguments, **named):
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def listed(texts):
    return as_corpus(texts, "here")


def peak(iterator):
    """Return how many bytes are held at most while an iterator is used up."""
    tracemalloc.start()
    try:
        for _ in iterator:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Documents


@formats
def test_each_format_gives_the_same_documents_each_time(form, tmp_path):
    corpus = put(tmp_path / f"a{form}", TEXTS)
    assert list(corpus.read()) == list(corpus.read()) == TEXTS
    assert list(zip(corpus.read(), corpus.read(), strict=True)) == [(t, t) for t in TEXTS]
    assert corpus.place == str(tmp_path / f"a{form}")


def test_a_folder_is_read_in_the_order_of_its_names_whatever_their_formats(tmp_path):
    for name in ("d.parquet", "a/z.jsonl", "b.jsonl.gz", "a.jsonl"):
        put(tmp_path / name, [f"{name} {i}" for i in range(2)])
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"c.txt.gz"))
    (tmp_path / "c.md").write_text("not read", encoding="utf-8")
    (tmp_path / "e.txt").mkdir()
    expected = ["a/z.jsonl", "a.jsonl", "b.jsonl.gz", "c.txt.gz", "d.parquet"]
    found = [text.split()[0] for text in files.corpus(str(tmp_path)).read()]
    assert list(dict.fromkeys(found)) == expected
    assert len(found) == 9


def test_a_list_is_a_corpus():
    corpus = listed(TEXTS)
    assert list(corpus.read()) == list(corpus.read()) == TEXTS
    assert corpus.fingerprint == fingerprint(TEXTS)
    assert as_corpus(corpus, "there") == dataclasses.replace(corpus, place="there")


# The name of the content


@formats
def test_a_corpus_is_known_by_its_content_and_not_by_its_place(form, tmp_path):
    before = put(tmp_path / f"a{form}", TEXTS).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", before)
    assert put(tmp_path / "elsewhere" / f"b{form}", TEXTS).fingerprint == before
    others = {
        put(tmp_path / f"{i}{form}", texts).fingerprint
        for i, texts in enumerate([[*TEXTS[:-1], "the last\u2028One\n"], TEXTS[::-1], TEXTS[:-1]])
    }
    assert len(others | {before}) == 4


@pytest.mark.parametrize("form", FORMATS[1:])
def test_another_column_is_another_corpus_where_there_are_columns(form, tmp_path):
    column = pyarrow.array(TEXTS)
    place = tmp_path / f"a{form}"
    put(place, TEXTS)
    if form == ".parquet":
        parquet.write_table(pyarrow.table({"text": column, "body": column}), place)
    else:
        lines = "".join(json.dumps({"text": t, "body": t}) + "\n" for t in TEXTS).encode()
        place.write_bytes(gzip.compress(lines) if form.endswith(".gz") else lines)
    names = {files.corpus(str(place), text=text).fingerprint for text in ("text", "body")}
    assert len(names) == 2
    assert list(files.corpus(str(place), text="body").read()) == TEXTS


def test_text_files_have_no_columns(tmp_path):
    assert (
        put(tmp_path / "a", TEXTS).fingerprint == put(tmp_path / "b", TEXTS, text="x").fingerprint
    )


def test_the_same_bytes_read_otherwise_are_another_corpus(tmp_path):
    one = put(tmp_path / "a.jsonl", TEXTS)
    (tmp_path / "a.jsonl").rename(tmp_path / "a.txt")
    assert files.corpus(str(tmp_path / "a.txt")).fingerprint != one.fingerprint


def test_a_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    hashed, known = [], files.sha256
    monkeypatch.setattr(files, "sha256", lambda file: hashed.append(file) or known(file))
    one, again = put(tmp_path / "a.jsonl", TEXTS), files.corpus(str(tmp_path / "a.jsonl"))
    assert one.fingerprint == again.fingerprint
    assert hashed == [tmp_path / "a.jsonl"]
    assert put(tmp_path / "a.jsonl", [*TEXTS, "more"]).fingerprint != one.fingerprint
    assert len(hashed) == 2


def test_a_file_that_changes_later_is_refused(tmp_path):
    """Or what is made of it would be kept under the name of what it was."""
    corpus = put(tmp_path / "a.jsonl", TEXTS)
    put(tmp_path / "a.jsonl", [*TEXTS, "more"])
    assert said(list, corpus.read()) == (
        f"{tmp_path}/a.jsonl has changed since this run began: run it again"
    )
    corpus = files.corpus(str(tmp_path / "a.jsonl"))
    read = corpus.read()
    assert next(read) == "one"
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"text": "in the meantime"}\n')
    assert "has changed" in said(list, read)
    (tmp_path / "a.jsonl").unlink()
    assert said(list, corpus.read()).endswith("cannot be read: No such file or directory")


# Memory


def test_sixty_megabytes_pass_through_a_few(tmp_path):
    rng = random.Random(0)
    words = [f"word{rng.randrange(10**6)}" for _ in range(30_000)]
    file = tmp_path / "a.jsonl.gz"
    size = 0
    with gzip.open(file, "wb", compresslevel=1) as stream:
        while size < 60 * 2**20:
            start = rng.randrange(len(words) - 1000)
            line = json.dumps({"text": " ".join(words[start : start + 1000])}) + "\n"
            size += stream.write(line.encode())
    corpus = files.corpus(str(file))
    assert peak(corpus.read()) < 5 * 2**20
    assert peak(sample(corpus, characters=10**6)) < 5 * 2**20


def test_a_column_passes_through_a_part_of_it(tmp_path):
    """One row group of 40 MB; Arrow's memory is counted, which Python does not see."""
    rng = random.Random(0)
    texts = [rng.randbytes(5000).hex() for _ in range(4000)]
    table = pyarrow.table({"text": texts})
    parquet.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    size = table.nbytes
    del table
    corpus, before = files.corpus(str(tmp_path / "a.parquet")), pyarrow.total_allocated_bytes()
    held = []
    for text, expected in zip(corpus.read(), texts, strict=True):
        assert text == expected
        held.append(pyarrow.total_allocated_bytes() - before)
    assert max(held) < size / 2  # a page is about a quarter of it


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz"])
def test_a_stream_has_no_limit(form, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 10)
    assert list(put(tmp_path / f"a{form}", TEXTS).read()) == TEXTS


# A sample


@pytest.mark.parametrize("characters", [1, 7, 100, 1234, 9_999])
def test_a_sample_has_the_characters_that_were_asked_for_at_most(characters):
    rng = random.Random(characters)
    texts = [str(i) + "x" * rng.randrange(40) for i in range(1000)]
    corpus = listed(texts)
    taken = list(sample(corpus, characters=characters))
    assert 0 < sum(map(len, taken)) <= characters
    assert taken == list(sample(corpus, characters=characters))
    step = -(-sum(map(len, texts)) // characters)
    whole = texts[::step]
    assert taken[:-1] == whole[: len(taken) - 1]
    assert whole[len(taken) - 1].startswith(taken[-1])
    if characters > 1000:  # not far from what was asked for, from the beginning to the end
        assert sum(map(len, taken)) > 0.5 * characters
        assert len(taken) > 0.8 * len(whole)


@pytest.mark.parametrize("more", [0, 1, 10**9])
def test_a_corpus_that_fits_is_its_own_sample(more):
    size = sum(map(len, TEXTS))
    assert list(sample(listed(TEXTS), characters=size + more)) == TEXTS


def test_the_smallest_step_that_fits_is_taken():
    texts = [f"{i:02}" for i in range(60)]
    assert list(sample(listed(texts), characters=60)) == texts[::2]
    assert list(sample(listed(texts), characters=59)) == [*texts[::3]]


def test_no_sample_is_refused():
    assert said(sample, listed(TEXTS), characters=0) == (
        "0 characters of a corpus are none: ask for at least 1"
    )


# What cannot be used


EMPTY = "the corpus of here is empty: it has no document with text in it"


@pytest.mark.parametrize("texts", [[], [""], [" \n", "\t"]])
def test_a_corpus_without_words_is_refused(texts, tmp_path):
    assert said(check_not_empty, listed(texts)) == EMPTY
    assert said(check_not_empty, as_corpus(put(tmp_path / "a", texts), "here")) == EMPTY


def test_one_word_suffices_and_nothing_is_read_after_it():
    def read():
        yield from ("", " ", "word")
        raise AssertionError

    check_not_empty(Corpus(read, "", "here"))


def test_what_is_no_corpus_is_refused():
    assert said(as_corpus, ("a", "b"), "here") == (
        "the corpus of here is a tuple: let it return a list of texts or a Corpus"
    )
    assert said(as_corpus, ["a", 5], "here") == (
        "the corpus of here has 5 as document 2: make it text"
    )


NO_PARQUET = "cannot be read as parquet ("
REFUSED = {
    "nothing": ("no", {}, "corpus.path=no is no file or folder here"),
    "another ending": (
        "a.md", {"a.md": b"text"},
        "corpus.path=a.md has another ending than what is read: name a folder or a file that ends in one "
        "of .txt, .txt.gz, .jsonl, .jsonl.gz, .parquet",
    ),
    "no object": (
        "a.jsonl", {"a.jsonl": b'{"text": "a"}\n5\n'},
        'a.jsonl, line 2 is not a JSON object: each line must be one, such as {"text": "..."}',
    ),
    "no field": (
        "a.jsonl", {"a.jsonl": b'{"text": "a"}\n{"txt": "b"}'},
        'a.jsonl, line 2 has no text under "text", but None: give each line a document',
    ),
    "half a character": (
        "a.jsonl", {"a.jsonl": b'{"text": "\\ud83d"}'},
        "a.jsonl, line 1 has half a character (a lone surrogate) in its text: repair it",
    ),
    "Latin-1": (
        "docs", {"docs/a.txt": b"text", "docs/b.txt": b"Gr\xfc\xdfe"},
        "docs/b.txt is not UTF-8 text (byte 2): convert it first",
    ),
    "no gzip": (
        "docs", {"docs/a.jsonl.gz": b"text"},
        "docs/a.jsonl.gz cannot be unpacked (Not a gzipped file (b'te')): it is damaged or no gzip, so make "
        "it again",
    ),
    "no parquet": ("a.parquet", {"a.parquet": b"text"}, NO_PARQUET),
    "a dead link": ("docs", {"docs/a.txt": None}, "docs/a.txt cannot be read: No such file or directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_one_sentence_before_anything_is_computed(
    case, tmp_path, monkeypatch
):
    path, contents, sentence = case
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for name, raw in contents.items():
        if raw is None:
            (tmp_path / name).symlink_to("nowhere")
        else:
            (tmp_path / name).write_bytes(raw)
    answer = said(files.corpus, path)
    assert answer == sentence or (sentence == NO_PARQUET and sentence in answer)


def test_a_table_without_the_column_is_told_with_those_it_has(tmp_path):
    place = tmp_path / "a.parquet"
    assert said(put, place, TEXTS, column="body") == (
        f"{place} has no column 'text': set corpus.text to one of its columns ('n', 'body')"
    )
    assert said(files.corpus, str(place), text="n") == (
        f'{place}, row 1 has no text under "n", but 0: give each row a document'
    )
    assert said(put, place, ["a", None]) == (
        f'{place}, row 2 has no text under "text", but None: give each row a document'
    )


def test_a_table_with_other_bytes_or_cut_is_refused(tmp_path):
    place = tmp_path / "a.parquet"
    put(place, ["a", "Gr--e"])
    whole = place.read_bytes()
    place.write_bytes(whole.replace(b"Gr--e", b"Gr\xfc\xdfe"))
    assert said(files.corpus, str(place)) == (
        f"{place}, row 2 is not UTF-8 text (byte 2): convert it first"
    )
    place.write_bytes(whole[:-20])
    assert f"{place} cannot be read as parquet (" in said(files.corpus, str(place))


def test_what_is_far_behind_is_told_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHECKED", 10)
    lines = [json.dumps({"text": "x" * 6}), json.dumps({"text": "x" * 6}), "5"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    read = files.corpus(str(tmp_path / "a.jsonl")).read()
    assert list(islice(read, 2)) == ["x" * 6] * 2
    assert "a.jsonl, line 3 is not a JSON object" in said(list, read)


def test_nothing_heavy_is_loaded_before_it_is_needed():
    rooms = "bertbench.data.corpus, bertbench.data.files, bertbench.data.hub"
    heavy = "{'torch', 'datasets', 'pyarrow', 'huggingface_hub'}"
    code = f"import sys, {rooms}; sys.exit(len({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# The hub


def held(rows, *, heading=None, text="text"):
    dataset = datasets.Dataset.from_dict({"n": list(range(len(rows))), "text": rows})
    return hub.of_dataset(dataset, "a/b", text=text, heading=heading)


def test_a_row_is_a_document(tmp_path):
    corpus = held(TEXTS)
    assert list(corpus.read()) == list(corpus.read()) == TEXTS
    many = [str(i) for i in range(3 * hub.ROWS + 1)]
    assert list(held(many).read()) == many


def test_a_heading_begins_a_document():
    corpus = held(WIKI, heading="^ = [^=]+ = $")
    one = " = One = \n\n a line \n = = Part = = \n more "
    assert list(corpus.read()) == list(corpus.read()) == [one, " = Two = \n b "]
    before = held(["a", *WIKI], heading="^ = [^=]+ = $")
    assert list(before.read()) == ["a\n", one, " = Two = \n b "]
    assert list(held([], heading="x").read()) == []


def test_a_data_set_is_known_by_its_own_fingerprint_and_what_is_read_of_it():
    others = [
        held(WIKI),
        held(WIKI[::-1]),
        held(WIKI, heading="^ = [^=]+ = $"),
        held(WIKI, heading="^ = "),
    ]
    assert len({corpus.fingerprint for corpus in others}) == 4
    dataset = datasets.Dataset.from_dict({"text": TEXTS, "body": TEXTS})
    one, again, other = (
        hub.of_dataset(dataset, "a/b", text=text, heading=None).fingerprint
        for text in ("text", "text", "body")
    )
    assert one == again != other


def test_rows_that_are_no_documents_are_refused(monkeypatch):
    assert said(held, TEXTS, text="body") == (
        "corpus.name=a/b has no column 'body': set corpus.text to one of its columns ('n', 'text')"
    )
    assert said(list, held(["a", None]).read()) == (
        'corpus.name=a/b, row 2 has no text under "text", but None: give each row a document'
    )
    assert "corpus.heading='(' is no regular expression" in said(held, TEXTS, heading="(")
    monkeypatch.setattr(hub, "LONGEST", 2**20)
    rows = held(["x" * 2**19] * 3, heading="y")
    assert "a/b has 1 Mi characters without a heading" in said(list, rows.read())


def test_what_is_no_name_is_refused():
    for name in (None, "csv", "/a/b", "../x", "a/b/c", "a b/c", ""):
        assert said(hub.corpus, name, None, "train") == (
            f"corpus.name={name} is no hub id: name a data set as OWNER/NAME"
        )
    assert "corpus.split=None names no part of a/b" in said(hub.corpus, "a/b", None, None)


ASK = """
import sys, time
from bertbench.data import hub
from bertbench.errors import UserError
for config, split in {asked}:
    started = time.perf_counter()
    try:
        print(list(hub.corpus("owner/texts", config, split).read()))
    except UserError as error:
        print(error)
    assert time.perf_counter() - started < 2
"""


def asked(home, *configs_and_splits, endpoint="http://127.0.0.1:9"):
    """Return what is answered to each question, in a process that knows no other hub and no cache."""
    dropped = ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(asked=configs_and_splits)],
        env=kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """Where `datasets` was imported before it turned out that there is none."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    hub._load.cache_clear()
    yield
    hub._load.cache_clear()


def test_without_a_network_what_is_not_in_the_cache_is_one_sentence_at_once(tmp_path, no_network):
    sentence = (
        "corpus.name=owner/texts is on the Hugging Face hub, which cannot be reached from here, and is not "
        "in the local cache: load it once where there is a network, or choose corpus=files corpus.path=..."
    )
    assert asked(tmp_path, (None, "train")) == [sentence]
    assert said(hub.corpus, "owner/texts", None, "train") == sentence


def test_without_a_network_what_is_in_the_cache_is_read(tmp_path, no_network):
    """In the folders that `datasets` keeps what it fetched in."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    put(tmp_path / "a.parquet", TEXTS)
    builder = Parquet(
        cache_dir=str(tmp_path / "work"), dataset_name="texts", config_name="plain", hash="0" * 40,
        data_files={"train": [str(tmp_path / "a.parquet")]},
    )  # fmt: skip
    cache = tmp_path / "datasets" / "owner___texts" / "plain" / "0.0.0" / ("0" * 40)
    builder.download_and_prepare(output_dir=str(cache))
    questions = ("plain", "train"), (None, "train[:2]"), ("other", "train"), ("plain", "test")
    found, some, config, split = asked(tmp_path, *questions)
    assert found == str(TEXTS)
    assert some == str(TEXTS[:2])
    assert "corpus.config=other corpus.split=train cannot be loaded" in config
    assert "['plain']" in config
    assert "corpus.split=test cannot be loaded" in split
    assert "['train']" in split
    whole, part = (hub.corpus("owner/texts", "plain", s) for s in ("train", "train[:2]"))
    assert [list(corpus.read()) for corpus in (whole, part)] == [TEXTS, TEXTS[:2]]
    assert whole.fingerprint != part.fingerprint
    assert said(hub.corpus, "owner/texts", "plain", "test") == split


def test_what_the_hub_does_not_have_is_one_sentence(tmp_path):
    class Nothing(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        (answer,) = asked(
            tmp_path, (None, "train"), endpoint=f"http://127.0.0.1:{server.server_port}"
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert answer.startswith(
        "corpus.name=owner/texts corpus.config=None corpus.split=train cannot be"
    )
    assert "doesn't exist on the Hub" in answer
