"""Sweeps to disturb, and what must be the same after it: records, predictions, logged steps, store."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd

from bertbench.store import DAMAGED, MANIFEST, _damage

TESTS = Path(__file__).parents[1]
# Six runs and their baselines: one encoder, two ways to use it, three seeds. Half a second a part.
SETTINGS = [
    "task.name=toy", "task.source._target_=toy.task", "task.max_length=32",
    "weights=pretrain", "corpus._target_=toy.corpus", "model.tokenizer.vocab_size=120",
    "scale.depth=2", "scale.width=32", "scale.intermediate=64", "scale.positions=64",
    "pretrain.length=32", "pretrain.batch_size=8", "pretrain.tokens=25_000", "pretrain.log_every=5",
    "mode.pooling=mean", "runtime.checkpoint_seconds=0.2",
]  # fmt: skip
SWEEP = ["-m", *SETTINGS, "mode=frozen,full", "seed=0,1,2"]
TIMED = ("seconds", "per_second", "milliseconds")  # in names of numbers that no two runs share


def environment(**changed):
    """Return the environment of a process under test: one thread, this folder's toy task."""
    fixed = {
        "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    return os.environ | fixed | changed


def start(folder, *arguments, **changed):
    """Start a sweep in a process group of its own, so that all of it can be killed."""
    with (Path(folder) / "said.log").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "bertbench", *arguments], cwd=folder, stdout=said,
            stderr=subprocess.STDOUT, env=environment(**changed), start_new_session=True,
        )  # fmt: skip


def kill(process):
    """Kill a process group at once, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(folder, *arguments, **changed):
    """Run to the end; raise with what it said if it fails."""
    process = start(folder, *arguments, **changed)
    if code := process.wait(timeout=600):
        raise AssertionError(f"exit code {code}\n{said(folder)}")


def said(folder):
    return (Path(folder) / "said.log").read_text(encoding="utf-8")


def evidence(folder, name="main"):
    """Return what is compared: by key of the run, everything that is not a timing."""
    results = Path(folder) / "results" / name
    records = [json.loads(line) for line in (results / "records.jsonl").read_text().splitlines()]
    predictions = pd.read_parquet(results / "predictions.parquet")
    logged = histories(folder)
    return {
        record["key"]: {
            "metrics": untimed(record["metrics"] | record["chosen"] | record["pretraining"]),
            "predictions": predictions[predictions["key"] == record["key"]]
            .drop(columns="key").to_dict("list"),
            "logged": logged[record["key"]],
        }
        for record in records
    }  # fmt: skip


def untimed(values):
    return {k: v for k, v in values.items() if not is_timed(k)}


def is_timed(name):
    return any(word in name for word in TIMED)


def runs(folder):
    """Return (key, status) of every run in the database."""
    with sqlite3.connect(Path(folder) / "mlflow.db") as database:
        rows = database.execute(
            "SELECT t.value, r.status FROM runs r JOIN tags t ON r.run_uuid = t.run_uuid "
            "WHERE t.key = 'key' AND r.lifecycle_stage = 'active'"
        ).fetchall()
    database.close()
    return rows


def histories(folder):
    """Return for each key the logged steps of each metric in order, with values where not timed."""
    with sqlite3.connect(Path(folder) / "mlflow.db") as database:
        rows = database.execute(
            "SELECT t.value, m.key, m.step, m.value FROM metrics m JOIN tags t "
            "ON m.run_uuid = t.run_uuid WHERE t.key = 'key' ORDER BY m.key, m.step, m.timestamp"
        ).fetchall()
    database.close()
    found = {}
    for key, metric, step, value in rows:
        shown = None if is_timed(metric) else value
        found.setdefault(key, {}).setdefault(metric, []).append((step, shown))
    return found


def store_keys(folder):
    """Return (kind, key) of each entry of the store."""
    root = Path(folder) / ".bertbench"
    return sorted((p.parent.parent.name, p.parent.name) for p in root.glob(f"*/*/{MANIFEST}"))


def differences(folder, reference):
    """Return in words what is not as in the undisturbed folder; nothing is the right answer."""
    found = []
    mine, theirs = evidence(folder), evidence(reference)
    if mine.keys() != theirs.keys():
        found.append(f"runs: {sorted(mine.keys() ^ theirs.keys())}")
    for key in mine.keys() & theirs.keys():
        found += [
            f"{what} of {key[:8]}" for what in theirs[key] if mine[key][what] != theirs[key][what]
        ]
    if doubled := sorted(runs(folder)) != sorted((key, "FINISHED") for key in theirs):
        found.append(f"runs in MLflow, doubled or not finished: {doubled}")
    if store_keys(folder) != store_keys(reference):
        found.append("entries of the store")
    root = Path(folder) / ".bertbench"
    found += [f"damaged {p.parent}" for p in root.glob(f"*/*/{MANIFEST}") if _damage(p.parent)]
    found += [f"set aside {p}" for p in root.glob(f"*/*{DAMAGED}*")]
    found += [f"left over {p}" for p in (*root.glob("runs/*"), *root.glob("partial/*"))]
    return found
