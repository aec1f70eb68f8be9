"""One job of a sweep, and the end of it: the table of failures, the sheet, the exit code."""

import contextlib
import logging
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from bertbench import interrupt, statuses
from bertbench.checks import check_read
from bertbench.config import build, check_types, compose_defaults, plain
from bertbench.errors import UserError, disk_trouble
from bertbench.plan import baseline_values, make_plan
from bertbench.records import RunRecord
from bertbench.statuses import FAILED, STOPPED, Job, Json
from bertbench.store import RUNS

log = logging.getLogger(__name__)

STOP = "stop"  # in a sweep's folder: somebody asked it to
GOES_ON = "the same command goes on from here"


def job(cfg: DictConfig) -> None:
    """Run one config and its baseline; write status.json into the job's output folder.

    In a sweep an error is written down and the other jobs go on; `SweepEnd` reports it. Alone, bad
    input ends the process with one sentence and code 2, any other error with its traceback. After
    an interrupt no job of the sweep begins.
    """
    interrupt.listen()
    hydra = HydraConfig.get()
    alone = hydra.mode == RunMode.RUN
    if not alone:
        interrupt.share(Path(hydra.sweep.dir) / STOP)
    if interrupt.requested():
        return
    with statuses.reporting(Path(hydra.runtime.output_dir), list(hydra.overrides.task)) as status:
        try:
            _run(cfg, hydra, status)
        except KeyboardInterrupt:
            status["state"] = STOPPED
            if alone:
                raise
        except Exception as error:
            _fail(error, status, alone=alone)


def _fail(error: Exception, status: Json, *, alone: bool) -> None:
    """Write down why a job failed; alone, end the process as such an error does."""
    if trouble := disk_trouble(error):
        error = UserError(f"{trouble}: make room, then {GOES_ON}")
    known = isinstance(error, UserError)
    status |= {"state": FAILED, "error": _one_line(error), "traceback": not known}
    if alone and known:
        print(f"bertbench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if alone:
        raise error
    log.error("this job failed: %s", error, exc_info=None if known else error)


def _run(cfg: DictConfig, hydra: Any, status: Json) -> None:
    from bertbench.run import execute

    choices = {k: v for k, v in hydra.runtime.choices.items() if isinstance(v, str)}
    values = plain(cfg)
    places = [o for o in hydra.overrides.hydra if o.startswith("hydra.searchpath=")]
    check_types(values, compose_defaults(choices, places))
    status |= {
        "name": values["name"],
        "tracking": values["tracking"],
        "store": values["runtime"]["store"],
    }
    sweep = Path(hydra.sweep.dir).name
    overrides = list(hydra.overrides.task)
    check_read(overrides, values)
    plans = [make_plan(values, choices)]
    baseline = baseline_values(values)
    if baseline is not None and plans[0].encoder is not None:
        plans.insert(0, make_plan(baseline, choices))
    build(values["tracking"], journals=Path(values["runtime"]["store"]) / RUNS)
    for plan in plans:  # what a mode refuses is said before any of them computes
        build(plan.values["mode"])
    for plan in plans:
        result = execute(plan, overrides=overrides, sweep=sweep)
        status["keys"].append(result.record.key)
        state = statuses.SKIPPED if result.skipped else statuses.FINISHED
        if plan is plans[-1]:
            status["state"] = state
        if not (result.skipped and result.record.mode == "tfidf"):
            done = "finished before" if result.skipped else "finished"
            log.info("%s: %s", done, summary(result.record))
        interrupt.check()


def summary(record: RunRecord) -> str:
    """Return one line on a run."""
    from bertbench.report.rows import label

    score = record.metrics[f"test/{record.metric}"]
    return (
        f"{label(record)} on {record.task}, seed {record.seed}: test {record.metric} {score:.4f}"
    )


class SweepEnd(Callback):
    """Hydra's hooks: writes down what a sweep will do; at the end what became of it, and the sheet.

    It keeps no state: jobs may run in other processes.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Before the jobs of a sweep."""
        folder = Path(config.hydra.sweep.dir)
        statuses.announce(folder, planned(list(config.hydra.overrides.task)), command_line())
        interrupt.share(folder / STOP)

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """After one job; if it failed or was stopped, its error is on the way to the front door."""
        with _ending():
            found = statuses.read_job(Path(config.hydra.runtime.output_dir))
            if found is not None and found.state not in (FAILED, STOPPED):
                end([found])

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """After all jobs of a sweep."""
        folder = Path(config.hydra.sweep.dir)
        with _ending():
            _, jobs = statuses.read_sweep(folder)
            failed = end([job for job in jobs if job.status], folder)
            if interrupt.requested():
                done = sum(job.state in (statuses.FINISHED, statuses.SKIPPED) for job in jobs)
                print(f"\nstopped with {done} of {len(jobs)} jobs finished: {GOES_ON}")
                sys.exit(130)
            if failed:
                sys.exit(2)


def planned(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep, in order; none where they cannot be told yet."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException:  # such as glob(*), which needs Hydra's own loader
        return []


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """End the process as its error asks for: Hydra would turn it into a warning."""
    try:
        yield
    except UserError as error:
        print(f"bertbench: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def end(jobs: list[Job], folder: Path | None = None) -> bool:
    """Write the sheet of what finished, and print what failed; return whether any did."""
    keys = {key for job in jobs for key in job.status["keys"]}
    tracked = [j.status for j in jobs if j.status["keys"] and "uri" in j.status["tracking"]]
    if tracked:
        from bertbench.commands.report import write_sheet

        first = tracked[0]
        print(
            write_sheet(
                uri=first["tracking"]["uri"],
                experiment=first["tracking"]["experiment"],
                name=first["name"],
                keys=keys,
                command=command_line(),
                kept=Path(first["store"]) / RUNS,
            )
        )
    failed = [job for job in jobs if job.state == FAILED]
    if failed:
        print(f"\n{len(failed)} of {len(jobs)} jobs failed:\n")
        for job in failed:
            trace = f" (traceback in {folder}/{job.name}/*.log)" if job.status["traceback"] else ""
            print(f"  {' '.join(job.overrides) or 'defaults'}\n    {job.status['error']}{trace}")
    return bool(failed)


def command_line() -> str:
    """Return what to type to do this again."""
    return shlex.join(["python", "-m", "bertbench", *sys.argv[1:]])


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
