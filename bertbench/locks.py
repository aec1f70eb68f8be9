"""A name in, a lock among processes out; who waits says what for, and a dead owner holds nothing.

The system drops a file lock with the process that held it, so there is nothing to take over: a lock
file that was left behind is free.
"""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bertbench import interrupt

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path, name: str, *, doing: str) -> Iterator[None]:
    """Hold the lock `name` of `folder` inside the block; wait for it if another process has it.

    Args:
        folder: Holds the lock files; exists.
        name: Of the lock.
        doing: What is done under it, for those who wait.

    Raises:
        KeyboardInterrupt: Somebody asked to stop while this waited.
    """
    lock = FileLock(folder / f"{name}.lock")
    owner = folder / f"{name}.owner"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        started = time.monotonic()
        logger.info("waiting for %s", _read_owner(owner) or doing)
        _wait(lock)
        logger.info("waited %.0f s for %s", time.monotonic() - started, doing)
    try:
        with contextlib.suppress(OSError):  # only for those who wait
            owner.write_text(
                json.dumps({"doing": doing, "process": os.getpid(), "host": socket.gethostname()}),
                encoding="utf-8",
            )
        yield
    finally:
        with contextlib.suppress(OSError):  # such as a disk that became read-only
            owner.unlink()
        lock.release()


def _wait(lock: FileLock) -> None:
    """Wait for the lock, but not for one who asked to stop."""
    while True:
        interrupt.check()
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=1)
            return


def held(folder: Path, name: str) -> bool:
    """Tell whether a living process holds the lock."""
    path = folder / f"{name}.lock"
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _read_owner(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['host']}: {found['doing']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
