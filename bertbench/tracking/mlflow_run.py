"""One open run: what it says goes into its journal."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bertbench.tracking.journal import Journal

if TYPE_CHECKING:
    import pandas as pd


class MlflowRun:
    """See `protocol.Run`.

    Args:
        journal: Of the run.
        advance: Called after each log, to deliver what is new when it is time.
    """

    def __init__(self, journal: Journal, advance: Callable[[Journal], None]) -> None:
        self.journal, self.advance = journal, advance

    @property
    def run_id(self) -> str:
        """MLflow's name of the run; empty until it was delivered the first time."""
        return self.journal.delivered.run_id

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """See `protocol.Run`."""
        self.journal.log(metrics, step)
        self.advance(self.journal)

    def flush(self) -> None:
        """See `protocol.Run`."""
        self.journal.sync()

    def file(self, path: Path, folder: str = "") -> None:
        """See `protocol.Run`."""
        place = self.journal.files / folder
        if path.is_dir():
            shutil.copytree(path, place, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / path.name)

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """See `protocol.Run`."""
        from mlflow.data.pandas_dataset import from_pandas

        entity = from_pandas(frame, name=name, digest=digest[:36])._to_mlflow_entity()
        fields = ("name", "digest", "source_type", "source", "schema", "profile")
        self.journal.write({"dataset": {field: getattr(entity, field) for field in fields}})
