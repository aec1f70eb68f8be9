"""A path in, documents out: plain text and JSON lines, compressed or not."""

from pathlib import Path

from bertbench.data.reading import json_lines, read_text
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
        return [read_text(file) for file in sorted(place.rglob("*.txt"))]
    if not place.is_file():
        raise UserError(f"corpus.path={path} is no file or folder here")
    if place.name.endswith((".jsonl", ".jsonl.gz")):
        return [
            _document(value.get("text"), f"{place}, line {number}")
            for number, value in json_lines(place)
        ]
    return [read_text(place)]


def _document(text: object, place: str) -> str:
    if not isinstance(text, str):
        raise UserError(
            f'{place} has no text under "text", but {text!r:.60}: give each line a document'
        )
    return text
