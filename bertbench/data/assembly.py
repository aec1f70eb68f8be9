"""Files of tokenised shards in, one corpus out: repeated and empty documents left out, and a card."""

import contextlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from bertbench.data.scripts import SCRIPTS
from bertbench.data.shards import joined_digest, read_some

SMALL = ("first", "digests", "sentences", "tokens")  # held in memory, for each piece of a document
LARGE = ("ids", "starts", "lengths", "sentences", "letters", "characters")  # of a shard at a time


class _Pieces(NamedTuple):
    """What is known of the pieces of all documents, in order."""

    first: np.ndarray  # bool: whether a piece begins a document
    digests: np.ndarray  # uint64
    sentences: np.ndarray  # int32
    tokens: np.ndarray  # int32


def assemble(
    paths: list[Path],
    folder: Path,
    *,
    deduplicate: bool,
    unknown: int | None,
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Write ids.npy, starts.npy, sentences.npy and documents.npy, as `types.Tokens` describes them.

    Args:
        paths: Files of shards, in order.
        folder: Receives the arrays.
        deduplicate: Whether a document that repeats an earlier one is left out.
        unknown: Id of the unknown token, if there is one.
        dtype: Of ids.

    Returns:
        The card: documents read, empty, repeated and kept; and of the kept ones characters, sentences,
        tokens, words, unknown tokens, letters by script and tokens a document.
    """
    pieces = _read(paths)
    begins = np.flatnonzero(pieces.first)
    tokens = np.add.reduceat(pieces.tokens, begins, dtype=np.int64)  # (documents,)
    filled, new = _filled_and_new(pieces, begins, tokens)
    keep = filled & new if deduplicate else filled  # (documents,)
    per_document = np.add.reduceat(pieces.sentences, begins, dtype=np.int64)[keep]
    np.save(folder / "documents.npy", np.concatenate([[0], np.cumsum(per_document)]))
    pieces_of = np.diff(begins, append=len(pieces.first))
    counts = _append(
        paths,
        folder,
        wanted=np.repeat(keep, pieces_of),
        tokens=int(tokens[keep].sum()),
        sentences=int(per_document.sum()),
        unknown=unknown,
        dtype=dtype,
    )
    return {
        "documents": len(keep),
        "empty": int((~filled).sum()),
        "duplicates": int((filled & ~new).sum()),
        "deduplicated": deduplicate,
        "kept": int(keep.sum()),
        **counts,
        "unknown_share": counts["unknown"] / max(1, counts["tokens"]),
        "tokens_a_document": _summary(tokens[keep]),
    }


def _read(paths: list[Path]) -> _Pieces:
    shards = [read_some(path, SMALL) for path in paths]
    types = {"first": np.bool_, "digests": np.uint64, "sentences": np.int32, "tokens": np.int32}
    return _Pieces(
        *(
            np.concatenate([np.empty(0, types[name]), *(shard[name] for shard in shards)])
            for name in SMALL
        )
    )


def _filled_and_new(
    pieces: _Pieces, begins: np.ndarray, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which documents have tokens, and which of those repeat no earlier one, (documents,)."""
    digests = pieces.digests[begins]
    more = np.flatnonzero(~pieces.first)
    for piece, document in zip(more, np.searchsorted(begins, more) - 1, strict=True):
        digests[document] = joined_digest(int(digests[document]), int(pieces.digests[piece]))
    filled = tokens > 0
    new = np.zeros(len(digests), dtype=np.bool_)
    rows = np.flatnonzero(filled)
    new[rows[np.unique(digests[rows], return_index=True)[1]]] = True  # the first of each
    return filled, new


def _append(
    paths: list[Path],
    folder: Path,
    *,
    wanted: np.ndarray,
    tokens: int,
    sentences: int,
    unknown: int | None,
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Write the wanted pieces, (pieces,), of each shard after those before; count what is in them."""
    letters = np.zeros(len(SCRIPTS), dtype=np.int64)
    characters = words = unknowns = read = written = sentences_written = 0
    with contextlib.ExitStack() as stack:

        def begin(name: str, dtype: np.dtype[Any], length: int) -> BinaryIO:
            file = stack.enter_context((folder / f"{name}.npy").open("wb"))
            header = {"descr": dtype.str, "fortran_order": False, "shape": (length,)}
            np.lib.format.write_array_header_1_0(file, header)
            return file

        ids_file = begin("ids", dtype, tokens)
        starts_file = begin("starts", np.dtype(np.bool_), tokens)
        sentences_file = begin("sentences", np.dtype(np.int64), sentences + 1)
        sentences_file.write(np.zeros(1, np.int64).tobytes())
        for path in paths:
            shard = read_some(path, LARGE)
            pieces = wanted[read : read + len(shard["sentences"])]
            read += len(pieces)
            whole = np.repeat(pieces, shard["sentences"])  # (sentences,)
            kept = np.repeat(whole, shard["lengths"])  # (tokens,)
            ids, starts = shard["ids"][kept], shard["starts"][kept]
            ends = written + np.cumsum(shard["lengths"][whole], dtype=np.int64)
            ids_file.write(ids.tobytes())
            starts_file.write(starts.tobytes())
            sentences_file.write(ends.tobytes())
            written += len(ids)
            sentences_written += len(ends)
            words += int(starts.sum())
            unknowns += int((ids == unknown).sum()) if unknown is not None else 0
            characters += int(shard["characters"][pieces].sum(dtype=np.int64))
            letters += shard["letters"][pieces].sum(axis=0, dtype=np.int64)
    assert (written, sentences_written) == (tokens, sentences)
    return {
        "characters": characters,
        "sentences": sentences,
        "tokens": tokens,
        "words": words,
        "unknown": unknowns,
        "letters": dict(zip(SCRIPTS, letters.tolist(), strict=True)),
    }


def _summary(tokens: np.ndarray) -> dict[str, float]:
    """Return mean, median and most tokens of a document; zeros where there is none."""
    if not len(tokens):
        return {"mean": 0.0, "median": 0.0, "longest": 0}
    return {
        "mean": float(tokens.mean()),
        "median": float(np.median(tokens)),
        "longest": int(tokens.max()),
    }
