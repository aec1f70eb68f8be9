"""Token tagging: each word of a sentence has a tag, such as B-PER, NOUN or a slot."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.kinds.base import Measure
from bertbench.kinds.cells import Columns, words
from bertbench.metrics import SMALLEST
from bertbench.scores import tags
from bertbench.types import Split

TagLists = list[list[str]]


def gold(split: Split, classes: list[str]) -> TagLists:
    """Return the tags of each sentence."""
    return [[classes[i] for i in row] for row in split.labels]


def chosen(predictions: Sequence[np.ndarray], classes: list[str]) -> TagLists:
    """Return the most probable tag of each word."""
    return [[classes[i] for i in row.argmax(1)] for row in predictions]


def log_loss(split: Split, predictions: Sequence[np.ndarray]) -> float:
    """Return the mean negative log-probability of the true tag of a word (nats)."""
    shares = [
        row[np.arange(len(row)), labels]
        for row, labels in zip(predictions, split.labels, strict=True)
    ]
    return float(-np.log(np.maximum(np.concatenate(shares), SMALLEST)).mean())


def _measure(function: Any, words: str) -> Measure:
    return Measure(
        lambda split, found, classes: function(gold(split, classes), chosen(found, classes)),
        True,
        words,
    )


class Token:
    """See `Kind`. A text is a list of words."""

    name = "token"
    reading = "token"
    long_text = "window"
    predicted = "a float64 array (words, C) of probabilities for each sentence"
    columns = Columns(text="tokens", label="tags")
    measures = {
        "span_f1": _measure(tags.span_f1, "F1 over spans, their type and both ends right"),
        "word_accuracy": _measure(tags.word_accuracy, "share of words tagged right"),
        "log_loss": Measure(lambda split, found, _: log_loss(split, found), False, "nats a word"),
    }
    tie = "log_loss"
    may_be_blank = False

    def metrics(self, classes: list[str]) -> list[str]:
        """See `Kind`; tags that mark no spans have no F1 over spans."""
        spans = tags.scheme_of(classes) != "none"
        return list(self.measures) if spans else ["word_accuracy", "log_loss"]

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """See `Kind`."""
        sentence = words(record, "text", columns.text, place)
        found = words(record, "label", columns.label, place)
        if len(sentence) != len(found):
            raise UserError(
                f"{place} has {len(sentence)} words under {columns.text!r} and {len(found)} tags under "
                f"{columns.label!r}: each word needs one"
            )
        for tag in found:
            if len(tag.split()) > 1:
                raise UserError(
                    f"{place} has the tag {tag!r:.60} under {columns.label!r}: take the white space out"
                )
        return sentence, found

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """See `Kind`."""
        return sorted({tag for sentence in labels for tag in sentence})

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> list[np.ndarray]:
        """Return an int64 array (words,) for each sentence."""
        place = {name: number for number, name in enumerate(classes)}
        return [np.array([place[tag] for tag in row], dtype=np.int64) for row in labels]

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """See `Kind`."""
        for name, sentence, labels in zip(split.ids, split.texts, split.labels, strict=True):
            if len(sentence) != len(labels):
                raise UserError(
                    f"{where} has {len(sentence)} words and {len(labels)} tags under the id {name!r}: each "
                    "word needs one"
                )
            if len(labels) and not 0 <= min(labels) <= max(labels) < len(classes):
                wrong = min(labels) if min(labels) < 0 else max(labels)
                raise UserError(
                    f"{where} has the tag {wrong} under the id {name!r}: tags go from 0 to "
                    f"{len(classes) - 1}, the number of a class"
                )

    def strata(self, split: Split) -> np.ndarray:
        """Return the rarest tag of each sentence."""
        size = 1 + max((int(row.max()) for row in split.labels if len(row)), default=0)
        counts = np.bincount(np.concatenate(split.labels), minlength=size)
        return np.array([row[counts[row].argmin()] if len(row) else 0 for row in split.labels])

    def says_one_thing(self, predictions: Sequence[np.ndarray]) -> bool:
        """See `Kind`."""
        return len(np.unique(np.concatenate([row.argmax(1) for row in predictions]))) == 1

    def table(
        self, split: Split, predictions: Sequence[np.ndarray], classes: list[str]
    ) -> dict[str, Any]:
        """See `Kind`; label and prediction are tags with blanks between them."""
        labels = [" ".join(row) for row in gold(split, classes)]
        found = [" ".join(row) for row in chosen(predictions, classes)]
        right = [one == other for one, other in zip(labels, found, strict=True)]
        return {"label": labels, "prediction": found, "right": right}
