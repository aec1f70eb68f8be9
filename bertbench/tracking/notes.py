"""What a tracking store has taken of finished runs, on this disk: for the day it does not answer."""

import contextlib
import json
from pathlib import Path

from bertbench.tracking.journal import FINISHED
from bertbench.tracking.protocol import Found


def write_note(path: Path, target: dict[str, str], found: Found) -> None:
    """Keep the record of a finished run that the store at `target` has; a convenience, so no error."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_suffix(".part")
        work.write_text(json.dumps({"target": target, "record": found.record}), encoding="utf-8")
        work.replace(path)


def read_note(path: Path, target: dict[str, str]) -> Found | None:
    """Return the finished run that `path` notes, if it is of that store."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return Found(FINISHED, note["record"]) if note["target"] == target else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
