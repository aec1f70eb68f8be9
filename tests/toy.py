"""A task and a corpus small enough for a test: three topics told apart by their words."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from bertbench.types import Rows, Split, TaskData, Tokens

TOPICS = {
    "sport": ["match", "goal", "team", "coach", "league", "score"],
    "money": ["bank", "market", "profit", "shares", "price", "loan"],
    "music": ["song", "band", "album", "singer", "concert", "guitar"],
}
COMMON = ["the", "a", "of", "and", "in", "was", "with", "on", "after", "new", "said", "year"]


def sentence(topic: str, generator: np.random.Generator, words: int = 12) -> str:
    """Return a sentence with about a third of its words from `topic`."""
    drawn = [
        str(generator.choice(TOPICS[topic] if generator.random() < 0.35 else COMMON))
        for _ in range(words)
    ]
    return " ".join(drawn).capitalize() + "."


def text(topic: str, generator: np.random.Generator) -> str:
    """Return two to five sentences, the first of which surely has a word of `topic`."""
    opening = f"{generator.choice(TOPICS[topic])} ".capitalize()
    rest = [sentence(topic, generator) for _ in range(int(generator.integers(2, 6)))]
    return opening + " ".join(rest)


@functools.cache  # nobody writes into it
def split(name: str, per_class: int) -> Split:
    """Return `per_class` texts of each topic; the same name gives the same texts."""
    generator = np.random.default_rng(len(name))
    rows = [(topic, i) for i in range(per_class) for topic in TOPICS]
    labels = np.array([list(TOPICS).index(topic) for topic, _ in rows], dtype=np.int64)
    return Split(
        [f"{name}/{topic}/{i}" for topic, i in rows],
        [text(topic, generator) for topic, _ in rows],
        labels,
    )


def task() -> TaskData:
    """Return 60 / 30 / 30 texts."""
    return TaskData(
        "toy", list(TOPICS), split("train", 20), split("validation", 10), split("test", 10)
    )


def corpus() -> list[str]:
    """Return the training texts."""
    return task().train.texts


def nothing() -> list[str]:
    """Return no document."""
    return []


def broken() -> TaskData:
    """Fail as a bug does."""
    raise RuntimeError("a bug in the task")


def tokens(texts, tokenizer) -> Tokens:
    """Return a tokenised corpus that lies in memory."""
    from bertbench.data.tokenise import open_tokens, tokenise

    with tempfile.TemporaryDirectory() as folder:
        tokenise(texts, tokenizer, Path(folder), deduplicate=False, work=None, processes=1)
        return Tokens(*(np.array(array) for array in open_tokens(Path(folder))))


def rows(texts, tokenizer, vocabulary, *, length=32, packing="full_sentences", **more) -> Rows:
    """Return the packed rows of some texts."""
    from bertbench.data import packed
    from bertbench.data import packing as packings

    stream = tokens(texts, tokenizer)
    documents = np.arange(len(stream.documents) - 1)
    sequences = getattr(packings, packing)(stream, documents, length=length, seed=0, **more)
    return packed.in_memory(sequences, stream, vocabulary, length=length)
