"""A journal in, an MLflow run out; what was delivered before is not delivered again.

Every step may be cut off and done again: a run is found by the journal's name in its tags, MLflow
drops a metric that it has with the same time and step, and files are written over.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from bertbench.store import sync
from bertbench.tracking.journal import KILLED, Delivered, Event, Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
BATCH, PARAMS_A_CALL = 500, 100  # MLflow takes 1000 metrics and 100 params a call
PARAM_LIMIT, TAG_LIMIT = 6000, 5000  # characters; MLflow cuts longer values silently
RUNNING = "RUNNING"


def connect(uri: str) -> "MlflowClient":
    """Return a client, with MLflow's telemetry off, its start-up messages quiet, and little patience."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the journal is patient
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = 4  # MLflow's own 10 keep a run waiting for 101 seconds

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors come here
    if uri.startswith(SQLITE):  # MLflow keeps a store by its URI, also after a change of folder
        uri = f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"
    return MlflowClient(uri)


def make_database(path: Path) -> None:
    """Make MLflow's database at `path`, whole or not at all.

    A process killed while MLflow makes one leaves one that never works. Call it under a lock: two
    processes that make one at once break it too.
    """
    work = path.with_name(f".{path.name}.new")
    work.unlink(missing_ok=True)
    client: Any = connect(f"{SQLITE}{work}")
    client.search_experiments(max_results=1)
    client._tracking_client.store.engine.dispose()  # or the file would stay open under its old name
    sync(work)
    work.replace(path)
    sync(path.parent)


def rehome(database: Path, experiment: str, artifacts: Path) -> None:
    """Tell a database that its files lie below `artifacts` now, if the folder was moved with all in it.

    MLflow keeps absolute places. They are left alone where the old place is still there, or where
    nothing is at the new one.
    """
    new = artifacts.absolute()
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as opened, opened:
        try:
            found = opened.execute(
                "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?",
                (experiment,),
            ).fetchone()
        except sqlite3.Error:  # locked, or no database at all: MLflow will say so
            return
        place = urlparse(found[1]) if found else None
        if place is None or place.scheme != "file" or not new.is_dir():
            return
        old = Path(unquote(place.path))
        if old == new or old.exists():
            return
        opened.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (new.as_uri(), found[0]),
        )
        opened.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE experiment_id = ? AND artifact_uri LIKE ? || '%'",
            (new.as_uri(), len(found[1]) + 1, found[0], found[1]),
        )


def troubles() -> tuple[type[Exception], ...]:
    """Return what a store that is locked, full, read-only or away raises."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)  # requests' errors are OSErrors


def is_lasting(error: Exception) -> bool:
    """Tell whether a store that cannot be opened will never be: it is no database, or too old."""
    from sqlalchemy.exc import DatabaseError, OperationalError

    if isinstance(error, DatabaseError):
        return not isinstance(error, OperationalError)  # which is: locked, read-only, away
    return "out-of-date" in str(error) or "not a database" in str(error)


def one_line(error: Exception) -> str:
    """Return the part of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def artifact(client: "MlflowClient", run_id: str, name: str) -> Path:
    """Return the local path of one file of a run; a remote one is fetched."""
    return Path(client.download_artifacts(run_id, name))


def deliver(journal: Journal, client: "MlflowClient", experiment_id: str, place: str) -> None:
    """Bring a run up to date with its journal; files come when the run has ended.

    Args:
        journal: Of the run.
        client: Of the store.
        experiment_id: MLflow's name of the experiment there.
        place: URI of the store: what another store has of the run does not count.

    Raises:
        Exception: One of `troubles()`; call again later.
    """
    done = journal.delivered
    lost = not journal.confirmed and done.run_id and not _is_there(client, done.run_id)
    journal.confirmed = True
    if not done.run_id or done.place != place or lost:
        run_id = _known(journal, client, experiment_id) or _create(journal, client, experiment_id)
        done = journal.delivered = Delivered(run_id, 0, place)
    new = journal.events[done.lines :]
    _send(new, client, done.run_id)
    if new:
        journal.delivered = done._replace(lines=len(journal.events))
    if journal.ended is not None:
        _files(journal, client, done.run_id)
        ended = journal.events[-1]
        client.set_terminated(done.run_id, ended["end"], end_time=ended["time"])


def _is_there(client: "MlflowClient", run_id: str) -> bool:
    """Tell whether a run was not deleted since it was noted."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def mark(journal: Journal, client: "MlflowClient", status: str) -> None:
    """Say in the store that a run stopped, or that it goes on."""
    run_id = journal.delivered.run_id
    if not run_id:
        return
    if status == KILLED:
        client.set_terminated(run_id, KILLED)
    else:
        client.update_run(run_id, status=status)


def _known(journal: Journal, client: "MlflowClient", experiment_id: str) -> str | None:
    """Return the run that was made just before the note of it was lost."""
    name = journal.opening["journal"]
    found = client.search_runs([experiment_id], f"tags.journal = '{name}'", max_results=1)
    return found[0].info.run_id if found else None


def _create(journal: Journal, client: "MlflowClient", experiment_id: str) -> str:
    opening = journal.opening
    tags = {name: value[:TAG_LIMIT] for name, value in opening["tags"].items()}
    tags |= {"key": opening["key"], "journal": opening["journal"]}
    tags |= {"mlflow.source.name": "bertbench"}
    run = client.create_run(
        experiment_id,
        run_name=opening["title"],
        tags=tags,
        start_time=journal.events[0]["time"],
    )
    return run.info.run_id


def _send(events: list[Event], client: "MlflowClient", run_id: str) -> None:
    from mlflow.entities import Metric, Param

    metrics = [
        Metric(name, value, event["time"], event["step"])
        for event in events
        if "metrics" in event
        for name, value in event["metrics"].items()
    ]
    params = [
        Param(name, str(value)[:PARAM_LIMIT])
        for event in events
        if "open" in event
        for name, value in flatten(event["open"]["params"]).items()
    ]
    for start in range(0, len(params), PARAMS_A_CALL):
        client.log_batch(run_id, params=params[start : start + PARAMS_A_CALL])
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    for event in events:
        if "dataset" in event:
            _dataset(event["dataset"], client, run_id)


def _dataset(given: Event, client: "MlflowClient", run_id: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(**given)
    tag = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(dataset, [tag])])


def _files(journal: Journal, client: "MlflowClient", run_id: str) -> None:
    if not any(journal.files.iterdir()):
        return
    client.log_artifacts(run_id, str(journal.files))
    place = urlparse(client.get_run(run_id).info.artifact_uri)
    if place.scheme == "file":  # on this disk: a power cut must not leave half a file
        for path in sorted(Path(unquote(place.path)).rglob("*")):
            sync(path)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one, keys joined by dots; a leading underscore is dropped."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key.strip('_')}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
