"""What each row holds in, rows of token ids on disk out; and back, without reading them."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bertbench.data.mapped import release
from bertbench.data.packing import Piece, Sequence
from bertbench.types import Rows, Tokens, Vocabulary

SHAPE = "rows.json"
AT_ONCE = 4096  # rows that are held before they are written


def write(
    sequences: Iterable[Sequence],
    tokens: Tokens,
    vocabulary: Vocabulary,
    folder: Path,
    *,
    length: int,
) -> None:
    """Write [CLS] first segment [SEP], and second segment [SEP] where there is one, padded.

    Args:
        sequences: Of one of the packings.
        tokens: What their pieces point into.
        vocabulary: Its special ids.
        folder: Made; receives one raw file for each field of `Rows`.
        length: Tokens of a row, L.
    """
    folder.mkdir(parents=True)
    dtypes = _dtypes(str(tokens.ids.dtype))
    count = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in dtypes}
        for chunk in _chunks(sequences):
            rows = _filled(chunk, tokens, vocabulary, length)
            for name, file in files.items():
                file.write(getattr(rows, name).astype(dtypes[name]).tobytes())
            count += len(chunk)
            release(*tokens)
    shape = {"rows": count, "length": length, "ids": str(tokens.ids.dtype)}
    (folder / SHAPE).write_text(json.dumps(shape), encoding="utf-8")


def in_memory(
    sequences: Iterable[Sequence], tokens: Tokens, vocabulary: Vocabulary, *, length: int
) -> Rows:
    """Return the rows that `write` would write; see there for the arguments."""
    return _filled(list(sequences), tokens, vocabulary, length)


def read(folder: Path) -> Rows:
    """Return the rows of a folder that `write` made, memory-mapped."""
    shape = json.loads((folder / SHAPE).read_text(encoding="utf-8"))
    count, length = shape["rows"], shape["length"]
    arrays = {}
    for name, dtype in _dtypes(shape["ids"]).items():
        size = (count, length) if name in ("ids", "starts") else (count,)
        empty = count == 0  # which no file can be mapped as
        arrays[name] = (
            np.empty(size, dtype) if empty else np.memmap(folder / name, dtype, "r", shape=size)
        )
    return Rows(**arrays)


def _dtypes(ids: str) -> dict[str, str]:
    return {"ids": ids, "starts": "bool", "second": "int32", "related": "int64"}


def _chunks(sequences: Iterable[Sequence]) -> Iterable[list[Sequence]]:
    chunk: list[Sequence] = []
    for sequence in sequences:
        chunk.append(sequence)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _filled(
    sequences: list[Sequence], tokens: Tokens, vocabulary: Vocabulary, length: int
) -> Rows:
    ids = np.full((len(sequences), length), vocabulary.pad, dtype=tokens.ids.dtype)
    starts = np.zeros((len(sequences), length), dtype=bool)
    second = np.full(len(sequences), length, dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, 0] = vocabulary.cls
        at = _put(sequence.first, ids[row], starts[row], 1, tokens, vocabulary.sep)
        if sequence.second is not None:
            second[row] = at
            _put([*sequence.second], ids[row], starts[row], at, tokens, vocabulary.sep)
    related = np.array([sequence.related for sequence in sequences], dtype=np.int64)
    return Rows(ids, starts, second, related)


def _put(
    pieces: list[Piece | None],
    ids: np.ndarray,
    starts: np.ndarray,
    at: int,
    tokens: Tokens,
    separator: int,
) -> int:
    """Write pieces and a separator into one row from `at` on; return where they end."""
    for piece in pieces:
        if piece is None:
            ids[at] = separator
            at += 1
            continue
        begin, end = piece
        ids[at : at + end - begin] = tokens.ids[begin:end]
        starts[at : at + end - begin] = tokens.starts[begin:end]
        if end > begin:
            starts[at] = True  # what is left of a word that a row's end cut is a word of this row
        at += end - begin
    ids[at] = separator
    return at + 1
