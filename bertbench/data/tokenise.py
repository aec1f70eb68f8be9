"""Documents in, a folder of memory-mapped token arrays out, and a card that says what is in it.

Several processes cut shards of the corpus, each of which becomes a file at once: what was cut before
an interruption is not cut again. Neither the text nor its tokens are ever in memory as a whole, but for
some fifty bytes a document.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertbench import interrupt
from bertbench.data.assembly import assemble
from bertbench.data.sentences import pieces
from bertbench.data.shards import begin_process, finished, id_type, write_shard
from bertbench.errors import UserError
from bertbench.types import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

SHARD = 8_000_000  # characters: a few seconds of work
PIECE = 1_000_000  # characters: longer documents are worked on in parts
PROCESSES = 6  # at most, unless more are asked for: each takes some 130 MB
NARROW = 2**16  # entries of a vocabulary whose ids are kept in 16 bits
PATIENCE = 30.0  # seconds between two lines of the log
CARD = "card.json"

Card = dict[str, Any]
Shard = tuple[list[bytes], list[bool]]  # pieces, and whether each begins a document


def tokenise(
    documents: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    deduplicate: bool,
    work: Path | None,
    processes: int | None,
    shard_size: int = SHARD,
) -> Card:
    """Write the tokens of a corpus as `open_tokens` opens them.

    The result depends on neither `processes` nor `shard_size`. A document is left out if it has no
    token, or if an earlier one differs from it in case and spaces at most.

    Args:
        documents: Texts; read once, a shard at a time. A lone surrogate is replaced.
        tokenizer: Cuts each sentence into ids; a fast one.
        folder: Receives the arrays and the card; made if need be.
        deduplicate: Whether repeated documents are left out.
        work: Receives finished shards, and keeps them: with the same folder again, only missing ones
            are computed. None: a folder of its own, gone at the end.
        processes: To share the work; None: one a usable core, up to `PROCESSES`. A process that may
            have no children does it alone.
        shard_size: Characters of a shard.

    Returns:
        The card; see `describe`.

    Raises:
        UserError: The tokenizer is a slow one.
        KeyboardInterrupt: Somebody asked to stop; finished shards stay in `work`.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which does not tell where words begin: "
            "give one with a tokenizer.json"
        )
    alone = multiprocessing.current_process().daemon
    processes = 1 if alone else processes or min(_usable_cores(), PROCESSES)
    backend: Any = tokenizer.backend_tokenizer  # typed loosely by transformers
    unknown: Any = tokenizer.unk_token_id
    wide = max(tokenizer.get_vocab().values()) >= NARROW
    settings = {
        "tokenizer": backend.to_str(),
        "reserved": tuple(sorted({*tokenizer.all_special_ids} - {unknown})),
        "unknown": unknown,
        "wide": wide,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if work is None:
            own = tempfile.TemporaryDirectory(prefix=".shards-", dir=folder)
            work = Path(stack.enter_context(own))
        work.mkdir(parents=True, exist_ok=True)
        made_of = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
        shards = _shards(documents, shard_size)
        paths = _write(shards, partial(write_shard, **settings), work, made_of, processes)
        card = assemble(
            paths, folder, deduplicate=deduplicate, unknown=unknown, dtype=id_type(wide=wide)
        )
    (folder / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
    return card


def open_tokens(folder: Path) -> Tokens:
    """Return what `tokenise` wrote: arrays that stay on the disk until they are read."""
    return Tokens(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Tokens._fields))


def read_card(folder: Path) -> Card:
    """Return what is known of the corpus that `tokenise` wrote into `folder`."""
    return json.loads((folder / CARD).read_text(encoding="utf-8"))


def describe(card: Card) -> str:
    """Say in two lines what a card holds."""
    scripts = sorted(card["letters"].items(), key=lambda item: -item[1])
    total = max(1, sum(card["letters"].values()))
    shares = ", ".join(f"{name} {n / total:.1%}" for name, n in scripts if n)
    fate = "left out" if card["deduplicated"] else "kept"
    length = card["tokens_a_document"]
    return (
        f"{card['kept']:,} of {card['documents']:,} documents ({card['empty']:,} empty, "
        f"{card['duplicates']:,} repeated and {fate}): {card['characters']:,} characters, "
        f"{card['sentences']:,} sentences, {card['words']:,} words\n"
        f"{card['tokens']:,} tokens, {card['unknown_share']:.2%} unknown; a document has "
        f"{length['mean']:.0f} on average, {length['median']:g} in the middle and "
        f"{length['longest']:,} at most; letters: {shares or 'none'}"
    )


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shards(documents: Iterable[str], size: int) -> Iterator[Shard]:
    """Yield shards of about `size` characters; the parts of a long document may lie in several."""
    parts: list[bytes] = []
    first: list[bool] = []
    held = 0
    for document in documents:
        for number, piece in enumerate(pieces(document, PIECE)):
            parts.append(_utf8(piece))
            first.append(number == 0)
            held += len(piece) + 1
            if held >= size:
                yield parts, first
                parts, first, held = [], [], 0
    if parts:
        yield parts, first


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a character, such as JSON can spell: "\ud83d"
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.encode()


def _name(number: int, shard: Shard, made_of: bytes) -> str:
    """Return what the name of a shard's file begins with: its place and a hash of all that decides it."""
    content = hashlib.sha256(made_of)
    for piece, begins in zip(*shard, strict=True):
        content.update(b"%d,%d," % (len(piece), begins))
        content.update(piece)
    return f"{number:06d}-{content.hexdigest()[:32]}"


def _write(
    shards: Iterator[Shard],
    write: Callable[..., Path],
    folder: Path,
    made_of: bytes,
    processes: int,
) -> list[Path]:
    """Write each shard that is not there yet; return the files of all, in order."""
    ahead = list(islice(shards, 2))
    here = processes == 1 or len(ahead) < 2
    paths: dict[int, Path] = {}
    running: dict[Future[Path], int] = {}
    size, said = 0, time.monotonic()
    with contextlib.ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None
        for number, shard in enumerate(chain(_emptied(ahead), shards)):
            interrupt.check()
            stem = _name(number, shard, made_of)
            size += sum(map(len, shard[0]))
            if whole := finished(folder, stem):
                paths[number] = whole
            elif here:
                paths[number] = write(*shard, folder, stem)
            else:
                pool = pool or stack.enter_context(_pool(processes))
                paths |= _collect(running, most=processes - 1)
                running[pool.submit(write, *shard, folder, stem)] = number
            if time.monotonic() - said > PATIENCE:
                logger.info("%d MB of text tokenised", size // 1_000_000)
                said = time.monotonic()
        paths |= _collect(running, most=0)
    return [paths[number] for number in range(len(paths))]


def _emptied(items: list[Shard]) -> Iterator[Shard]:
    """Yield items without keeping them."""
    while items:
        yield items.pop(0)


def _pool(processes: int) -> ProcessPoolExecutor:
    """Return processes that begin afresh: a fork of one with threads may hang."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=begin_process)


def _collect(running: dict[Future[Path], int], *, most: int) -> dict[int, Path]:
    """Wait until at most so many shards are under way; take the others out and return their files."""
    paths: dict[int, Path] = {}
    while len(running) > most:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        try:
            paths |= {running.pop(future): future.result() for future in done}
        except BrokenProcessPool:
            interrupt.check()  # schedulers end all processes of a job at once
            raise
    return paths
