"""Runs in, MLflow runs out. This room and report/collect.py alone know MLflow.

A run is flat: parameters, tags, metrics by group, artifacts. Metrics are buffered and sent in
batches; one call a metric is thirty times slower.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock

from bertbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

BATCH, PAUSE = 500, 5.0  # metrics, seconds: whichever comes first sends the buffer
PARAM_LIMIT, TAG_LIMIT, PARAMS_A_CALL = 6000, 5000, 100  # MLflow cuts longer values silently
SQLITE = "sqlite:///"


class Run(Protocol):
    """One run being tracked."""

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """Keep metrics of a step."""
        ...

    def file(self, path: Path, folder: str = "") -> None:
        """Keep a file or folder below `folder`."""
        ...

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """Say which data the run read."""
        ...


class Tracker(Protocol):
    """Keeps runs and finds them again."""

    def find(self, key: str) -> tuple[str, str] | None:
        """Return (run id, FINISHED or FAILED) of the newest such run with that key, or None."""
        ...

    def record(self, run_id: str) -> str:
        """Return the text of a finished run's record.json."""
        ...

    def run(
        self, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> contextlib.AbstractContextManager[Run]:
        """Open a run; it ends FINISHED, FAILED on an error, KILLED on an interrupt."""
        ...


class MlflowTracker:
    """Runs in an MLflow store.

    Args:
        uri: Tracking URI; a relative sqlite path is below the working folder.
        artifacts: Folder for the files of an experiment made here; a server keeps its own.
        experiment: Name.
    """

    def __init__(self, *, uri: str, artifacts: str, experiment: str) -> None:
        self.uri, self.artifacts, self.experiment = uri, artifacts, experiment
        if uri.startswith(SQLITE):
            database = Path(uri.removeprefix(SQLITE)).absolute()
            if not database.parent.is_dir():
                raise UserError(f"tracking.uri={uri}: the folder {database.parent} does not exist")
            self.uri = f"{SQLITE}{database}"
        self._client: MlflowClient | None = None
        self._experiment_id = ""

    @property
    def client(self) -> "MlflowClient":
        """Return the client; the first use makes database and experiment, one process at a time."""
        if self._client is None:
            from mlflow.exceptions import MlflowException

            try:
                with self._opening():
                    client = connect(self.uri)
                    known = client.get_experiment_by_name(self.experiment)
                    self._experiment_id = known.experiment_id if known else self._create(client)
            except MlflowException as error:
                cause = str(error).strip().splitlines()[0]
                raise UserError(f"tracking.uri={self.uri} cannot be opened: {cause}") from error
            self._client = client
        return self._client

    def find(self, key: str) -> tuple[str, str] | None:
        """See `Tracker`."""
        found = self.client.search_runs(
            [self._experiment_id],
            f"tags.key = '{key}'",
            order_by=["attributes.start_time DESC"],
        )
        ended = [(run.info.run_id, run.info.status) for run in found]
        for wanted in (
            "FINISHED",
            "FAILED",
        ):  # a finished run counts, even with a failed one after it
            for run_id, status in ended:
                if status == wanted:
                    return run_id, status
        return None

    def record(self, run_id: str) -> str:
        """See `Tracker`."""
        return artifact(self.client, run_id, "record.json").read_text(encoding="utf-8")

    @contextlib.contextmanager
    def run(
        self, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> Iterator["MlflowRun"]:
        """See `Tracker`."""
        shown = {k: v[:TAG_LIMIT] for k, v in tags.items()} | {"mlflow.source.name": "bertbench"}
        run_id = self.client.create_run(
            self._experiment_id, run_name=title, tags=shown
        ).info.run_id
        run = MlflowRun(self.client, run_id)
        run.params(params)
        status = "KILLED"
        try:
            yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            run.flush()
            self.client.set_terminated(run_id, status)

    def _opening(self) -> contextlib.AbstractContextManager[object]:
        """Hold off other processes: MLflow breaks a database that two of them make at once."""
        if not self.uri.startswith(SQLITE):
            return contextlib.nullcontext()
        return FileLock(f"{self.uri.removeprefix(SQLITE)}.lock")

    def _create(self, client: "MlflowClient") -> str:
        local = self.uri.startswith(SQLITE)
        location = Path(self.artifacts).absolute().as_uri() if local else None
        return client.create_experiment(self.experiment, artifact_location=location)


class MlflowRun:
    """One open MLflow run; see `Run`."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self._buffer: list[Any] = []
        self._sent = time.monotonic()

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """See `Run`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._buffer += [Metric(name, float(v), now, step) for name, v in metrics.items()]
        if len(self._buffer) >= BATCH or time.monotonic() - self._sent > PAUSE:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered."""
        for start in range(0, len(self._buffer), BATCH):
            self.client.log_batch(self.run_id, metrics=self._buffer[start : start + BATCH])
        self._buffer, self._sent = [], time.monotonic()

    def params(self, params: dict[str, Any]) -> None:
        """Keep parameters, nested ones under dotted names."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)[:PARAM_LIMIT]) for name, value in flatten(params).items()]
        for start in range(0, len(flat), PARAMS_A_CALL):
            self.client.log_batch(self.run_id, params=flat[start : start + PARAMS_A_CALL])

    def file(self, path: Path, folder: str = "") -> None:
        """See `Run`."""
        send = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        send(self.run_id, str(path), folder or None)

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """See `Run`."""
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import DatasetInput, InputTag

        dataset = from_pandas(frame, name=name, digest=digest[:36])
        entity = dataset._to_mlflow_entity()  # the public way logs to an active global run
        tag = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(self.run_id, [DatasetInput(entity, [tag])])


class NoTracker:
    """Keeps nothing and finds nothing."""

    def find(self, key: str) -> tuple[str, str] | None:
        """See `Tracker`."""
        return None

    def record(self, run_id: str) -> str:
        """See `Tracker`."""
        raise KeyError(run_id)

    @contextlib.contextmanager
    def run(
        self, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> Iterator["NoRun"]:
        """See `Tracker`."""
        yield NoRun()


class NoRun:
    """See `Run`; keeps nothing."""

    def log(self, metrics: dict[str, float], step: int = 0) -> None:
        """See `Run`."""

    def file(self, path: Path, folder: str = "") -> None:
        """See `Run`."""

    def table(self, frame: "pd.DataFrame", *, name: str, digest: str) -> None:
        """See `Run`."""


def keep_text(run: Run, name: str, text: str) -> None:
    """Keep `text` as a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        run.file(path)


def connect(uri: str) -> "MlflowClient":
    """Return a client, with MLflow's telemetry off and its start-up messages quiet."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(uri)


def artifact(client: "MlflowClient", run_id: str, name: str) -> Path:
    """Return the local path of one file of a run; a remote one is fetched."""
    return Path(client.download_artifacts(run_id, name))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one, keys joined by dots; a leading underscore is dropped."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key.strip('_')}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
