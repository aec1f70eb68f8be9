"""Values that cross a room's border.

Shape letters used in this package: B sequences, L tokens per sequence, S sequences of a corpus,
P tokens of a corpus, N chosen positions, V vocabulary entries, D encoder width, C classes, T texts,
W windows of texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # this room imports nothing heavy: bad input is named before torch is loaded
    from pathlib import Path

    import numpy as np
    from torch import Tensor

POOLINGS = ("cls", "mean")  # how the states of a text become one vector
IGNORE = -100  # label of a position the loss skips; torch's own default
FOLLOWS, NOT = 0, 1  # whether the second segment follows the first; transformers' own numbers

Log = Callable[[dict[str, float], int], None]  # metrics by name, optimizer step


class Vocabulary(NamedTuple):
    """What rooms below the tokenizer need to know of it."""

    size: int
    pad: int
    cls: int
    sep: int
    mask: int
    special: tuple[int, ...]  # every special id, sorted


class Tokens(NamedTuple):
    """A tokenised corpus: one stream of ids, and where words, sentences and documents begin in it.

    The arrays may lie on disk (memory-mapped): read slices, not the whole.
    """

    ids: np.ndarray  # uint16 or int32, (P,); no special tokens
    starts: np.ndarray  # bool, (P,); True where a word begins
    sentences: np.ndarray  # int64, (sentences + 1,): offsets into `ids`
    documents: np.ndarray  # int64, (documents + 1,): offsets into `sentences`


class Rows(NamedTuple):
    """A packed corpus: sequences of one length, of one segment or two; may lie on disk."""

    ids: (
        np.ndarray
    )  # uint16 or int32, (S, L); [CLS] first segment [SEP] second segment [SEP] padding
    starts: np.ndarray  # bool, (S, L); True where a word begins
    second: np.ndarray  # int32, (S,): where the second segment begins; L where there is none
    related: np.ndarray  # int64, (S,): FOLLOWS or NOT; IGNORE where there is no second segment


class Batch(NamedTuple):
    """Packed token ids, and where each sequence stands in the corpus."""

    ids: Tensor  # int64, (B, L)
    attention_mask: Tensor  # bool, (B, L); False on padding
    maskable: Tensor  # bool, (B, L); False on special tokens and padding
    starts: Tensor  # bool, (B, L); True where a word begins
    segment_ids: Tensor  # int64, (B, L); 0 on the first segment and padding, 1 on the second
    related: Tensor  # int64, (B,); FOLLOWS or NOT, IGNORE where there is no second segment
    sequence: Tensor  # int64, (B,); row of each sequence in the packed corpus
    epoch: int  # how often the corpus has been read before
    spent: float = 0.0  # share of the training's budget, in [0, 1)


class Masked(NamedTuple):
    """Corrupted ids and the labels to predict."""

    ids: Tensor  # int64, (B, L)
    labels: Tensor  # int64, (B, L); IGNORE where nothing is predicted


class Masking(Protocol):
    """Corrupts a batch: a pure function of each sequence and the epoch."""

    def __call__(self, batch: Batch) -> Masked:
        """Return corrupted ids and labels, both (B, L)."""
        ...


class Answer(NamedTuple):
    """An answer that stands in a context."""

    start: int  # character of the context
    text: str


class Guess(NamedTuple):
    """What is predicted for a question."""

    text: str  # the answer that is given; empty where none is
    best: str  # the best span, given or not
    score: float  # of that span, higher is surer
    no_answer: float  # above the threshold chosen on validation, no answer is given


class Split(NamedTuple):
    """Labelled items; what texts and labels are, the kind of the task says.

    | kind | a text | labels |
    | --- | --- | --- |
    | classification | a string, or a pair of them | int64 (T,), in [0, C) |
    | multilabel | a string, or a pair | bool (T, C) |
    | regression | a string, or a pair | float64 (T,) |
    | ranking | (query, candidate) | float64 (T,), relevance |
    | token | a list of words | a list of int64 (words,), in [0, C) |
    | span | (question, context) | a list of lists of Answer |
    """

    ids: list[str]  # (T,), unique within the task
    texts: list[Any]  # (T,)
    labels: Any
    groups: list[str] | None = (
        None  # (T,): what must lie in one split, such as the query of each candidate
    )


class Flaw(NamedTuple):
    """One thing that was looked for; `count` 0 means that it is not there, `of` 0 that none looked."""

    name: str
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] - no one counts its values
    of: int
    rows: list[str]  # ids, all of them
    words: str  # one sentence with the numbers


class TaskData(NamedTuple):
    """A labelled task, ready to learn."""

    name: str
    classes: list[str]  # (C,); none where labels are numbers or answers
    train: Split
    validation: Split
    test: Split
    kind: str = "classification"
    notes: tuple[str, ...] = ()  # what was noticed while it was read, a sentence each
    flaws: tuple[Flaw, ...] = ()  # of rows that were left out while it was read


class Fitted(Protocol):
    """What has learnt a task: texts in, predictions of its kind out; can be saved without pickle."""

    def predict(self, texts: list[Any]) -> Any:
        """Return predictions as the kind of the task has them."""
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors, tokenizer and settings into `folder`."""
        ...


class Outcome(NamedTuple):
    """What a mode hands back to the runner."""

    fitted: Fitted
    validation: Any  # predictions as the kind of the task has them
    test: Any
    stats: dict[str, float]  # what was chosen and what it cost, by metric name
