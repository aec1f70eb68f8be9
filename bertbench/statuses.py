"""What each job of a sweep says of itself, in files below its folder; what became of all of them, out.

Files, not memory: jobs may run in other processes, and a killed one cannot say anything any more.
"""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertbench.locks import held, locked

logger = logging.getLogger(__name__)

STATUS, SWEEP, LOCK = "status.json", "sweep.json", "job"
FINISHED, SKIPPED, FAILED, RUNNING, STOPPED, WAITING = (
    "finished", "skipped", "failed", "running", "stopped", "waiting",
)  # fmt: skip

Json = dict[str, Any]


class Job(NamedTuple):
    """One job of a sweep."""

    name: str  # its number
    state: str  # one of the above
    overrides: list[str]
    status: Json  # what it wrote; empty where it has not begun

    @property
    def seconds(self) -> float | None:
        """How long it took, or has run so far."""
        if self.state == RUNNING:
            return time.time() - self.status["started"]
        return self.status.get("seconds")


@contextlib.contextmanager
def reporting(folder: Path, overrides: list[str]) -> Iterator[Json]:
    """Keep a job's status file up to date: running inside the block, what the block says after it."""
    folder.mkdir(parents=True, exist_ok=True)
    status: Json = {"overrides": overrides, "keys": [], "state": RUNNING, "started": time.time()}
    with locked(folder, LOCK, doing=" ".join(overrides)):
        _write(folder / STATUS, status)
        try:
            yield status
        finally:
            status["seconds"] = round(time.time() - status["started"], 3)
            _write(folder / STATUS, status)


def announce(folder: Path, jobs: list[list[str]], command: str) -> None:
    """Write down which jobs a sweep will have."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep = {"command": command, "jobs": jobs, "started": time.time()}
    _write(folder / SWEEP, sweep | {"process": os.getpid(), "host": socket.gethostname()})


def read_job(folder: Path) -> Job | None:
    """Return the job of an output folder, or None where there is none."""
    try:
        status = _read(folder / STATUS)
        state = status["state"]
        if state == RUNNING and not held(folder, LOCK):
            state = STOPPED  # killed: nobody was left to say so
        return Job(folder.name, state, status["overrides"], status)
    except (OSError, KeyError):
        return None


def read_sweep(folder: Path) -> tuple[Json, list[Job]]:
    """Return what was announced of a sweep (empty for a single run), and its jobs in order."""
    sweep = _read(folder / SWEEP)
    if not sweep and (alone := read_job(folder)) is not None:
        return {}, [alone]
    found = {job.name: job for p in folder.glob(f"*/{STATUS}") if (job := read_job(p.parent))}
    waiting = WAITING if _alive(sweep) else STOPPED
    planned = {
        str(number): Job(str(number), waiting, overrides, {})
        for number, overrides in enumerate(sweep.get("jobs", []))
    }
    jobs = planned | found
    return sweep, sorted(jobs.values(), key=lambda job: (len(job.name), job.name))


def _alive(sweep: Json) -> bool:
    """Tell whether the process of a sweep is there; one on another machine is taken to be."""
    if sweep.get("host") != socket.gethostname():
        return bool(sweep)
    try:
        os.kill(sweep["process"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> Json:
    """Return what a file says; nothing where there is none, or a power cut broke it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, value: Json) -> None:
    """Write a status, whole or not at all; a full disk costs the status, not the sweep."""
    work = path.with_name(f".{path.name}")
    try:
        work.write_text(json.dumps(value, indent=1), encoding="utf-8")
        work.replace(path)
    except OSError as error:
        logger.warning("%s is not written: %s", path, error)
