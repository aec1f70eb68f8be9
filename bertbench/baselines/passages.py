"""A question and a context in, a span of the context out: no weights are learned, words are counted.

The answer stands in the sentence that has most of the question's words, the rare ones above all; what
kind of words it is made of, the question's own word tells (who, when, how many). English only.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

from bertbench.data.sentences import sentences
from bertbench.errors import UserError
from bertbench.types import Answer

SETTINGS, COUNTS = "passages.json", "passages.safetensors"
WINDOWS = (1, 2, 3)  # sentences that are looked at together
# What is cut out of them: all; the longest run of words that the question has not; the longest run of
# such words that are names or numbers where the question asks for one, else all or the run.
RULES = ("sentence", "run", "kind or sentence", "kind or run")
CUTS = 20  # thresholds that are tried

WORD = re.compile(r"\w+(?:['\u2019.,:/-]\w+)*")
PERSON = re.compile(r"\b(who|whom|whose)\b")
NUMBER = re.compile(
    r"\b(when|how (many|much|long|old|often|far)|(what|which) (year|month|day|date|time|age|number))\b"
)
DATED = re.compile(
    r"""
    .*\d.* | (?i:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty)
    | (?i:(hundred|thousand|million|billion|minute|hour|day|week|month|year|decade)s?|seconds|percent)
    | (Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|January|February|March|April|May|June|July)
    | (August|September|October|November|December) | (Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day
    """,
    re.VERBOSE,
)
BETWEEN = re.compile(r"[\s,/$£€%&'\u2019\"-]*")  # what a run of words may have between two of them

Span = tuple[int, int]  # characters of a text, from and to
Question = tuple[str, str]  # question, context
Score = Callable[[str, list[str]], float]  # answer given, right answers; higher is better
Wanted = Callable[[re.Match[str]], bool]  # a word and where it stands


class Read(NamedTuple):
    """A context, read once for all questions about it."""

    text: str
    borders: list[Span]  # of each sentence
    words: list[set[str]]  # of each sentence, in lower case


class Passages(NamedTuple):
    """A fitted reader of contexts."""

    texts: int  # sentences that words were counted in
    counts: dict[str, int]  # sentences that have the word
    window: int  # sentences
    rule: str  # of RULES
    threshold: float  # overlap below which there is no answer

    @classmethod
    def fit(
        cls,
        train: Sequence[Question],
        train_answers: Sequence[Sequence[Answer]],
        validation: Sequence[Question],
        validation_answers: Sequence[Sequence[Answer]],
        *,
        score: Score,
    ) -> tuple["Passages", dict[str, float]]:
        """Count words, choose window, rule and threshold on validation.

        A threshold is tried only where training questions have no answer: their own overlaps.

        Args:
            train: T questions and their contexts.
            train_answers: T lists of answers, empty where there is none.
            validation: T' questions and their contexts.
            validation_answers: Likewise.
            score: What decides, by its mean: the answer given ("" for none) and the right ones.

        Returns:
            The reader, and what was chosen: the window in sentences, the number of the rule in `RULES`,
            the threshold.

        Raises:
            UserError: No training context has a word.
        """
        contexts = [_read(context) for context in dict.fromkeys(context for _, context in train)]
        counts = Counter(word for read in contexts for words in read.words for word in words)
        if not counts:
            raise UserError("no training context has a word: there is nothing to find answers by")
        texts = sum(len(read.borders) for read in contexts)
        counts = {word: counts[word] for word in sorted(counts)}
        right = [[answer.text for answer in answers] for answers in validation_answers]
        silent = np.array([score("", answers) for answers in right])
        unanswered = [
            pair for pair, answers in zip(train, train_answers, strict=True) if not answers
        ]
        ranked = []
        for window in WINDOWS:
            plain = cls(texts, counts, window, RULES[0], 0.0)
            levels = _levels([overlap for _, overlap in plain.predict(unanswered)])
            for number, rule in enumerate(RULES):
                found = plain._replace(rule=rule).predict(validation)
                overlaps = np.array([overlap for _, overlap in found])
                spoken = np.array([score(a, r) for (a, _), r in zip(found, right, strict=True)])
                for level in levels:
                    quality = float(np.mean(np.where(overlaps < level, silent, spoken)))
                    ranked.append((quality, -window, -number, -level))
        _, window, number, level = max(ranked)  # among equals the simpler
        fitted = cls(texts, counts, -window, RULES[-number], -level)
        stats = {"window": -window, "rule": -number, "threshold": -level}
        return fitted, {f"chosen/{name}": float(value) for name, value in stats.items()}

    def predict(self, texts: Sequence[Question]) -> list[tuple[str, float]]:
        """Return the answer to each question, as it stands in the context, and how sure it is.

        Args:
            texts: T questions and their contexts.

        Returns:
            T answers, "" where there is none, each with the share of the question's words, weighed by
            their idf, that stand in the sentences chosen, in [0, 1]: higher is surer of an answer.
        """
        known = {
            context: _read(context) for context in dict.fromkeys(context for _, context in texts)
        }
        return [self._answer(question, known[context]) for question, context in texts]

    def save(self, folder: Path) -> None:
        """Write counts and choices into `folder`."""
        settings = self._asdict() | {"counts": list(self.counts)}
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        save_file({"counts": np.array([*self.counts.values()], dtype=np.int64)}, folder / COUNTS)

    @classmethod
    def load(cls, folder: Path) -> "Passages":
        """Read what `save` wrote."""
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        numbers = load_file(folder / COUNTS)["counts"].tolist()
        settings["counts"] = dict(zip(settings["counts"], numbers, strict=True))
        return cls(**settings)

    def _answer(self, question: str, read: Read) -> tuple[str, float]:
        asked = {word: self._idf(word) for word in sorted(_words(question))}
        total = sum(asked.values())
        if not total or not read.borders:
            return "", 0.0
        last = max(len(read.borders) - self.window, 0)
        overlaps = [
            sum(idf for word, idf in asked.items() if any(word in s for s in near)) / total
            for near in (read.words[start : start + self.window] for start in range(last + 1))
        ]
        start = int(np.argmax(overlaps))
        overlap = overlaps[start]
        if overlap < self.threshold:
            return "", overlap
        end = min(start + self.window, len(read.borders)) - 1
        passage = read.text[read.borders[start][0] : read.borders[end][1]]
        begin, stop = _cut(self.rule, question, passage)
        return passage[begin:stop], overlap

    def _idf(self, word: str) -> float:
        return float(np.log((1 + self.texts) / (1 + self.counts.get(word, 0)))) + 1


def _cut(rule: str, question: str, passage: str) -> Span:
    """Return where the answer stands in the passage."""
    whole = (0, len(passage))
    asked = _words(question)
    kind = _kind(question.lower()) if rule.startswith("kind") else None
    if kind is not None:
        found = _longest(passage, lambda word: kind(word) and word[0].lower() not in asked)
        if found is not None:
            return found
    if rule.endswith("run"):
        return _longest(passage, lambda word: word[0].lower() not in asked) or whole
    return whole


def _kind(question: str) -> Wanted | None:
    """Return what the words of the answer look like; None where the question does not tell."""
    if NUMBER.search(question):
        return lambda word: DATED.fullmatch(word[0]) is not None
    if PERSON.search(question):  # whatever begins a passage has a capital
        return lambda word: word[0][0].isupper() and word.start() > 0
    return None


def _longest(passage: str, wanted: Wanted) -> Span | None:
    """Return the longest run of words that are wanted, the first among equals."""
    best, longest = None, 0
    start, end, length = 0, 0, 0  # of the run that may go on
    for word in WORD.finditer(passage):
        if not wanted(word):
            length = 0
            continue
        if not length or not BETWEEN.fullmatch(passage, end, word.start()):
            start, length = word.start(), 0
        end, length = word.end(), length + 1
        if length > longest:
            best, longest = (start, end), length
    return best


def _read(context: str) -> Read:
    borders = []
    end = 0
    for sentence in sentences(context):
        start = context.index(sentence, end)
        end = start + len(sentence)
        borders.append((start, end))
    return Read(context, borders, [_words(context[start:end]) for start, end in borders])


def _words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)}


def _levels(overlaps: list[float]) -> list[float]:
    """Return the thresholds to try: 0, which gives every question an answer, and above some overlaps."""
    if not overlaps:
        return [0.0]
    cuts = np.quantile(overlaps, np.linspace(0, 1, CUTS), method="lower")
    return [0.0, *(float(np.nextafter(cut, 2)) for cut in np.unique(cuts))]
