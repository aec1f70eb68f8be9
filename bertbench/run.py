"""The composition root: one config in, one tracked run out."""

import logging
import shutil
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from bertbench import interrupt
from bertbench.config import build
from bertbench.errors import UserError
from bertbench.kinds import find
from bertbench.plan import Plan
from bertbench.records import RunRecord
from bertbench.report.cardfacts import Card
from bertbench.store import RUNS, Store
from bertbench.tracking.protocol import Run, Tracker, keep_text
from bertbench.types import Fitted, Outcome

logger = logging.getLogger(__name__)

UNREAD = {  # what has a label, by kind, where a part of a text is not read
    "token": "words were cut off their sentence",
    "span": "questions have an answer that no window holds whole",
}
LATENCY_TEXTS = 64  # the first test texts, on which milliseconds a text are measured


class Result(NamedTuple):
    """What became of a run."""

    record: RunRecord
    skipped: bool  # it was finished before


def execute(plan: Plan, *, overrides: list[str], sweep: str) -> Result:
    """Compute a run unless it is finished already, and track it; one that was stopped goes on.

    Args:
        plan: What to run.
        overrides: What the command line said, for the record.
        sweep: Name of the sweep that the run is part of.

    Raises:
        UserError: A setting does not fit the model, or the run failed before and `rerun=never`
            forbids another try.
    """
    values = plan.values
    lock = f"run-{plan.key[:20]}"
    store = Store(Path(values["runtime"]["store"]), user=plan.title, run=lock)
    tracker: Tracker = build(values["tracking"], journals=store.root / RUNS)
    # Of two processes with one run, one waits and skips.
    with store.lock(lock, doing=f"the run {plan.title}"):
        partial = store.partial("transfer", {"key": plan.key})
        found = tracker.find(plan.key) if values["rerun"] != "always" else None
        if found is not None:
            if found.record:
                shutil.rmtree(partial, ignore_errors=True)  # of one killed after it had finished
                record = RunRecord.from_json(found.record, place=f"the record of {plan.title}")
                return Result(record, skipped=True)
            if values["rerun"] == "never":
                raise UserError(
                    f"{plan.title} failed before: rerun=failed or rerun=always tries it again"
                )
        tags = plan.words | {
            "group": plan.group,
            "seed": str(values["seed"]),
            "sweep": sweep,
            "stage": "transfer",
            "name": values["name"],
        }
        params = plan.words | plan.science
        with tracker.run(plan.key, plan.title, params=params, tags=tags) as run:
            try:
                record = _compute(plan, store, run, overrides)
            except Exception:
                keep_text(run, "traceback.txt", traceback.format_exc())
                raise
        shutil.rmtree(partial, ignore_errors=True)
        return Result(record, skipped=False)


def _compute(plan: Plan, store: Store, run: Run, overrides: list[str]) -> RunRecord:
    from bertbench import outputs, runtime
    from bertbench.kinds import compute as measured
    from bertbench.models.released import identity
    from bertbench.progress import Checkpoints
    from bertbench.recipe import provide_encoder
    from bertbench.setting import Setting

    values, data = plan.values, plan.data
    compute = runtime.compute(values["runtime"]["device"], values["runtime"]["threads"])
    checkpoints = Checkpoints(None, values["runtime"]["checkpoint_seconds"], run.flush)
    made = None
    if plan.lineage is not None:
        made = provide_encoder(plan.lineage, store, compute, run.log, checkpoints)
    folder, pretraining = (made.folder, made.stats) if made is not None else (None, {})
    setting = Setting(
        checkpoint=folder,
        checkpoint_key=identity(folder) if folder is not None else "",
        max_length=values["task"]["max_length"],
        long_text=values["task"]["long_text"],
        metric=values["task"]["metric"],
        seed=values["seed"],
        store=store,
        compute=compute,
        log=run.log,
        checkpoints=checkpoints._replace(folder=store.partial("transfer", {"key": plan.key})),
    )
    interrupt.check()
    outcome = build(values["mode"]).fit(data, setting)
    scores = {
        f"{split}/{name}": value
        for split, predictions in (("validation", outcome.validation), ("test", outcome.test))
        for name, value in measured(
            data, values["task"]["metrics"], getattr(data, split), predictions
        ).items()
    }
    cost = _group(outcome.stats, "cost/")
    cost["milliseconds_per_text"] = _latency(outcome.fitted, data.test.texts)
    record = RunRecord(
        key=plan.key,
        group=plan.group,
        name=values["name"],
        task=plan.words["task"],
        mode=plan.words["mode"],
        seed=values["seed"],
        recipe={k: v for k, v in plan.words.items() if k not in ("task", "mode")},
        science=plan.science,
        metric=values["task"]["metric"],
        metrics=scores,
        cost=cost,
        chosen=_group(outcome.stats, "chosen/"),
        pretraining=pretraining,
        data={
            "fingerprint": plan.data_fingerprint,
            "kind": data.kind,
            "classes": data.classes,
            **{name: len(getattr(data, name).ids) for name in ("train", "validation", "test")},
        },
        curve=made.curve if made is not None else [],
        environment=runtime.environment(compute),
        overrides=overrides,
        warnings=_warnings(plan, outcome),
    )
    run.log(scores | outcome.stats | {f"cost/{k}": v for k, v in cost.items()})
    run.log({f"pretrain/{k}": v for k, v in pretraining.items()})
    outputs.keep(
        run,
        record,
        plan,
        outcome,
        card=made.card if made is not None else None,
        looked_at=_look(plan, store, folder),
    )
    return record


def _look(plan: Plan, store: Store, folder: Path | None) -> Card:
    """Return the data card of a run's task, with what the encoder's tokenizer makes of it."""
    from bertbench import examination, tokenizer

    name = plan.values["model"]["name"]
    known = {} if folder is None else {name: tokenizer.load(folder)}
    whole = plan.whole._replace(name=plan.data.name)
    length = plan.values["task"]["max_length"]
    return examination.provide(whole, plan.data_fingerprint, store, known, max_length=length)


def _warnings(plan: Plan, outcome: Outcome) -> list[str]:
    """Say what makes a score look like more, or less, than it is."""
    said = []
    data = plan.data
    if find(data.kind).says_one_thing(outcome.test):
        said.append("degenerate: the same is predicted for every test item")
    if unread := outcome.stats.get("unread"):
        task = plan.values["task"]
        said.append(
            f"{unread:.0f} training {UNREAD[data.kind]}, so nothing was learned of them "
            f"(task.max_length={task['max_length']}, task.long_text={task['long_text']})"
        )
    c, mode = outcome.stats.get("chosen/C"), plan.science["mode"]  # which has what this kind reads
    if data.kind == "regression" and c is not None:
        name = "ridge" if "ridge" in mode else "penalties"
        if c in (min(mode[name]), max(mode[name])):
            said.append(f"the best C, {c:g}, lies at the edge of mode.{name}")
    rates = plan.values["mode"].get("learning_rates")
    if rates and len(rates) > 1 and outcome.stats["chosen/lr"] in (min(rates), max(rates)):
        best = outcome.stats["chosen/lr"]
        said.append(f"the best learning rate, {best:g}, lies at the edge of mode.learning_rates")
    for words in said:
        logger.warning("%s: %s", plan.title, words)
    return said


def _latency(fitted: Fitted, texts: list[Any]) -> float:
    """Return milliseconds a text, reading and predicting together; the first pass warms up."""
    sample = texts[:LATENCY_TEXTS]
    fitted.predict(sample)
    started = time.perf_counter()
    fitted.predict(sample)
    return 1000 * (time.perf_counter() - started) / len(sample)


def _group(values: dict[str, float], prefix: str) -> dict[str, float]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
