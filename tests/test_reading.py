"""Files in, texts out: UTF-8 alone, packed or not, and nothing beyond the limit is held."""

import gzip
import io
import json
import time
import tracemalloc

import pytest

from bertbench.data import files, reading
from bertbench.errors import UserError

TEXT = "Grüße, 世界 🎉\n\u2028 second\r\nthird\n"
packed = pytest.mark.parametrize("ending", ["", ".gz"])


def write(path, raw):
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def said(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Text


@packed
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_text_comes_back_whole_and_without_a_byte_order_mark(ending, mark, tmp_path):
    file = write(tmp_path / f"a.txt{ending}", mark + TEXT.encode())
    assert reading.read_text(file) == TEXT


@packed
@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ("Grüße".encode("latin-1"), "byte 2"),
        ("\ufeffGrüße".encode("utf-16-le"), "byte 0"),
        ("abc".encode("utf-16-le"), "byte 1 is zero"),
        (b"\xef\xbb\xbfabc\xff", "byte 6"),
        ("Grü".encode()[:-1], "byte 2"),
    ],
    ids=["latin-1", "utf-16", "utf-16 without mark", "marked", "cut"],
)
def test_another_encoding_is_named_with_its_byte(ending, raw, place, tmp_path):
    file = write(tmp_path / f"a.txt{ending}", raw)
    assert said(reading.read_text, file) == f"{file} is not UTF-8 text ({place}): convert it first"


def test_a_damaged_archive_is_refused(tmp_path):
    whole = gzip.compress(TEXT.encode() * 100)
    flipped = bytes([*whole[:20], whole[20] ^ 255, *whole[21:]])
    for raw in (whole[:-9], flipped, TEXT.encode(), b""):
        file = tmp_path / "a.txt.gz"
        file.write_bytes(raw)
        if raw:
            assert said(reading.read_text, file).startswith(f"{file} cannot be unpacked")
        else:
            assert reading.read_text(file) == ""


def test_what_cannot_be_opened_is_refused(tmp_path):
    assert said(reading.read_text, tmp_path).endswith("cannot be read: Is a directory")


# Limits


@packed
def test_a_file_at_the_limit_is_read_and_one_byte_more_is_not(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 1000)
    file = write(tmp_path / f"a.txt{ending}", b"x" * 1000)
    assert reading.read_text(file) == "x" * 1000
    write(file, b"x" * 1001)
    assert f"{file} holds more than" in said(reading.read_text, file)


def test_two_gibibytes_are_refused_at_once(tmp_path):
    file = tmp_path / "large.txt"
    with file.open("wb") as stream:
        stream.truncate(2 * 2**30 + 1)  # sparse: it takes no room
    started = time.perf_counter()
    assert "more than 2 GiB" in said(reading.read_text, file)
    assert time.perf_counter() - started < 1


def test_a_bomb_is_stopped_without_being_held(tmp_path, monkeypatch):
    """64 MiB out of 64 KiB: no more than a few chunks are in memory at any time."""
    monkeypatch.setattr(reading, "LIMIT", 32 * 2**20)
    file = write(tmp_path / "bomb.txt.gz", bytes(64 * 2**20))
    assert file.stat().st_size < 100_000
    tracemalloc.start()
    try:
        said(reading.read_text, file)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_deflate_packs_no_tighter_than_is_assumed():
    """Files too small to reach the limit are not unpacked twice; this is why."""
    raw = bytes(8 * 2**20)
    assert len(raw) / len(gzip.compress(raw, 9)) < reading.MOST


def test_beyond_the_limit_an_archive_is_not_read(tmp_path, monkeypatch):
    """Or a bomb would cost its time: here, what follows is damaged, and not found to be."""
    monkeypatch.setattr(reading, "LIMIT", 2**20)
    file = tmp_path / "bomb.txt.gz"
    file.write_bytes(gzip.compress(bytes(64 * 2**20))[:-100])
    assert "holds more than" in said(reading.read_text, file)


def test_members_of_an_archive_are_counted_together(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 1500)
    file = tmp_path / "two.txt.gz"
    file.write_bytes(2 * gzip.compress(b"x" * 1000))
    assert "holds more than" in said(reading.read_text, file)


# JSON lines


def test_lines_keep_their_numbers(tmp_path):
    """Blank ones are passed over, and only a line feed ends one."""
    values = [{"text": "a\u2028b\u0085c"}, {"text": "d\re"}]
    lines = ["", json.dumps(values[0], ensure_ascii=False), "  ", json.dumps(values[1]) + "\r", ""]
    file = write(tmp_path / "a.jsonl", "\n".join(lines).encode())
    assert list(reading.json_lines(file)) == [(2, values[0]), (4, values[1])]


@pytest.mark.parametrize("line", ["{", "[1]", "null", '"text"', "[" * 100_000, "1" * 5000, "{}{}"])
def test_a_line_that_is_no_object_is_named(line, tmp_path):
    file = write(tmp_path / "a.jsonl", f'{{"text": "a"}}\n\n{line}\n'.encode())
    assert f"{file}, line 3 is not a JSON object" in said(list, reading.json_lines(file))


@packed
def test_lines_that_are_kept_have_the_limit_of_a_file(ending, tmp_path, monkeypatch):
    """And those that pass one by one do not."""
    file = write(tmp_path / f"a.jsonl{ending}", b'{"text": "word"}\n' * 100)
    monkeypatch.setattr(reading, "LIMIT", 1000)
    assert f"{file} holds more than" in said(list, reading.json_lines(file))
    assert len(list(reading.json_lines(file, held=False))) == 100


@packed
@pytest.mark.parametrize(
    ("line", "byte", "place"),
    [
        ("Grüße".encode("latin-1"), b"\xfc", "byte {}"),
        (b'{"text": "\0"}', b"\0", "byte {} is zero"),
    ],
    ids=["latin-1", "zero"],
)
def test_a_byte_that_is_no_text_is_counted_from_the_beginning_of_the_file(
    ending, line, byte, place, tmp_path
):
    raw = b"\xef\xbb\xbf" + b'{"text": "a\\nb"}\n\n' + line
    file = write(tmp_path / f"a.jsonl{ending}", raw)
    place = place.format(raw.index(byte))
    assert said(list, reading.json_lines(file)) == (
        f"{file} is not UTF-8 text ({place}): convert it first"
    )


def test_lines_of_a_damaged_archive_are_refused(tmp_path):
    whole = gzip.compress(b'{"text": "word"}\n' * 100)
    for raw in (whole[:-9], b"text"):
        (tmp_path / "a.jsonl.gz").write_bytes(raw)
        assert "a.jsonl.gz cannot be unpacked" in said(
            list, reading.json_lines(tmp_path / "a.jsonl.gz")
        )


def test_a_line_without_end_is_stopped_without_being_held(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST", 2**20)
    file = write(tmp_path / "bomb.jsonl.gz", b"{}\n" + b" " * (64 * 2**20))
    tracemalloc.start()
    try:
        sentence = said(list, reading.json_lines(file, held=False))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert sentence == f"{file}, line 2 is longer than 1 MiB: cut it into several"
    write(file, b'{"a": "' + b"x" * (2**20 - 9) + b'"}')
    assert len(list(reading.json_lines(file))) == 1


# Corpora


def test_a_folder_is_its_text_files_in_order(tmp_path):
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    expected = [f"text of {name}" for name in ("a.txt", "b.txt", "sub/c.txt")]
    assert list(files.corpus(str(tmp_path)).read()) == expected


@packed
def test_a_corpus_of_json_lines_is_its_texts(ending, tmp_path):
    texts = ["one", "two\nlines", "", "Grüße"]
    buffer = io.StringIO()
    for text in texts:
        buffer.write(json.dumps({"id": 1, "text": text}) + "\n")
    file = write(tmp_path / f"a.jsonl{ending}", buffer.getvalue().encode())
    assert list(files.corpus(str(file)).read()) == texts


@pytest.mark.parametrize("line", ["{}", '{"text": null}', '{"text": 5}', '{"text": ["a"]}'])
def test_a_document_that_is_no_text_is_named(line, tmp_path):
    file = write(tmp_path / "a.jsonl", line.encode())
    assert said(files.corpus, str(file)).startswith(f'{file}, line 1 has no text under "text"')


def test_a_corpus_has_the_limits_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 10)
    write(tmp_path / "a.txt", b"short")
    write(tmp_path / "b.txt", b"longer than that")
    assert "b.txt holds more than" in said(files.corpus, str(tmp_path))
