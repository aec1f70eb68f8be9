"""A path in, documents out: plain text and JSON lines, compressed or not."""

import gzip
import json
import zlib
from pathlib import Path

from bertbench.errors import UserError


def corpus(path: str) -> list[str]:
    """Read documents.

    Args:
        path: A .txt file (one document), a folder of .txt files (in order of name), or a .jsonl or
            .jsonl.gz file with the document under "text" in each line.

    Raises:
        UserError: There is nothing at `path`, or it cannot be read as text; names file and line.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return [_text(file) for file in sorted(place.rglob("*.txt"))]
    if not place.is_file():
        raise UserError(f"corpus.path={path} is no file or folder here")
    if place.name.endswith((".jsonl", ".jsonl.gz")):
        return _json_lines(place)
    return [_text(place)]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8 text (byte {error.start}): convert it first"
        ) from error


def _json_lines(file: Path) -> list[str]:
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        lines = raw.decode("utf-8").split("\n")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{file} cannot be read as text: {error}") from error
    return [
        _document(line, f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _document(line: str, place: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f'{place} is not a JSON object with a "text" in it') from error
    if not isinstance(text, str):
        raise UserError(f'{place} has a "text" that is no text: {text!r:.60}')
    return text
