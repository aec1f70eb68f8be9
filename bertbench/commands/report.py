"""`report`: the runs of a tracking store in, a sheet folder out."""

import argparse
import contextlib
import json
import shlex
import shutil
from pathlib import Path

import pandas as pd

from bertbench.checks import check_name
from bertbench.errors import UserError
from bertbench.locks import locked
from bertbench.records import RECORDS
from bertbench.report.collect import Evidence, collect
from bertbench.report.curves import pretraining_figure
from bertbench.report.figures import comparison_figure
from bertbench.report.rows import make_tables
from bertbench.report.sheet import encoders_of, plain_table, render
from bertbench.store import RUNS

CURVES = "pretraining.png"
CONTENTS = "sheet.json"  # which runs a sheet is of, and the commands that made them


def main(arguments: list[str]) -> int:
    """Write the sheet that `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bertbench report", description=__doc__)
    parser.add_argument("--name", default="main", help="the sheet is results/NAME/sheet.md")
    parser.add_argument(
        "--all", action="store_true", help="every run, not only those of that name"
    )
    parser.add_argument("--uri", default="sqlite:///mlflow.db", help="MLflow tracking URI")
    parser.add_argument("--experiment", default="bertbench", help="MLflow experiment")
    parser.add_argument("--store", default=".bertbench", help="has runs that MLflow lacks so far")
    given = parser.parse_args(arguments)
    check_name(given.name, "--name ")
    kept = Path(given.store) / RUNS
    evidence = collect(given.uri, given.experiment, None, kept)
    with _alone(given.name):
        contents = _contents(given.name)
        if not given.all:
            evidence = _of_name(evidence, given.name, set(contents["keys"]))
        command = shlex.join(["python", "-m", "bertbench", "report", *arguments])
        commands = contents["commands"] if not given.all and contents["commands"] else [command]
        print(_write(evidence, given.name, commands))
    return 0


def _of_name(evidence: list[Evidence], name: str, keys: set[str]) -> list[Evidence]:
    """Return the runs of a sheet: those it is of, or, where it is gone, those that were run for it."""
    chosen = [e for e in evidence if e.record.key in keys or (not keys and e.record.name == name)]
    if not chosen:
        names = ", ".join(sorted({e.record.name for e in evidence}))
        raise UserError(
            f"--name {name}: no run was made for that sheet (there are runs for {names}; "
            "--all takes every run)"
        )
    return chosen


def write_sheet(
    *, uri: str, experiment: str, name: str, keys: set[str], command: str, kept: Path
) -> str:
    """Write results/<name>/: sheet.md, figures, records.jsonl, predictions.parquet, sheet.json.

    A sheet of that name that is there already grows: its runs stay in it.

    Args:
        uri: MLflow tracking URI.
        experiment: MLflow experiment.
        name: Of the sheet.
        keys: Which runs.
        command: What made the runs, for the sheet.
        kept: Folder of the journals of runs that MLflow does not have yet.

    Returns:
        The tables for a terminal, and where the sheet lies.

    Raises:
        UserError: There are no such runs.
    """
    with _alone(name):
        contents = _contents(name)
        evidence = collect(uri, experiment, keys | set(contents["keys"]), kept)
        return _write(evidence, name, list(dict.fromkeys([*contents["commands"], command])))


def _alone(name: str) -> contextlib.AbstractContextManager[None]:
    """Hold off other commands that add to the same sheet."""
    folder = Path("results")
    folder.mkdir(exist_ok=True)
    return locked(folder, f".{name}", doing=f"writing the sheet {name}")


def _write(evidence: list[Evidence], name: str, commands: list[str]) -> str:
    tables = make_tables(evidence)
    final = Path("results") / name
    folder = final / ".new"  # each file is made there and moved: never half a file
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    figures = []
    for number, table in enumerate(tables, start=1):
        figures.append(f"comparison_{number}.png")
        comparison_figure(table, folder / figures[-1])
    curves = CURVES if pretraining_figure(encoders_of(tables), folder / CURVES) else None
    sheet = render(tables, name=name, commands=commands, figures=figures, curves=curves)
    (folder / "sheet.md").write_text(sheet, encoding="utf-8")
    _write_raw(evidence, folder)
    contents = {"keys": [e.record.key for e in evidence], "commands": commands}
    (folder / CONTENTS).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    for old in (*final.glob("comparison_*.png"), *final.glob(CURVES)):
        if old.name not in (*figures, curves):
            old.unlink()
    for path in folder.iterdir():
        path.replace(final / path.name)
    folder.rmdir()
    return f"{plain_table(tables)}\n\n{final / 'sheet.md'}"


def _contents(name: str) -> dict[str, list[str]]:
    """Return which runs a sheet is of and the commands that made them; nothing of one that is not there."""
    try:
        found = json.loads((Path("results") / name / CONTENTS).read_text(encoding="utf-8"))
        return {"keys": list(found["keys"]), "commands": list(found["commands"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"keys": [], "commands": []}


def _write_raw(evidence: list[Evidence], folder: Path) -> None:
    """Keep what the sheet was made of, so that the folder stands alone."""
    lines = [json.dumps(json.loads(e.record.to_json()), sort_keys=True) for e in evidence]
    (folder / RECORDS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    frames = [e.predictions.assign(key=e.record.key) for e in evidence]
    table = pd.concat(frames, ignore_index=True)
    for column in ("label", "prediction"):  # numbers of some kinds, texts of others
        if table[column].dtype == object:
            table[column] = table[column].map(str)
    table.to_parquet(folder / "predictions.parquet", index=False)
