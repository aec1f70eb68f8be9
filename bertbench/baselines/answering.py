"""Questions and contexts in, guesses out: `Passages` with the face of what has learnt a task."""

from pathlib import Path

from bertbench.baselines.passages import Passages
from bertbench.types import Guess


class FittedPassages:
    """Questions and contexts in, guesses out."""

    def __init__(self, passages: Passages) -> None:
        self.passages = passages

    def predict(self, texts: list[tuple[str, str]]) -> list[Guess]:
        """Return a guess for each question; its score is the share of the question that was found."""
        best = self.passages._replace(threshold=0.0).predict(texts)
        return [
            Guess("" if overlap < self.passages.threshold else span, span, overlap, 1 - overlap)
            for span, overlap in best
        ]

    def save(self, folder: Path) -> None:
        """Write counts and rules into `folder`."""
        self.passages.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "FittedPassages":
        """Read what `save` wrote."""
        return cls(Passages.load(folder))
