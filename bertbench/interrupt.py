"""Ctrl-C in, a request out that long work answers where it can stop cleanly.

The first signal is remembered, and training stops after its step with its state saved; a second one
stops at once, which loses no more than a kill does.
"""

import signal
import sys
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the second is what schedulers send before they kill


class _State:
    """Of this process, as signals are."""

    requested = False


def requested() -> bool:
    """Tell whether somebody asked to stop."""
    return _State.requested


def check() -> None:
    """Stop here if somebody asked to.

    Raises:
        KeyboardInterrupt: Somebody did.
    """
    if _State.requested:
        raise KeyboardInterrupt


def listen() -> None:
    """From now on, remember the first signal instead of stopping anywhere; in the main thread only."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _receive)


def forget() -> None:
    """Act as if nobody had asked: for a process that goes on after an interrupted run."""
    _State.requested = False


def _receive(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's own signature
    if _State.requested:
        raise KeyboardInterrupt
    _State.requested = True
    sys.stderr.write("bertbench: stopping after this step; once more stops at once\n")
