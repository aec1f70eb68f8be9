"""A path in, a corpus out: plain text, JSON lines or parquet, one file or a folder of them."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bertbench.data.corpus import Corpus, document
from bertbench.data.reading import CHUNK, json_lines, read_text
from bertbench.errors import UserError
from bertbench.records import fingerprint, sha256

# What is read when a run is planned, so that an error in it is told at once: all of a small corpus.
CHECKED = 2**24  # characters
ROWS = 64  # of a parquet file, held at a time


class Source(NamedTuple):
    """A file as it was when it was looked at."""

    file: Path
    ending: str
    size: int  # bytes
    changed: int  # nanoseconds


def corpus(path: str, text: str = "text") -> Corpus:
    """Return the documents of files; they are read one by one, as often as they are asked for.

    Args:
        path: A .txt file (one document), a .jsonl file (a document in each line), a .parquet file (a
            document in each row), .txt and .jsonl also .gz, or a folder of them, in the order of their
            names.
        text: The field or column of a document, where there are fields or columns.

    Raises:
        UserError: There is nothing at `path`, it has another ending, or what is read of it for a check,
            its first documents, is no text. What follows is told when it is read.
    """
    sources = _sources(path)
    read = functools.partial(_documents, sources, text)
    left = CHECKED
    for beginning in read():
        left -= len(beginning)
        if left <= 0:
            break
    content = [
        (
            ending,
            None if READERS[ending] is _text else text,
            _sha256(file.absolute(), size, changed),
        )
        for file, ending, size, changed in sources
    ]
    return Corpus(read, fingerprint(content), str(path))


def _sources(path: str) -> tuple[Source, ...]:
    place = Path(str(path)).expanduser()
    if place.is_dir():
        found = (p for p in place.rglob("*") if _ending(p) and not p.is_dir())
        files = sorted(found, key=lambda file: file.relative_to(place).parts)
    elif not place.is_file():
        raise UserError(f"corpus.path={path} is no file or folder here")
    elif not _ending(place):
        raise UserError(
            f"corpus.path={path} has another ending than what is read: name a folder or a file that ends "
            f"in one of {', '.join(READERS)}"
        )
    else:
        files = [place]
    return tuple(_source(file) for file in files)


def _source(file: Path) -> Source:
    try:
        stat = file.stat()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    return Source(file, _ending(file), stat.st_size, stat.st_mtime_ns)


def _ending(file: Path) -> str:
    """Return the ending of a file that is read, or nothing."""
    return next((ending for ending in READERS if file.name.lower().endswith(ending)), "")


@functools.cache  # a run, its baseline and its neighbours in a sweep read the same files
def _sha256(file: Path, size: int, changed: int) -> str:  # noqa: ARG001
    """Return the sha256 of a file, which is another one when its size or its time is."""
    try:
        return sha256(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _documents(sources: tuple[Source, ...], column: str) -> Iterator[str]:
    for source in sources:
        _check_same(source)
        yield from READERS[source.ending](source.file, column)
        _check_same(source)


def _check_same(source: Source) -> None:
    """Refuse a file that is another one than was hashed: its documents have another name."""
    if _source(source.file) != source:
        raise UserError(f"{source.file} has changed since this run began: run it again")


def _text(file: Path, _: str) -> Iterator[str]:
    yield read_text(file)


def _lines(file: Path, column: str) -> Iterator[str]:
    for number, value in json_lines(file, held=False):
        yield document(value.get(column), column, str(file), "line", number)


def _rows(file: Path, column: str) -> Iterator[str]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        # Otherwise a column is held for each row group, of which a file may have but one.
        with ParquetFile(file, pre_buffer=False, buffer_size=CHUNK) as table:
            _check_column(column, table.schema_arrow.names, file)
            batches = table.iter_batches(batch_size=ROWS, columns=[column], use_threads=False)
            values = (value for batch in batches for value in batch.column(0))
            for number, value in enumerate(values, start=1):
                yield document(value.as_py(), column, str(file), "row", number)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}, row {number} is not UTF-8 text (byte {error.start}): convert it first"
        ) from error
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"{file} cannot be read as parquet ({' '.join(str(error).split())}): it is damaged or no "
            "parquet, so make it again"
        ) from error


def _check_column(column: str, known: list[str], file: Path) -> None:
    if column not in known:
        raise UserError(
            f"{file} has no column {column!r}: set corpus.text to one of its columns "
            f"({', '.join(f'{name!r:.30}' for name in known[:10])})"
        )


READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _text,
    ".txt.gz": _text,
    ".jsonl": _lines,
    ".jsonl.gz": _lines,
    ".parquet": _rows,
}
