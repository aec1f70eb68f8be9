"""A file in, its text out: UTF-8, gzip or not, and never more in memory than fits a limit."""

import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertbench.errors import UserError

# What is held whole, as Python strings: beyond this, memory runs out somewhere later and says less.
LIMIT = 2 * 2**30  # bytes of a file, also of what comes out of a .gz
LONGEST = 64 * 2**20  # bytes of a line
MOST = 1032  # bytes that one byte of deflate becomes at most: https://zlib.net/zlib_tech.html
CHUNK = 2**20  # bytes
MARK = "\ufeff"  # byte order mark


def read_text(file: Path) -> str:
    """Return the text of a file; .gz is unpacked, a byte order mark is left out.

    Raises:
        UserError: The file is too large, damaged, no UTF-8, or may not be read.
    """
    return _decode(_read(file), file, start=0).removeprefix(MARK)


def read_bytes(file: Path) -> bytes:
    """Return what is in a file; .gz is unpacked.

    Raises:
        UserError: The file is too large, damaged, changes meanwhile, or may not be read.
    """
    with unchanged(file):
        return _read(file)


def is_file(path: Path) -> bool:
    """Tell whether there is a file, or a link to one.

    Raises:
        UserError: One may not look.
    """
    with _named_errors(path):
        return path.is_file()


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder, or a link to one.

    Raises:
        UserError: One may not look.
    """
    with _named_errors(path):
        return path.is_dir()


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, by name; hidden entries are passed over.

    Raises:
        UserError: The folder may not be read, or a name in it is not UTF-8.
    """
    with _named_errors(folder):
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in found:
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{folder} has an entry {path.name!r}, a name that is not UTF-8: rename it"
            ) from error
    return found


def check_size(file: Path) -> None:
    """Refuse a file over the limit without holding what is in it."""
    size = file.stat().st_size
    if file.suffix.lower() == ".gz" and size * MOST > LIMIT:
        size = 0
        with gzip.open(file) as stream:
            while size <= LIMIT and (chunk := stream.read(CHUNK)):
                size += len(chunk)
    check_total(size, file)


def check_total(size: int, path: Path) -> None:
    """Refuse a file, or the files of a folder, of more bytes than are held.

    Raises:
        UserError: It does.
    """
    if size > LIMIT:
        raise UserError(
            f"{path} holds more than {LIMIT / 2**30:g} GiB, and is read into memory whole: give a part of it"
        )


@contextlib.contextmanager
def unchanged(file: Path) -> Iterator[None]:
    """Refuse a file that another program writes while it is read, and name what else goes wrong.

    Raises:
        UserError: It changes, or cannot be read.
    """
    with _named_errors(file):
        before = file.stat()
        yield
        after = file.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UserError(f"{file} has changed while it was read: run it again")


def json_lines(file: Path, *, held: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line that is not blank, one by one.

    Args:
        file: .gz is unpacked, a byte order mark is left out.
        held: Whether the caller keeps all of them, so that a file over the limit is refused.

    Raises:
        UserError: The file cannot be read or is too large, or a line is no JSON object.
    """
    for number, line in _lines(file, held=held):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UserError(
                f"{file}, line {number} is not a JSON object: each line must be one, such as "
                '{"text": "..."}'
            )
        yield number, value


def _read(file: Path) -> bytes:
    with _named_errors(file):
        check_size(file)
        with _open(file) as stream:
            return stream.read()


def _lines(file: Path, *, held: bool) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line; only a line feed ends one."""
    with _named_errors(file):
        if held:
            check_size(file)
        with _open(file) as stream:
            number, start = 1, 0
            while raw := stream.readline(LONGEST + 1):
                if len(raw) > LONGEST:
                    raise UserError(
                        f"{file}, line {number} is longer than {LONGEST / 2**20:g} MiB: cut it into several"
                    )
                line = _decode(raw, file, start=start)
                yield number, line.removeprefix(MARK) if number == 1 else line
                number, start = number + 1, start + len(raw)


def _open(file: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb")


@contextlib.contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{file} cannot be unpacked ({error}): it is damaged or no gzip, so make it again"
        ) from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _decode(raw: bytes, file: Path, *, start: int) -> str:
    """Return the text of bytes that begin at byte `start` of a file."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8 text (byte {start + error.start}): convert it first"
        ) from error
    if "\0" in text:
        raise UserError(
            f"{file} is not UTF-8 text (byte {start + raw.index(0)} is zero): convert it first"
        )
    return text
