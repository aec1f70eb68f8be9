"""What is kept of a finished run: record, predictions, split, confusion picture, model."""

import json
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from bertbench.config import Plain
from bertbench.examination import write
from bertbench.kinds import find
from bertbench.kinds.base import shown
from bertbench.metrics import confusion
from bertbench.plan import Plan, written_split
from bertbench.records import RunRecord
from bertbench.report.cardfacts import Card
from bertbench.report.figures import confusion_figure
from bertbench.tracking.protocol import Run
from bertbench.types import Outcome, TaskData


def keep(
    run: Run,
    record: RunRecord,
    plan: Plan,
    outcome: Outcome,
    *,
    card: Plain | None,
    looked_at: Card,
) -> None:
    """Write a run's files and hand them to the tracker; the record comes last, it makes the run.

    Args:
        run: Takes the files.
        record: Of the run.
        plan: What was run.
        outcome: Of its mode.
        card: What is in the corpus of its pretraining, if there was one.
        looked_at: The data card of its task.
    """
    data = plan.data
    run.table(
        pd.DataFrame({"text": [shown(text) for text in data.train.texts]}),
        name=data.name,
        digest=plan.data_fingerprint,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if plan.values["runtime"]["keep_model"]:
            model = folder / "model"
            model.mkdir()
            outcome.fitted.save(model)
            (model / "classes.json").write_text(json.dumps(data.classes), encoding="utf-8")
            (model / "kind.json").write_text(json.dumps(data.kind), encoding="utf-8")
        prediction_table(data, outcome).to_parquet(folder / "predictions.parquet", index=False)
        if data.kind == "classification":
            table = confusion(data.test.labels, outcome.test)
            confusion_figure(table, data.classes, folder / "confusion.png")
        _json(folder / "split.json", written_split(data))
        write(looked_at, folder / "data_card")
        if card is not None:
            _json(folder / "corpus.json", card)
        (folder / "config.yaml").write_text(yaml.safe_dump(plan.values, sort_keys=False))
        for path in sorted(folder.iterdir()):
            run.file(path, "model" if path.is_dir() else "")
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
        run.file(folder / "record.json")


def prediction_table(data: TaskData, outcome: Outcome) -> pd.DataFrame:
    """Return one row an item of validation and test: id, split, label, prediction, what its kind adds."""
    kind = find(data.kind)
    parts = [
        pd.DataFrame({"id": split.ids, "split": name} | kind.table(split, found, data.classes))
        for name, split, found in (
            ("validation", data.validation, outcome.validation),
            ("test", data.test, outcome.test),
        )
    ]
    return pd.concat(parts, ignore_index=True)


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
