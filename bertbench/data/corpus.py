"""Texts, or a way to read them, in; a corpus out: a stream that can be begun anew, and its content's name.

A corpus is larger than memory: nothing here, and nothing that reads one, holds more of it than it uses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

from bertbench.config import build
from bertbench.errors import UserError
from bertbench.records import fingerprint


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from, without labels.

    Attributes:
        read: Starts a new pass over the documents: always the same ones in the same order.
        fingerprint: 64 hex digits (sha256) that name the content, wherever it lies.
        place: Where the documents come from, for errors.
    """

    read: Callable[[], Iterator[str]]
    fingerprint: str
    place: str


def as_corpus(value: Corpus | list[str], place: str) -> Corpus:
    """Return what a corpus target gave as a corpus.

    Args:
        value: A corpus, or its documents.
        place: What errors call it, whatever it called itself.

    Raises:
        UserError: `value` is neither.
    """
    if isinstance(value, Corpus):
        return replace(value, place=place)
    if not isinstance(value, list):
        raise UserError(
            f"the corpus of {place} is a {type(value).__name__}: let it return a list of texts or a Corpus"
        )
    for number, text in enumerate(value, start=1):
        if not isinstance(text, str):
            raise UserError(
                f"the corpus of {place} has {text!r:.60} as document {number}: make it text"
            )
    return Corpus(partial(iter, value), fingerprint(value), place)


def joined(parts: dict[str, dict[str, Any]]) -> Corpus:
    """Return several corpora as one, each part whole, in the order in which they are named.

    Args:
        parts: The settings of each, with its `_target_`.

    Raises:
        UserError: There is no part, or one is no corpus; names the part.
    """
    if not parts:
        raise UserError("corpus.parts is empty: name at least one corpus under it")
    found = [_part(f"corpus.parts.{name}", settings) for name, settings in parts.items()]

    def read() -> Iterator[str]:
        return chain.from_iterable(corpus.read() for corpus in found)

    place = " and ".join(corpus.place for corpus in found)
    return Corpus(read, fingerprint([corpus.fingerprint for corpus in found]), place)


def _part(place: str, settings: object) -> Corpus:
    if not isinstance(settings, dict) or "_target_" not in settings:
        raise UserError(
            f"{place}={settings} says of no corpus how it is read: give it a _target_, or leave it out with "
            f"~{place}"
        )
    try:
        value = build(settings)
    except UserError as error:  # it speaks of `corpus`, of which there are several
        raise UserError(f"{place}: {error}") from error
    return as_corpus(value, place)


def document(value: object, column: str, source: str, unit: str, number: int) -> str:
    """Return a document that was read, if it is one.

    Args:
        value: What was read.
        column: What it stood under.
        source: What it stood in, such as a file.
        unit: What `number` counts: a line or a row.
        number: From 1.

    Raises:
        UserError: It is no text, or has half a character in it.
    """
    if not isinstance(value, str):
        raise UserError(
            f'{source}, {unit} {number} has no text under "{column}", but {value!r:.60}: '
            f"give each {unit} a document"
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{source}, {unit} {number} has half a character (a lone surrogate) in its text: repair it"
            ) from error
    return value


def check_not_empty(corpus: Corpus) -> None:
    """Refuse a corpus without words; reads up to the first document that has some.

    Raises:
        UserError: There is none.
    """
    if not any(text.strip() for text in corpus.read()):
        raise UserError(
            f"the corpus of {corpus.place} is empty: it has no document with text in it"
        )


def sample(corpus: Corpus, *, characters: int) -> Iterator[str]:
    """Return every k-th document from the first on, the smallest k for which about `characters` come out.

    Documents lie in the order of their sources, so the beginning alone would be one source.

    Args:
        corpus: Read twice, once to count.
        characters: At most so many come out, seldom less than half of them unless that is all there is;
            the last document is cut where there would be more.

    Raises:
        UserError: `characters` is not positive.
    """
    if characters < 1:
        raise UserError(f"{characters} characters of a corpus are none: ask for at least 1")
    total = sum(map(len, corpus.read()))
    step = max(1, -(-total // characters))
    return _first(islice(corpus.read(), 0, None, step), characters)


def _first(texts: Iterator[str], characters: int) -> Iterator[str]:
    left = characters
    for text in texts:
        if len(text) > left:
            text = text[:left]
        yield text
        left -= len(text)
        if left == 0:
            return
