"""Extractive question answering: each question has answers in its context, or none."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure
from bertbench.kinds.cells import Columns, cell, text
from bertbench.scores import answers
from bertbench.types import Answer, Guess, Split


def gold(split: Split) -> list[list[str]]:
    """Return the texts of the answers to each question."""
    return [[answer.text for answer in found] for found in split.labels]


def _measure(function: Any, words: str) -> Measure:
    return Measure(
        lambda split, found, _: function([guess.text for guess in found], gold(split)), True, words
    )


class Span:
    """See `Kind`. A text is a question and its context."""

    name = "span"
    reading = "span"
    long_text = "window"
    predicted = "a Guess for each question"
    columns = Columns(text="question", second="context", label="answers")
    measures = {
        "f1": _measure(answers.mean_f1, "F1 over the words of an answer"),
        "exact_match": _measure(
            answers.mean_exact_match, "share of answers that are right as a whole"
        ),
    }
    tie = "exact_match"
    may_be_blank = True

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`."""
        return list(self.measures)

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`; answers are those of SQuAD's JSON, or texts that stand in the context once."""
        question = text(record, "text", columns.text, place)
        context = text(record, "second", columns.second or "context", place)
        none = columns.label in record and record[columns.label] is None  # as JSON may say it
        value = "" if none else cell(record, "label", columns.label, place)
        return (question, context), _answers(value, context, columns.label, place)

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return []

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> list[list[Answer]]:
        """Return the answers to each question."""
        return list(labels)

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        for name, (_, context), found in zip(split.ids, split.texts, split.labels, strict=True):
            for answer in found:
                if answer.start < 0 or not context.startswith(answer.text, answer.start):
                    raise UserError(
                        f"{where} has the answer {answer.text!r:.60} at character {answer.start} of the "
                        f"context of the id {name!r}, where it does not stand: mend its place"
                    )
        if not any(split.labels):
            raise UserError(f"{where} has no answer at all: give it some")

    def strata(self, split: Split) -> np.ndarray:
        """Return whether a question has an answer."""
        return np.array([bool(found) for found in split.labels], dtype=np.int64)

    def says_one_thing(self, predictions: Sequence[Guess]) -> bool:
        """See `Kind`."""
        return len({guess.text for guess in predictions}) == 1

    def table(
        self, split: Split, predictions: Sequence[Guess], classes: list[str]
    ) -> dict[str, Any]:
        """See `Kind`; labels are JSON lists of texts."""
        labels = gold(split)
        return {
            "label": [json.dumps(texts, ensure_ascii=False) for texts in labels],
            "prediction": [guess.text for guess in predictions],
            "right": [
                answers.exact_match(guess.text, texts) == 1
                for guess, texts in zip(predictions, labels, strict=True)
            ],
            "best": [guess.best for guess in predictions],
            "no_answer": [guess.no_answer for guess in predictions],
        }


def _answers(value: Any, context: str, column: str, place: str) -> list[Answer]:
    if isinstance(value, dict) and isinstance(value.get("text"), list):  # as in `datasets`
        texts, starts = value["text"], value.get("answer_start")
        starts = [None] * len(texts) if starts is None else starts
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise UserError(
                f"{place} has {value!r:.60} under {column!r}: give each text its answer_start"
            )
        value = [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]
    if isinstance(value, str):
        value = [{"text": value}] if value.strip() else []
    if not isinstance(value, list):
        raise UserError(
            f"{place} has {value!r:.60} under {column!r}: it must be answers as in SQuAD's JSON, or a text"
        )
    return [_answer(one, context, column, place) for one in value]


def _answer(value: Any, context: str, column: str, place: str) -> Answer:
    found = value.get("text") if isinstance(value, dict) else value
    if not isinstance(found, str) or not found.strip():
        raise UserError(f"{place} has {value!r:.60} under {column!r}: an answer must be a text")
    start = value.get("answer_start") if isinstance(value, dict) else None
    if type(start) is int and start >= 0 and context.startswith(found, start):
        return Answer(start, found)
    first = context.find(found)
    if first >= 0 and context.find(found, first + 1) < 0:
        return Answer(first, found)
    where = (
        "does not stand in its context" if first < 0 else "stands in its context more than once"
    )
    raise UserError(
        f"{place} has the answer {found!r:.60}, which {where}: give its answer_start, or mend it"
    )
