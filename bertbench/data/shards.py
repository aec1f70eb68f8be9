"""Some documents in, a file of their tokens out: the part of tokenising that several processes share.

Nothing heavy is imported here, for each of those processes begins with it. The name of a file holds
hashes of what it was made of and of its bytes, so a whole one is known from half of one.
"""

import functools
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save
from tokenizers import Tokenizer

from bertbench.data.scripts import count_letters
from bertbench.data.sentences import spaced
from bertbench.data.words import word_starts

BATCH = (
    250_000  # characters encoded at once: what `tokenizers` returns takes a hundred times the ids
)
SUFFIX = ".safetensors"
Arrays = dict[str, np.ndarray]


def write_shard(
    pieces: list[bytes],
    first: list[bool],
    folder: Path,
    stem: str,
    *,
    tokenizer: str,
    reserved: tuple[int, ...],
    unknown: int | None,
    wide: bool,
) -> Path:
    """Tokenise pieces of documents and write a file that `finished` finds.

    Args:
        pieces: UTF-8, each a document or a part of a long one.
        first: Whether each piece begins a document.
        folder: Where the file goes; exists.
        stem: What the file's name begins with: tells what it was made of.
        tokenizer: Content of a tokenizer.json.
        reserved: Ids that text never stands for; where a text spells one out, it is unknown.
        unknown: Id of the unknown token, if there is one.
        wide: Whether ids need more than 16 bits.

    Returns:
        The file.
    """
    texts = [piece.decode() for piece in pieces]
    arrays = cut(texts, tokenizer=tokenizer, reserved=reserved, unknown=unknown, wide=wide)
    data = save(arrays | {"first": np.array(first, dtype=np.bool_)})
    name = f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}"
    part = folder / f".{name}.part"
    try:
        part.write_bytes(data)
        return part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)


def cut(
    texts: list[str],
    *,
    tokenizer: str,
    reserved: tuple[int, ...],
    unknown: int | None,
    wide: bool,
) -> Arrays:
    """Cut texts into sentences and those, with the space before them, into tokens.

    A sentence without tokens is left out.

    Returns:
        `ids` and `starts` (P,), `lengths` of sentences in tokens, and of each text its `sentences`,
        `tokens`, `characters`, `letters` by script (T, scripts) and `digests`.
    """
    backend = _load(tokenizer)
    sentences_of = [spaced(text) for text in texts]
    every = list(chain.from_iterable(sentences_of))
    owner = np.repeat(np.arange(len(texts)), [len(found) for found in sentences_of])
    encoded = [_encode(every[part], backend) for part in _batches(every)]
    ids = _joined([ids for ids, _, _ in encoded], np.int32)
    lengths = _joined([lengths for _, _, lengths in encoded], np.int32)
    if unknown is not None:  # a Unigram vocabulary may hold its special tokens as pieces of text
        ids[np.isin(ids, reserved)] = unknown
    owner, whole = owner[lengths > 0], lengths[lengths > 0]
    count = functools.partial(np.bincount, owner, minlength=len(texts))
    return {
        "ids": ids.astype(id_type(wide=wide)),
        "starts": _joined([starts for _, starts, _ in encoded], np.bool_),
        "lengths": whole,
        "sentences": count().astype(np.int32),
        "tokens": count(weights=whole).astype(np.int32),
        "characters": np.array([len(text) for text in texts], dtype=np.int32),
        "letters": np.concatenate([count_letters(texts[part]) for part in _batches(texts)])
        .astype(np.int32),
        "digests": np.array([digest(text) for text in texts], dtype=np.uint64),
    }  # fmt: skip


def digest(text: str) -> int:
    """Return 64 bits of a text, whatever its case and spaces.

    By chance, two of ten million texts that differ share them once in 400,000 corpora (n² / 2^65).
    """
    return _hash(" ".join(text.casefold().split()).encode())


def joined_digest(before: int, piece: int) -> int:
    """Return the digest of a document from that of its beginning and that of its next piece."""
    return _hash(before.to_bytes(8, "little") + piece.to_bytes(8, "little"))


def id_type(*, wide: bool) -> np.dtype[Any]:
    """Return the type of ids in files."""
    return np.dtype(np.int32 if wide else np.uint16)


def finished(folder: Path, stem: str) -> Path | None:
    """Return the whole file of that stem, if there is one; a damaged one is removed."""
    for path in sorted(folder.glob(f"{stem}-*{SUFFIX}")):
        data = path.read_bytes()
        if path.stem.rpartition("-")[2] == hashlib.sha256(data).hexdigest()[:16]:
            return path
        path.unlink()
    return None


def read_some(path: Path, names: tuple[str, ...]) -> Arrays:
    """Return the named arrays of a shard; the others are not read."""
    with safe_open(path, framework="numpy") as shard:
        return {name: shard.get_tensor(name) for name in names}


def begin_process() -> None:
    """Prepare a process that only writes shards: one core, and no longer than its parent."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent answers it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the parent, however it ended: an idle process would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@functools.lru_cache(maxsize=1)
def _load(tokenizer: str) -> Tokenizer:
    backend = Tokenizer.from_str(tokenizer)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # "[MASK]" in a text is a word like others
    return backend


def _encode(texts: list[str], backend: Tokenizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids (P,), which of them begin a word (P,), and tokens of each text (T,)."""
    encodings = backend.encode_batch(texts, add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    counts = np.array([len(row) for row in ids], dtype=np.int64)
    begins = [begin for encoding in encodings for begin, _ in encoding.offsets]
    flat = np.fromiter(chain.from_iterable(ids), np.int32, counts.sum())
    return flat, word_starts(texts, np.array(begins, dtype=np.int64), counts), counts


def _batches(texts: list[str]) -> Iterator[slice]:
    """Yield stretches of texts of about `BATCH` characters."""
    begin, size = 0, 0
    for end, text in enumerate(texts, start=1):
        size += len(text)
        if size >= BATCH or end == len(texts):
            yield slice(begin, end)
            begin, size = end, 0


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *parts], dtype=dtype)


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
