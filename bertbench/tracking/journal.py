"""What a run has to say, written down here until the tracking store has all of it.

A journal is a folder: `lines.jsonl`, one event a line, appended and never changed; `files/`, the
run's files; `delivered.json`, what the tracking store has of it. A run that was killed goes on in its
journal, which knows every step that was logged, so that none is logged twice.
"""

import contextlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import IO, Any, NamedTuple

LINES, FILES, DELIVERED = "lines.jsonl", "files", "delivered.json"
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"

Event = dict[str, Any]


class Delivered(NamedTuple):
    """What the tracking store has of a journal."""

    run_id: str = ""  # empty: nothing yet
    lines: int = 0
    place: str = ""  # URI of the store


class Journal:
    """One run's events and files.

    Args:
        folder: Of the journal; made by `Journal.start`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / FILES
        self.events, self._size = _read(folder / LINES)
        self._delivered = _read_delivered(folder / DELIVERED)
        self.confirmed = False  # whether the store was asked if it still has the run
        self._file: IO[bytes] | None = None
        self._logged = {
            (name, event["step"])
            for event in self.events
            if "metrics" in event
            for name in event["metrics"]
        }

    @classmethod
    def start(cls, parent: Path, key: str, opening: Event) -> "Journal":
        """Make a journal for a run of that key; it appears whole or not at all.

        Args:
            parent: Folder of all journals.
            key: Of the run.
            opening: What the tracking store is told first: title, tags, params, where to.
        """
        for left in parent.glob(
            f".{key[:20]}.*"
        ):  # of a process that died here; the caller holds the run
            shutil.rmtree(left, ignore_errors=True)
        name = f"{key[:20]}.{uuid.uuid4().hex[:8]}"
        work = parent / f".{name}"
        (work / FILES).mkdir(parents=True)
        first = {"open": opening | {"key": key, "journal": name}, "time": _now()}
        (work / LINES).write_bytes(_line(first))
        work.replace(parent / name)
        return cls(parent / name)

    @property
    def opening(self) -> Event:
        """What `start` was given, with key and the journal's own name."""
        return self.events[0]["open"]

    @property
    def ended(self) -> str | None:
        """How the run ended (FINISHED, FAILED), or None: it is under way, or was stopped."""
        return next((e["end"] for e in reversed(self.events) if "end" in e), None)

    @property
    def delivered(self) -> Delivered:
        """What the tracking store has of it."""
        return self._delivered

    @delivered.setter
    def delivered(self, value: Delivered) -> None:
        work = self.folder / f".{DELIVERED}"
        work.write_text(json.dumps(value._asdict()), encoding="utf-8")
        work.replace(self.folder / DELIVERED)
        self._delivered = value

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Keep metrics of a step; those that an earlier try kept already are left out."""
        new = {name: float(v) for name, v in metrics.items() if (name, step) not in self._logged}
        if new:
            self._logged |= {(name, step) for name in new}
            self.write({"metrics": new, "step": step})

    def write(self, event: Event) -> None:
        """Append an event; it survives the end of this process."""
        stamped = event | {"time": _now()}
        if self._file is None:  # cuts off a line that a killed process left half written
            self._file = (self.folder / LINES).open("r+b")
            self._file.truncate(self._size)
            self._file.seek(self._size)
        line = _line(stamped)
        self._file.write(line)
        self._file.flush()
        self._size += len(line)
        self.events.append(stamped)

    def sync(self) -> None:
        """Wait until everything is on the disk: it survives the end of this machine."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file of lines."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the journal: the tracking store has it all."""
        self.close()
        gone = self.folder.with_name(f".{self.folder.name}.delivered")
        self.folder.replace(gone)  # in one step: never half a journal
        shutil.rmtree(gone, ignore_errors=True)


def journals(parent: Path, key: str = "") -> list[Journal]:
    """Return the journals below `parent`, of one key or of all, oldest first."""
    found = []
    for folder in parent.glob(f"{key[:20]}*"):
        if folder.name.startswith("."):
            continue
        # Delivered and removed meanwhile; or a file that is none of ours.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            journal = Journal(folder)
            if journal.events and (not key or journal.opening["key"] == key):
                found.append(journal)
    return sorted(found, key=lambda journal: journal.events[0]["time"])


def _read_delivered(path: Path) -> Delivered:
    try:
        return Delivered(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # never delivered, or a power cut: deliver again
        return Delivered()


def _now() -> int:
    return int(time.time() * 1000)  # milliseconds, as MLflow counts


def _line(event: Event) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _read(path: Path) -> tuple[list[Event], int]:
    """Return the events up to the first line that is not whole, and their size in bytes."""
    events, size = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            event = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            event = None
        if not isinstance(event, dict):
            break
        events.append(event)
        size += len(line)
    return events, size
