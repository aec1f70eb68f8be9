"""A task of each kind, small enough for a test and told by the words of `toy`: what is learned is known."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import toy

from bertbench.types import Answer, Split, TaskData

TOPICS = list(toy.TOPICS)
SIZES = {"train": 64, "validation": 32, "test": 64}
TAGS = ["B-money", "B-music", "B-sport", "O"]
Draw = tuple[Any, Any]  # a text and its label


def words(generator: np.random.Generator, count: int) -> list[str]:
    """Return words that tell nothing."""
    return [str(word) for word in generator.choice(toy.COMMON, count)]


def told(generator: np.random.Generator, topics: Sequence[str], count: int = 9) -> list[str]:
    """Return `count` words that tell nothing, and among them two of each topic."""
    found = words(generator, count)
    for topic in topics:
        for word in generator.choice(toy.TOPICS[topic], 2):
            found.insert(int(generator.integers(len(found) + 1)), str(word))
    return found


def draw_pair(generator: np.random.Generator) -> Draw:
    """Return a pair whose second text has the topic; what the first has does not matter."""
    first, second = generator.integers(3, size=2)
    texts = [" ".join(told(generator, [TOPICS[topic]], 5)) for topic in (first, second)]
    return tuple(texts), second


def draw_sets(generator: np.random.Generator) -> Draw:
    """Return a text with words of its topics, which may be none or all."""
    labels = generator.random(3) < 0.5
    chosen = [topic for topic, has in zip(TOPICS, labels, strict=True) if has]
    return " ".join(told(generator, chosen)), labels


def draw_number(generator: np.random.Generator) -> Draw:
    """Return a text and an eighth of how many words of its twelve speak of sport."""
    count = int(generator.integers(9))
    found = words(generator, 12 - count)
    for word in generator.choice(toy.TOPICS["sport"], count):
        found.insert(int(generator.integers(len(found) + 1)), str(word))
    return " ".join(found), count / 8


def draw_alike(generator: np.random.Generator) -> Draw:
    """Return a pair of texts of twelve words, and the share of them that both have."""
    count = int(generator.integers(13))
    first = generator.permutation([w for topic in toy.TOPICS.values() for w in topic])[:12]
    second = [*first[:count], *generator.choice(toy.COMMON, 12 - count, replace=False)]
    return (" ".join(first), " ".join(generator.permutation(second))), count / 12


def draw_tags(generator: np.random.Generator) -> Draw:
    """Return a sentence whose words of a topic are entities of one word."""
    topics = [TOPICS[i] for i in generator.permutation(3)[:2]]
    found = told(generator, topics)
    known = {word: topic for topic in TOPICS for word in toy.TOPICS[topic]}
    tags = [TAGS.index(f"B-{known[word]}" if word in known else "O") for word in found]
    return found, np.array(tags, dtype=np.int64)


def draw_answer(generator: np.random.Generator) -> Draw:
    """Return a question about one of two sentences; the answer is the word of it that has a topic."""
    sentences = []
    for place in ("first", "second"):
        told_in = [f"{word}{place}" for word in words(generator, 2)]
        sentences.append(["The", *told_in, "was"])
    asked = sentences[int(generator.integers(2))]
    answer = str(generator.choice(toy.TOPICS["sport"]))
    asked.insert(2, answer)
    context = " ".join(" ".join(sentence).capitalize() + "." for sentence in sentences)
    question = " ".join(word for word in asked if word != answer)
    return (question, context), [Answer(context.index(answer), answer)]


def _task(kind: str, classes: list[str], draw: Callable[..., Draw], labelled: Any) -> TaskData:
    splits = []
    for number, (name, size) in enumerate(SIZES.items()):
        generator = np.random.Generator(np.random.Philox(key=number))
        drawn = [draw(generator) for _ in range(size)]
        ids = [f"{name}/{i}" for i in range(size)]
        splits.append(Split(ids, [text for text, _ in drawn], labelled([x for _, x in drawn])))
    return TaskData(f"toy {kind}", classes, *splits, kind=kind)


def pairs() -> TaskData:
    """Return pairs of texts, each of the topic of its second."""
    return _task("classification", TOPICS, draw_pair, lambda x: np.array(x, dtype=np.int64))


def multilabel() -> TaskData:
    """Return texts of any number of topics."""
    return _task("multilabel", TOPICS, draw_sets, np.array)


def regression() -> TaskData:
    """Return texts with a number; multiples of an eighth, whose sums are exact."""
    return _task("regression", [], draw_number, np.array)


def similarity() -> TaskData:
    """Return pairs with the share of words that they have in common."""
    return _task("regression", [], draw_alike, np.array)


def ranking() -> TaskData:
    """Return queries of four candidates, of which one or two speak of sport and are relevant."""
    splits = []
    for number, (name, size) in enumerate(SIZES.items()):
        generator = np.random.Generator(np.random.Philox(key=number))
        texts, labels, groups = [], [], []
        for query in range(size // 4):
            asked = " ".join(words(generator, 4))
            relevant = generator.permutation([1, int(generator.integers(2)), 0, 0])
            for one in relevant:
                topic = "sport" if one else str(generator.choice(["money", "music"]))
                texts.append((asked, " ".join(told(generator, [topic], 5))))
                labels.append(float(one))
                groups.append(f"{name}/{query}")
        ids = [f"{name}/{i}" for i in range(size)]
        splits.append(Split(ids, texts, np.array(labels), groups))
    return TaskData("toy ranking", [], *splits, kind="ranking")


def token() -> TaskData:
    """Return sentences with entities."""
    return _task("token", TAGS, draw_tags, list)


def span(unanswered: bool = False) -> TaskData:
    """Return questions with one answer each; of `unanswered`, every third has none in its context."""
    data = _task("span", [], draw_answer, list)
    if not unanswered:
        return data
    splits = []
    for split in data[2:5]:
        texts, labels = list(split.texts), list(split.labels)
        for row in range(0, len(texts), 3):
            question, context = texts[row]
            for old, new in (
                (labels[row][0].text, "bank"),
                ("first", "third"),
                ("second", "last"),
            ):
                context = context.replace(old, new)
            texts[row] = question, context
            labels[row] = []
        splits.append(split._replace(texts=texts, labels=labels))
    return TaskData("toy unanswered", [], *splits, kind="span")


TASKS: dict[str, Callable[[], TaskData]] = {
    "pairs": pairs,
    "multilabel": multilabel,
    "regression": regression,
    "similarity": similarity,
    "ranking": ranking,
    "token": token,
    "span": span,
}


def shuffled(data: TaskData, seed: int) -> TaskData:
    """Return a task whose labels of training and validation were dealt out anew.

    Answers cannot be: each is replaced by another word of its context.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))

    def dealt(split: Split) -> Split:
        if data.kind == "span":
            return split._replace(labels=[_any(generator, context) for _, context in split.texts])
        if data.kind != "token":
            return split._replace(labels=split.labels[generator.permutation(len(split.labels))])
        flat = generator.permutation(np.concatenate(split.labels))
        ends = np.cumsum([len(row) for row in split.labels])[:-1]
        return split._replace(labels=np.split(flat, ends))

    return data._replace(train=dealt(data.train), validation=dealt(data.validation))


def _any(generator: np.random.Generator, context: str) -> list[Answer]:
    found = context.replace(".", "").split()
    word = found[int(generator.integers(len(found)))]
    return [Answer(context.index(word), word)]
