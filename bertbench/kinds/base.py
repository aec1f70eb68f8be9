"""What a kind of task says of itself: how its records are read, checked, shown and scored."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bertbench.kinds.cells import Columns, text
from bertbench.types import Split


class Measure(NamedTuple):
    """A metric of one kind: a function of a split, what was predicted of it, and the classes."""

    function: Callable[[Split, Any, list[str]], float]
    higher_is_better: bool
    words: str  # for a reader of the sheet


class Kind(Protocol):
    """One kind of task. What it predicts is given by `predicted`.

    Attributes:
        name: What the config calls it.
        reading: How an encoder reads its texts: `text`, `token` or `span`.
        long_text: What is read of a long one where a task does not say.
        predicted: What predictions are, in words with shapes.
        measures: Its metrics by name.
        tie: Of the metric that decides between what validation finds equal.
        columns: What its columns are called where a task names none.
        may_be_blank: Whether a label may say nothing: no class, no answer.
    """

    name: str
    reading: str
    long_text: str
    predicted: str
    measures: dict[str, Measure]
    tie: str
    columns: Columns
    may_be_blank: bool

    def metrics(self, classes: list[str]) -> list[str]:
        """Return the metrics that fit these classes; validation chooses by the first, if none is named."""
        ...

    def item(self, record: dict[str, Any], columns: Columns, place: str) -> tuple[Any, Any]:
        """Return the text of a record and its label as it stands there.

        Args:
            record: Cells by column.
            columns: What they are called.
            place: File and line, for errors.

        Raises:
            UserError: A cell is missing or is not what this kind needs.
        """
        ...

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """Return the classes that stand in labels as `item` returned them; none if it has no classes."""
        ...

    def numbers(self, labels: Sequence[Any], classes: list[str]) -> Any:
        """Return labels as `Split` holds them."""
        ...

    def check(self, split: Split, classes: list[str], where: str) -> None:
        """Refuse labels that cannot be learned or scored; `where` names the split."""
        ...

    def strata(self, split: Split) -> np.ndarray:
        """Return int64 (T,): what is kept in proportion where a split is cut or a part of it taken."""
        ...

    def says_one_thing(self, predictions: Any) -> bool:
        """Tell whether all items are predicted to be the same."""
        ...

    def table(self, split: Split, predictions: Any, classes: list[str]) -> dict[str, Any]:
        """Return columns of the table of predictions: label, prediction, right, and the kind's own."""
        ...


def texts_of(record: dict[str, Any], columns: Columns, place: str) -> str | tuple[str, str]:
    """Return the text of a record, or its pair of texts where a second column is named."""
    first = text(record, "text", columns.text, place)
    if columns.second is None:
        return first
    return first, text(record, "second", columns.second, place)


def shown(value: str | tuple[str, str] | Sequence[str]) -> str:
    """Return a text of any kind as one string, for tables and comparisons."""
    return (
        value
        if isinstance(value, str)
        else (" ⟂ " if isinstance(value, tuple) else " ").join(value)
    )
