"""What safety costs: the default pretraining with it and without, one after the other, several times.

    python tests/faults/cost.py --pairs 4

With: states saved, log kept in a journal and delivered to MLflow, the encoder hashed and synced. Without:
no states, no journal, no MLflow, no hashes. Prints the seconds of each and the median ratio; and, since
the noise of a shared machine is larger than the cost, the share of the time that went into safety.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from hydra import compose, initialize_config_dir

from bertbench import config, recipe, store
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints, Progress
from bertbench.runtime import compute
from bertbench.store import Store
from bertbench.tracking.mlflow_run import MlflowRun
from bertbench.tracking.protocol import NoTracker
from bertbench.tracking.tracker import MlflowTracker

SAFETY = [(Progress, "_save"), (MlflowRun, "log"), (store, "_seal"), (store, "_damage")]
CHOICES = {"weights": "pretrain", "scale": "tiny", "objective": "mlm", "masking": "static"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("overrides", nargs="*", help="such as pretrain.tokens=100_000")
    given = parser.parse_args()
    config.register()
    with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        values = config.plain(compose("config", overrides=given.overrides))
    plan = make_plan(values, CHOICES)
    pretrain(plan, safe=True)  # warms up; not counted
    ratios, shares = [], []
    for pair in range(given.pairs):
        order = (True, False) if pair % 2 else (False, True)
        spent = {safe: pretrain(plan, safe=safe) for safe in order}
        (wall, inside), (bare, _) = spent[True], spent[False]
        ratios.append(wall / bare)
        shares.append(inside / wall)
        print(
            f"with {wall:.2f} s ({100 * shares[-1]:.2f} % of it for safety), without {bare:.2f} s: "
            f"ratio {ratios[-1]:.4f}",
            flush=True,
        )
    share, ratio = 100 * statistics.median(shares), statistics.median(ratios)
    print(f"{len(ratios)} pairs: median ratio {ratio:.4f}, median share {share:.2f} %")
    sys.exit(0 if share <= 2 else 1)


def pretrain(plan, *, safe):
    """Pretrain in a new store; return the seconds it took, and those of them that went into safety."""
    runtime = plan.values["runtime"]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        kept, where = Store(folder / "store"), compute("cpu", runtime["threads"])
        tracker = NoTracker(journals=folder)
        if safe:
            uri = f"sqlite:///{folder}/mlflow.db"
            tracker = MlflowTracker(
                uri=uri, artifacts=f"{folder}/files", experiment="cost", journals=folder / "runs"
            )
            tracker.find("")  # the database is made once a folder, not once a run
        every = runtime["checkpoint_seconds"] if safe else None
        run = stack.enter_context(tracker.run(plan.key, "cost", params={}, tags={}))
        prepare(plan, kept)
        inside = [0.0]
        if safe:
            for owner, method in SAFETY:
                stack.enter_context(mock.patch.object(owner, method, timed(owner, method, inside)))
        else:
            bare = {"_seal": unsealed, "sync": lambda path: None}
            stack.enter_context(mock.patch.multiple(store, **bare))
        started = time.perf_counter()
        recipe.provide_encoder(
            plan.lineage, kept, where, run.log, Checkpoints(None, every, run.flush)
        )
        return time.perf_counter() - started, inside[0]


def timed(owner, method, inside):
    """Return the method, adding the seconds in it to `inside`."""
    call = getattr(owner, method)

    def wrapper(*arguments, **named):
        started = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            inside[0] += time.perf_counter() - started

    return wrapper


def unsealed(folder, recipe):
    """Stand for a store that does not hash: an empty manifest."""
    (folder / store.MANIFEST).write_text("{}", encoding="utf-8")


def prepare(plan, kept):
    """Make tokenizer and packed rows beforehand: they are the same with and without."""
    _, tokenizer = recipe._start(plan, kept)
    recipe._packed(plan, kept, tokenizer, recipe.tokenizers.vocabulary(tokenizer))


if __name__ == "__main__":
    main()
