"""The name of a data set on the Hugging Face hub in, a corpus out: it is fetched once, and read by rows."""

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from bertbench.data.corpus import Corpus, document
from bertbench.data.fetching import check_id, fetch
from bertbench.errors import UserError
from bertbench.records import fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = 256  # held at a time
LONGEST = 2**26  # characters of a document made of rows, which is held whole


def corpus(
    name: str, config: str | None, split: str, text: str = "text", heading: str | None = None
) -> Corpus:
    """Return the documents of a data set; the first call fetches it into the local cache.

    Args:
        name: Its hub id.
        config: Its configuration; None where there is but one.
        split: The part of it, also with a slice: `train[:10%]`.
        text: The column of a document.
        heading: A regular expression: a row that it matches begins a document, which goes on to the
            next one, a line a row. None: each row is a document.

    Raises:
        UserError: The hub cannot be reached and the data set is not in the cache, the hub has no such
            data set, configuration or split, or it has no such column.
    """
    check_id(name, "corpus")
    if not split:
        raise UserError(f"corpus.split={split} names no part of {name}: name one, such as train")
    return of_dataset(_load(name, config, split), name, text=text, heading=heading)


def of_dataset(dataset: "Dataset", name: str, *, text: str, heading: str | None) -> Corpus:
    """Return the documents of a data set that is loaded.

    Args:
        dataset: Its own fingerprint names its content.
        name: What errors call it.
        text: See `corpus`.
        heading: See `corpus`.

    Raises:
        UserError: There is no such column, or `heading` is no regular expression.
    """
    if text not in dataset.column_names:
        raise UserError(
            f"corpus.name={name} has no column {text!r}: set corpus.text to one of its columns "
            f"({', '.join(f'{column!r:.30}' for column in dataset.column_names[:10])})"
        )
    try:
        begins = re.compile(heading) if heading is not None else None
    except re.error as error:
        raise UserError(
            f"corpus.heading={heading!r} is no regular expression ({error}): correct it"
        ) from error
    read = functools.partial(_rows, dataset.select_columns(text).with_format(None), name, text)
    if begins is not None:
        read = functools.partial(_below_headings, read, begins, name)
    named = {"dataset": dataset._fingerprint, "text": text, "heading": heading}
    return Corpus(read, fingerprint(named), name)


def _rows(dataset: "Dataset", name: str, column: str) -> Iterator[str]:
    number = 0
    for batch in cast("Iterator[dict[str, list[Any]]]", dataset.iter(batch_size=ROWS)):
        for value in batch[column]:
            number += 1
            yield document(value, column, f"corpus.name={name}", "row", number)


def _below_headings(
    read: functools.partial[Iterator[str]], begins: re.Pattern[str], name: str
) -> Iterator[str]:
    """Yield the lines from one heading to the next as one text; blank ones before the first are none."""
    lines: list[str] = []
    size = 0
    for row in read():
        if begins.match(row):
            yield from _joined(lines)
            lines, size = [], 0
        lines.append(row.removesuffix("\n"))
        size += len(row)
        if size > LONGEST:
            raise UserError(
                f"corpus.name={name} has {LONGEST / 2**20:g} Mi characters without a heading: set "
                "corpus.heading to what begins a document, or to null where each row is one"
            )
    yield from _joined(lines)


def _joined(lines: list[str]) -> Iterator[str]:
    whole = "\n".join(lines)
    if whole.strip():
        yield whole


@functools.cache  # the plans of a sweep name the same data set
def _load(name: str, config: str | None, split: str) -> "Dataset":
    return fetch(
        name,
        config,
        split,
        key="corpus",
        place=f"corpus.name={name} corpus.config={config} corpus.split={split}",
        instead="corpus=files corpus.path=...",
    )
