"""What a run may say to a tracker and ask of it; and the tracker that keeps nothing."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Found(NamedTuple):
    """A run that ended before."""

    status: str  # FINISHED or FAILED
    record: str  # text of record.json; empty for a failed run


class Run(Protocol):
    """One run being tracked."""

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """Keep metrics of a step."""
        ...

    def flush(self) -> None:
        """Wait until what was logged is on the disk."""
        ...

    def file(self, path: Path, folder: str = "") -> None:
        """Keep a file or folder below `folder`."""
        ...

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """Say which data the run read."""
        ...


class Tracker(Protocol):
    """Keeps runs and finds them again."""

    def find(self, key: str) -> Found | None:
        """Return the newest finished run of that key, else the newest failed one, else None."""
        ...

    def run(
        self, key: str, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> contextlib.AbstractContextManager[Run]:
        """Open a run, or go on with one that was stopped; an error ends it, an interrupt does not."""
        ...


class NoTracker:
    """Keeps nothing and finds nothing."""

    def __init__(self, *, journals: Path) -> None:
        del journals  # nothing to keep in it

    def find(self, key: str) -> Found | None:
        """See `Tracker`."""
        return None

    @contextlib.contextmanager
    def run(
        self, key: str, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> Iterator["NoRun"]:
        """See `Tracker`."""
        yield NoRun()


class NoRun:
    """See `Run`; keeps nothing."""

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """See `Run`."""

    def flush(self) -> None:
        """See `Run`."""

    def file(self, path: Path, folder: str = "") -> None:
        """See `Run`."""

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """See `Run`."""


def keep_text(run: Run, name: str, text: str) -> None:
    """Keep `text` as a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        run.file(path)
