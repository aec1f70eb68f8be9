"""A task and a corpus small enough for a test: three topics told apart by their words."""

import functools

import numpy as np

from bertbench.types import Split, TaskData

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
