"""`sync`: runs that MLflow does not have in, delivered out; nothing is sent twice."""

import argparse
import sys
from pathlib import Path

from bertbench.errors import UserError
from bertbench.locks import held, locked
from bertbench.store import LOCKS, RUNS
from bertbench.tracking.journal import Journal, journals
from bertbench.tracking.tracker import MlflowTracker


def main(arguments: list[str]) -> int:
    """Deliver what `arguments` ask for; return 0 if all of it arrived, else 2."""
    parser = argparse.ArgumentParser(prog="python -m bertbench sync", description=__doc__)
    parser.add_argument("--store", default=".bertbench", help="folder that keeps the runs")
    parser.add_argument("--uri", help="deliver there instead of where the run was meant to go")
    given = parser.parse_args(arguments)
    store = Path(given.store)
    if not store.is_dir():
        raise UserError(f"--store {store} is no folder here")
    outcomes = [_outcome(store, journal, given.uri) for journal in journals(store / RUNS)]
    arrived, left, busy = (outcomes.count(outcome) for outcome in (True, False, None))
    print(f"{arrived} runs delivered, {left} could not be, {busy} are under way")
    return 2 if left else 0


def _outcome(store: Path, journal: Journal, uri: str | None) -> bool | None:
    """Deliver one run; tell whether it arrived, or None if a process is at it."""
    name = f"run-{journal.opening['key'][:20]}"
    if held(store / LOCKS, name):
        return None
    try:
        with locked(store / LOCKS, name, doing=f"delivering {journal.opening['title']}"):
            return _deliver(store, journal.folder, uri)
    except UserError as error:  # of this run alone: the others may have other places
        print(f"{journal.opening['title']}: {error}", file=sys.stderr)
        return False


def _deliver(store: Path, folder: Path, uri: str | None) -> bool:
    if not folder.exists():  # the run has ended since it was listed, and was delivered
        return True
    journal = Journal(folder)
    opening = journal.opening
    tracker = MlflowTracker(
        uri=uri or opening["uri"],
        artifacts=opening["artifacts"],
        experiment=opening["experiment"],
        journals=store / RUNS,
    )
    return tracker.settle(journal) if journal.ended else tracker.park(journal)
