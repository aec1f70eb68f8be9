"""Kill a sweep at random moments, start it again, and compare with an undisturbed one.

    python tests/faults/kill.py --kills 25 --seed 0

Prints kills, restarts and differences; exits with 1 if there is any difference.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness import SWEEP, differences, finish, kill, start

AT_MOST = 8  # kills of one sweep


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="at least so many")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    found = disturb(folder, kills=given.kills, seed=given.seed, say=print)
    shutil.rmtree(folder)
    sys.exit(1 if found else 0)


def disturb(folder, *, kills, seed, say=lambda text: None):
    """Kill sweeps at least `kills` times altogether; return all differences."""
    moments = random.Random(seed)
    reference = folder / "undisturbed"
    reference.mkdir()
    started = time.perf_counter()
    finish(reference, *SWEEP)
    duration = time.perf_counter() - started
    say(f"undisturbed: {duration:.1f} s")
    killed, sweeps, found = 0, 0, []
    while killed < kills:
        sweeps += 1
        work = folder / f"sweep-{sweeps}"
        work.mkdir()
        here = _one(work, moments, duration, at_most=min(AT_MOST, kills - killed), say=say)
        wrong = differences(work, reference)
        say(f"sweep {sweeps}: {here} kills, {here} restarts, {len(wrong)} differences")
        for text in wrong:
            say(f"  {text}")
        killed += here
        found += wrong
        shutil.rmtree(work)
    say(f"{sweeps} sweeps, {killed} kills, {killed} restarts, {len(found)} differences")
    return found


def _one(work, moments, duration, *, at_most, say):
    """Run one sweep to its end; return how often it was killed."""
    killed = 0
    while killed < at_most:
        process = start(work, *SWEEP)
        moment = moments.uniform(0.2, duration)
        deadline = time.perf_counter() + moment
        while process.poll() is None and time.perf_counter() < deadline:
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, (work / "said.log").read_text()
            return killed  # it was done before
        kill(process)
        killed += 1
        say(f"  killed after {moment:.2f} s")
    finish(work, *SWEEP)
    return killed


if __name__ == "__main__":
    main()
