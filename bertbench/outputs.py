"""What is kept of a finished run: record, predictions, split, confusion picture, model."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from bertbench.config import Plain
from bertbench.metrics import confusion
from bertbench.plan import Plan, written_split
from bertbench.records import RunRecord
from bertbench.report.figures import confusion_figure
from bertbench.tracking.protocol import Run
from bertbench.types import Outcome, Split, TaskData


def keep(run: Run, record: RunRecord, plan: Plan, outcome: Outcome, *, card: Plain | None) -> None:
    """Write a run's files and hand them to the tracker; the record comes last, it makes the run.

    Args:
        run: Takes the files.
        record: Of the run.
        plan: What was run.
        outcome: Of its mode.
        card: What is in the corpus of its pretraining, if there was one.
    """
    data = plan.data
    run.table(
        pd.DataFrame(
            {"text": data.train.texts, "label": [data.classes[i] for i in data.train.labels]}
        ),
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
        prediction_table(data, outcome).to_parquet(folder / "predictions.parquet", index=False)
        table = confusion(data.test.labels, outcome.test)
        confusion_figure(table, data.classes, folder / "confusion.png")
        _json(folder / "split.json", written_split(data))
        if card is not None:
            _json(folder / "corpus.json", card)
        (folder / "config.yaml").write_text(yaml.safe_dump(plan.values, sort_keys=False))
        for path in sorted(folder.iterdir()):
            run.file(path, "model" if path.is_dir() else "")
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
        run.file(folder / "record.json")


def prediction_table(data: TaskData, outcome: Outcome) -> pd.DataFrame:
    """Return one row an item of validation and test: id, split, label, prediction, probabilities."""
    parts = [
        _split_table(data.validation, outcome.validation, "validation", data.classes),
        _split_table(data.test, outcome.test, "test", data.classes),
    ]
    return pd.concat(parts, ignore_index=True)


def _split_table(
    split: Split, probabilities: np.ndarray, name: str, classes: list[str]
) -> pd.DataFrame:
    columns = {f"p_{c}": probabilities[:, i] for i, c in enumerate(classes)}
    return pd.DataFrame(
        {
            "id": split.ids,
            "split": name,
            "label": split.labels,
            "prediction": probabilities.argmax(1),
            **columns,
        }
    )


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
