"""A task's data in, what is in it and what is wrong with it out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertbench.data import duplicates, flaws, lengths, yardsticks
from bertbench.data.yardsticks import Yardstick
from bertbench.kinds import find
from bertbench.kinds.base import shown
from bertbench.kinds.noticing import noticed
from bertbench.records import fingerprint as fingerprint_of
from bertbench.report.cardfacts import Card, Repeat, Tokenizing, describe
from bertbench.report.datacard import as_json, render
from bertbench.store import Store
from bertbench.types import Flaw, Split, TaskData

VERSION = 2  # raised when a card says other things of the same data
SEED = 0  # of the cross-validation behind the hints on labels


def examine(data: TaskData, tokenizers: Mapping[str, Any], *, max_length: int) -> Card:
    """Look a task's data through.

    Args:
        data: A whole task, before any subset is taken.
        tokenizers: Fast ones of transformers, by a name for the reader.
        max_length: Tokens of a text that are read, special tokens included.
    """
    splits = flaws.splits_of(data)
    found = duplicates.find(
        {name: split.texts for name, split in splits.items()},
        {name: split.ids for name, split in splits.items()},
        threshold=duplicates.NEAR,
    )
    return describe(
        data,
        found,
        _flaws(data, found),
        yardsticks=measured(data),
        tokenizers={
            name: tokenizing(data, tokenizer, max_length=max_length)
            for name, tokenizer in tokenizers.items()
        },
        notes=data.notes,
    )


def measured(data: TaskData) -> dict[str, Yardstick]:
    """Return the yardsticks of a task, in measures of its kind that fit its classes."""
    kind = find(data.kind)

    def score(name: str, split: Split, guesses: Any) -> float:
        return kind.measures[name].function(split, guesses, data.classes)

    return yardsticks.measure(data, score=score, fitting=kind.metrics(data.classes))


def _flaws(data: TaskData, found: duplicates.Duplicates) -> list[Flaw]:
    """Return what reading, looking and the kind itself find; one thing found twice is said once."""
    looked = flaws.find(data, found, seed=SEED)
    known = {flaw.name for flaw in looked if flaw.count}
    more = [flaw for flaw in noticed(data) if flaw.name not in known]
    anew = {flaw.name for flaw in more}
    return [*data.flaws, *(flaw for flaw in looked if flaw.name not in anew), *more]


def provide(
    data: TaskData,
    fingerprint: str,
    store: Store,
    tokenizers: Mapping[str, Any],
    *,
    max_length: int,
) -> Card:
    """Return the data card of a task; what does not depend on tokenizers is found once, and kept.

    Args:
        data: A whole task.
        fingerprint: Of its data.
        store: Where cards are kept.
        tokenizers: See `examine`.
        max_length: See `examine`.
    """

    def make(folder: Path) -> None:
        write(examine(data, {}, max_length=max_length), folder / "card")

    read = [*data.notes, *map(list, data.flaws)]
    recipe = {
        "version": VERSION,
        "kind": data.kind,
        "data": fingerprint,
        "read": fingerprint_of(read),
    }
    folder = store.entry("card", recipe, make)
    kept = restored(json.loads((folder / "card.json").read_text(encoding="utf-8")))
    found = {
        name: tokenizing(data, tokenizer, max_length=max_length)
        for name, tokenizer in tokenizers.items()
    }
    return kept._replace(name=data.name, tokenizers=found)


def restored(plain: dict[str, Any]) -> Card:
    """Return the card that `as_json` has written."""
    made = {
        "flaws": [Flaw(**flaw) for flaw in plain["flaws"]],
        "duplicates": [
            Repeat(**repeat | {"examples": [tuple(pair) for pair in repeat["examples"]]})
            for repeat in plain["duplicates"]
        ],
        "yardsticks": {name: Yardstick(**found) for name, found in plain["yardsticks"].items()},
        "tokenizers": {name: Tokenizing(**found) for name, found in plain["tokenizers"].items()},
    }
    return Card(**{name: plain[name] for name in Card._fields} | made)


def write(card: Card, path: Path) -> None:
    """Write a card as `path`.md and `path`.json."""
    path.with_suffix(".md").write_text(render(card), encoding="utf-8")
    text = json.dumps(as_json(card), indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text, encoding="utf-8")


def tokenizing(data: TaskData, tokenizer: Any, *, max_length: int) -> Tokenizing:
    """Return what a tokenizer makes of the training texts."""
    paired = isinstance(data.train.texts[0], tuple)
    texts = data.train.texts if paired else [shown(text) for text in data.train.texts]
    given = list(zip(*texts, strict=True)) if paired else [texts]
    encoded = tokenizer(*map(list, given), add_special_tokens=False, verbose=False)["input_ids"]
    counts = np.array([len(ids) for ids in encoded])
    special = tokenizer.num_special_tokens_to_add(pair=paired)
    unknown = sum(ids.count(tokenizer.unk_token_id) for ids in encoded)
    return Tokenizing(
        lengths.quantiles(counts),
        max_length,
        lengths.truncated(counts, max_length=max_length, special=special),
        unknown / max(int(counts.sum()), 1),
    )
