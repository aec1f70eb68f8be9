"""`report`: the runs of a tracking store in, a sheet folder out."""

import argparse
import shlex
from pathlib import Path

import pandas as pd

from bertbench.report.collect import Evidence, collect
from bertbench.report.figures import comparison_figure
from bertbench.report.rows import make_tables
from bertbench.report.sheet import plain_table, render
from bertbench.store import RUNS


def main(arguments: list[str]) -> int:
    """Write the sheet that `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bertbench report", description=__doc__)
    parser.add_argument("--name", default="main", help="the sheet is results/NAME/sheet.md")
    parser.add_argument("--uri", default="sqlite:///mlflow.db", help="MLflow tracking URI")
    parser.add_argument("--experiment", default="bertbench", help="MLflow experiment")
    parser.add_argument("--store", default=".bertbench", help="has runs that MLflow lacks so far")
    given = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "bertbench", "report", *arguments])
    print(
        write_sheet(
            uri=given.uri,
            experiment=given.experiment,
            name=given.name,
            keys=None,
            command=command,
            kept=Path(given.store) / RUNS,
        )
    )
    return 0


def write_sheet(
    *, uri: str, experiment: str, name: str, keys: set[str] | None, command: str, kept: Path
) -> str:
    """Write results/<name>/: sheet.md, a figure a table, records.jsonl, predictions.parquet.

    Args:
        uri: MLflow tracking URI.
        experiment: MLflow experiment.
        name: Of the sheet.
        keys: Which runs; None takes all that are finished.
        command: What made the runs, for the sheet.
        kept: Folder of the journals of runs that MLflow does not have yet.

    Returns:
        The tables for a terminal, and where the sheet lies.

    Raises:
        UserError: There are no such runs.
    """
    evidence = collect(uri, experiment, keys, kept)
    tables = make_tables(evidence)
    folder = Path("results") / name
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for number, table in enumerate(tables, start=1):
        figures.append(f"comparison_{number}.png")
        comparison_figure(table, folder / figures[-1])
    sheet = render(tables, name=name, command=command, figures=figures)
    (folder / "sheet.md").write_text(sheet, encoding="utf-8")
    _write_raw(evidence, folder)
    return f"{plain_table(tables)}\n\n{folder / 'sheet.md'}"


def _write_raw(evidence: list[Evidence], folder: Path) -> None:
    """Keep what the sheet was made of, so that the folder stands alone."""
    import json

    lines = [json.dumps(json.loads(e.record.to_json()), sort_keys=True) for e in evidence]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    frames = [e.predictions.assign(key=e.record.key) for e in evidence]
    pd.concat(frames, ignore_index=True).to_parquet(folder / "predictions.parquet", index=False)
