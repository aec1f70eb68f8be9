"""One job of a sweep, and the end of it: statuses, the table of failures, the sheet, the exit code."""

import json
import logging
import shlex
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from bertbench.config import Plain, check_types, compose_defaults, plain
from bertbench.errors import UserError
from bertbench.plan import baseline_values, make_plan
from bertbench.records import RunRecord

log = logging.getLogger(__name__)

STATUS = "status.json"


def job(cfg: DictConfig) -> None:
    """Run one config and its baseline; write status.json into the job's output folder.

    In a sweep an error is written down and the other jobs go on; `SweepEnd` reports it. Alone, a
    UserError ends the process with one sentence and code 2, any other error with its traceback.
    """
    hydra = HydraConfig.get()
    alone = hydra.mode == RunMode.RUN
    folder = Path(hydra.runtime.output_dir)
    started = time.perf_counter()
    status: dict[str, Any] = {"overrides": list(hydra.overrides.task), "keys": []}
    try:
        for result in _run(cfg, hydra, status):
            status["keys"].append(result.record.key)
            status["state"] = "skipped" if result.skipped else "finished"
            if not (result.skipped and result.record.mode == "tfidf"):
                done = "finished before" if result.skipped else "finished"
                log.info("%s: %s", done, summary(result.record))
    except Exception as error:
        known = isinstance(error, UserError)
        status |= {"state": "failed", "error": _one_line(error), "traceback": not known}
        if not alone:
            log.error("this job failed: %s", error, exc_info=not known)
        if alone and known:
            print(f"bertbench: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        if alone:
            raise
    finally:
        status["seconds"] = round(time.perf_counter() - started, 3)
        _write(folder / STATUS, status)


def _run(cfg: DictConfig, hydra: Any, status: dict[str, Any]):  # noqa: ANN202
    from bertbench.run import execute

    choices = {k: v for k, v in hydra.runtime.choices.items() if isinstance(v, str)}
    values = plain(cfg)
    check_types(values, compose_defaults(choices))
    status |= {"name": values["name"], "tracking": values["tracking"]}
    sweep = Path(hydra.sweep.dir).name
    overrides = list(hydra.overrides.task)
    plans = [make_plan(values, choices)]
    baseline = baseline_values(values)
    if baseline is not None and plans[0].encoder is not None:
        plans.insert(0, make_plan(baseline, choices))
    for plan in plans:
        yield execute(plan, overrides=overrides, sweep=sweep)


def summary(record: RunRecord) -> str:
    """Return one line on a run."""
    from bertbench.report.rows import label

    score = record.metrics[f"test/{record.metric}"]
    return (
        f"{label(record)} on {record.task}, seed {record.seed}: test {record.metric} {score:.4f}"
    )


class SweepEnd(Callback):
    """Hydra's hook at the end: prints what became of each job and writes the sheet.

    It keeps no state: jobs may have run in other processes.
    """

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """After one job; if it failed, its error is on the way to the front door."""
        folder = Path(config.hydra.runtime.output_dir)
        if json.loads((folder / STATUS).read_text(encoding="utf-8"))["state"] != "failed":
            self._end([folder])

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """After all jobs of a sweep."""
        folder = Path(config.hydra.sweep.dir)
        jobs = [path.parent for path in folder.glob(f"*/{STATUS}")]
        self._end(sorted(jobs, key=lambda p: (len(p.name), p.name)))

    def _end(self, folders: list[Path]) -> None:
        try:
            failed = end(folders)
        except UserError as error:
            print(f"bertbench: {error}", file=sys.stderr)
            sys.exit(2)
        except Exception:  # Hydra would turn it into a warning
            traceback.print_exc()
            sys.exit(1)
        if failed:
            sys.exit(2)


def end(folders: list[Path]) -> bool:
    """Report the jobs whose statuses are in `folders`; return whether any failed."""
    statuses = [json.loads((f / STATUS).read_text(encoding="utf-8")) for f in folders]
    keys = {key for status in statuses for key in status["keys"]}
    finished = [s for s in statuses if s["keys"]]
    if keys and "uri" in finished[0]["tracking"]:
        from bertbench.commands.report import write_sheet

        print(
            write_sheet(
                uri=finished[0]["tracking"]["uri"],
                experiment=finished[0]["tracking"]["experiment"],
                name=finished[0]["name"],
                keys=keys,
                command=command_line(),
            )
        )
    failed = [(f, s) for f, s in zip(folders, statuses, strict=True) if s.get("state") == "failed"]
    if failed:
        print(f"\n{len(failed)} of {len(statuses)} jobs failed:\n")
        for folder, status in failed:
            where = f" (traceback in {folder}/*.log)" if status["traceback"] else ""
            print(f"  {' '.join(status['overrides']) or 'defaults'}\n    {status['error']}{where}")
    return bool(failed)


def command_line() -> str:
    """Return what to type to do this again."""
    return shlex.join(["python", "-m", "bertbench", *sys.argv[1:]])


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def _write(path: Path, status: Plain) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(status, indent=1), encoding="utf-8")
