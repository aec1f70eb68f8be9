"""What safety costs: the default pretraining with it and without, one after the other, several times.

    python tests/faults/cost.py --pairs 4

With: states saved, log kept in a journal and delivered to MLflow, the encoder hashed and synced. Without:
no states, no journal, no MLflow, no hashes. Prints the seconds of each and the median ratio.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from hydra import compose, initialize_config_dir

from bertbench import config, recipe, store
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints
from bertbench.runtime import compute
from bertbench.store import Store
from bertbench.tracking.protocol import NoTracker
from bertbench.tracking.tracker import MlflowTracker

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
    ratios = []
    for pair in range(given.pairs):
        order = (
            (True, False) if pair % 2 else (False, True)
        )  # whoever is first has a colder machine
        seconds = {safe: pretrain(plan, safe=safe) for safe in order}
        ratios.append(seconds[True] / seconds[False])
        print(
            f"with {seconds[True]:.2f} s, without {seconds[False]:.2f} s: ratio {ratios[-1]:.4f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.4f} of {len(ratios)} pairs")
    sys.exit(0 if statistics.median(ratios) <= 1.02 else 1)


def pretrain(plan, *, safe):
    """Pretrain in a new store; return the seconds from the packed corpus to the kept encoder."""
    runtime = plan.values["runtime"]
    with tempfile.TemporaryDirectory() as name:
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
        with tracker.run(plan.key, "cost", params={}, tags={}) as run:
            checkpoints = Checkpoints(None, every, run.flush)
            prepare(plan, kept)
            unsafe = {} if safe else {"_seal": unsealed, "sync": lambda path: None}
            with mock.patch.multiple(store, **unsafe):
                started = time.perf_counter()
                recipe.provide_encoder(plan, kept, where, run.log, checkpoints)
                return time.perf_counter() - started


def unsealed(folder, recipe):
    """Stand for a store that does not hash: an empty manifest."""
    (folder / store.MANIFEST).write_text("{}", encoding="utf-8")


def prepare(plan, kept):
    """Make tokenizer and packed rows beforehand: they are the same with and without."""
    _, tokenizer = recipe._start(plan, kept)
    recipe._packed(plan, kept, tokenizer, recipe.tokenizers.vocabulary(tokenizer))


if __name__ == "__main__":
    main()
