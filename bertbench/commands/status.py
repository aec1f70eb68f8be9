"""`status`: the folders of sweeps in, a line a job out: finished, running, failed, stopped, waiting."""

import argparse
from collections import Counter
from pathlib import Path

from bertbench.errors import UserError
from bertbench.statuses import FAILED, Job, read_sweep
from bertbench.store import RUNS
from bertbench.tracking.journal import journals


def main(arguments: list[str]) -> int:
    """Print what `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bertbench status", description=__doc__)
    parser.add_argument("folder", nargs="?", help="of one sweep; by default the newest")
    parser.add_argument("--all", action="store_true", help="every sweep below outputs/")
    parser.add_argument("--store", default=".bertbench", help="has runs that MLflow lacks so far")
    given = parser.parse_args(arguments)
    print("\n\n".join(describe(folder) for folder in _folders(given.folder, every=given.all)))
    undelivered = [j for j in journals(Path(given.store) / RUNS) if j.ended is not None]
    if undelivered:
        count = len(undelivered)
        print(f"\n{count} runs that ended are not in MLflow yet: python -m bertbench sync")
    return 0


def _folders(folder: str | None, *, every: bool) -> list[Path]:
    if folder is not None:
        if not read_sweep(Path(folder))[1]:
            raise UserError(f"{folder} is no output folder of a run or sweep")
        return [Path(folder)]
    found = sorted(path for path in Path("outputs").glob("*") if read_sweep(path)[1])
    if not found:
        raise UserError("there are no runs below outputs/ here: run python -m bertbench first")
    return found if every else found[-1:]


def describe(folder: Path) -> str:
    """Return a heading with counts, and a line a job."""
    sweep, jobs = read_sweep(folder)
    counts = Counter(job.state for job in jobs)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines = [f"{folder}: {len(jobs)} jobs, {summary}"]
    if sweep:
        lines.append(f"  {sweep['command']}")
    return "\n".join([*lines, *(_line(job) for job in jobs)])


def _line(job: Job) -> str:
    seconds = "" if job.seconds is None else f"{job.seconds:.0f} s"
    text = f"  {job.name:>4}  {job.state:8}  {seconds:>8}  {' '.join(job.overrides) or 'defaults'}"
    return f"{text}\n        {job.status['error']}" if job.state == FAILED else text
