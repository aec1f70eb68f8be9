"""Ctrl-C in, a request out that long work answers where it can stop cleanly.

The first signal is remembered, and training stops after its step with its state saved; a second one
stops at once, which loses no more than a kill does.
"""

import contextlib
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the second is what schedulers send before they kill


class _State:
    """Of this process, as signals are."""

    requested = False
    note: Path | None = None


def requested() -> bool:
    """Tell whether somebody asked to stop, here or in another process of the sweep."""
    if not _State.requested and _State.note is not None:
        _State.requested = _State.note.exists()
    return _State.requested


def check() -> None:
    """Stop here if somebody asked to.

    Raises:
        KeyboardInterrupt: Somebody did.
    """
    if requested():
        raise KeyboardInterrupt


def share(note: Path) -> None:
    """From now on, stop with all processes that share this file: whoever is asked to makes it."""
    _State.note = note


def listen() -> None:
    """From now on, remember the first signal instead of stopping anywhere; in the main thread only."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _receive)


def forget() -> None:
    """Act as if nobody had asked: for a process that goes on after an interrupted run."""
    _State.requested, _State.note = False, None


def _receive(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's own signature
    if _State.requested:
        raise KeyboardInterrupt
    _State.requested = True
    if _State.note is not None:
        with contextlib.suppress(OSError):
            _State.note.touch()
    sys.stderr.write("bertbench: stopping after this step; once more stops at once\n")
