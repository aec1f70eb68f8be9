"""A file in, its text out: UTF-8, gzip or not, and never more than fits a limit."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertbench.errors import UserError

# A file is read whole and its texts are held as Python strings: beyond this, memory runs out somewhere
# later and says less.
LIMIT = 2 * 2**30  # bytes, also of what comes out of a .gz
MOST = 1032  # bytes that one byte of deflate becomes at most: https://zlib.net/zlib_tech.html
CHUNK = 2**20  # bytes


def read_text(file: Path) -> str:
    """Return the text of a file; .gz is unpacked, a byte order mark is left out.

    Raises:
        UserError: The file is too large, damaged, no UTF-8, or may not be read.
    """
    try:
        _check_size(file)
        raw = (
            gzip.decompress(file.read_bytes())
            if file.suffix.lower() == ".gz"
            else file.read_bytes()
        )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{file} cannot be unpacked ({error}): it is damaged or no gzip, so make it again"
        ) from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8 text (byte {error.start}): convert it first"
        ) from error
    if "\0" in text:
        raise UserError(
            f"{file} is not UTF-8 text (byte {raw.index(0)} is zero): convert it first"
        )
    return text.removeprefix("\ufeff")


def json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line that is not blank.

    Raises:
        UserError: The file cannot be read, or a line is no JSON object.
    """
    for number, line in enumerate(read_text(file).split("\n"), start=1):
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


def _check_size(file: Path) -> None:
    """Refuse a file over the limit without holding what is in it."""
    size = file.stat().st_size
    if file.suffix == ".gz" and size * MOST > LIMIT:
        size = 0
        with gzip.open(file) as stream:
            while size <= LIMIT and (chunk := stream.read(CHUNK)):
                size += len(chunk)
    if size > LIMIT:
        raise UserError(
            f"{file} holds more than {LIMIT / 2**30:g} GiB, and is read into memory whole: give a part of it"
        )
