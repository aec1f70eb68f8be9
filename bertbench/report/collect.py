"""An MLflow store in, finished runs with their predictions out; what it lacks so far is in journals."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bertbench.errors import UserError
from bertbench.records import RunRecord, read_record
from bertbench.tracking.delivery import SQLITE, artifact, connect, one_line, troubles
from bertbench.tracking.journal import FINISHED, journals

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PAGE = 1000  # runs a request


class Evidence(NamedTuple):
    """A finished run: its record, and one row of predictions an item."""

    record: RunRecord
    predictions: pd.DataFrame  # id, split, label, prediction, p_<class>...


def collect(
    uri: str, experiment: str, keys: set[str] | None, kept: Path | None = None
) -> list[Evidence]:
    """Return the newest finished run of each key, in a fixed order.

    Args:
        uri: Tracking URI.
        experiment: Name.
        keys: Which runs; None takes all.
        kept: Folder of the journals of runs that the store does not have yet.

    Raises:
        UserError: There is no such experiment or no finished run in it.
    """
    evidence = _from_journals(uri, experiment, kept) if kept is not None else {}
    try:
        evidence |= _from_mlflow(uri, experiment, keys)
    except troubles() as error:
        if not evidence:
            raise UserError(f"MLflow at {uri} does not answer: {one_line(error)}") from error
        logger.warning(
            "MLflow at %s does not answer: this sheet is made of what is kept here", uri
        )
    except UserError:  # no such database or experiment
        if not evidence:
            raise
    chosen = [e for key, e in evidence.items() if keys is None or key in keys]
    if not chosen:
        raise UserError(f"there is no finished run in the experiment {experiment!r} of {uri}")
    return sorted(
        chosen, key=lambda e: (e.record.task, e.record.group, e.record.seed, e.record.key)
    )


def _from_journals(uri: str, experiment: str, kept: Path) -> dict[str, Evidence]:
    """Return undelivered runs by key."""
    evidence = {}
    for journal in journals(kept):
        target = (journal.opening["uri"], journal.opening["experiment"])
        if journal.ended == FINISHED and target == (uri, experiment):
            with contextlib.suppress(FileNotFoundError):  # delivered meanwhile: the store has it
                evidence[journal.opening["key"]] = _evidence(
                    journal.files / "record.json", journal.files / "predictions.parquet"
                )
    return evidence


def _from_mlflow(uri: str, experiment: str, keys: set[str] | None) -> dict[str, Evidence]:
    """Return the newest finished runs of the store by key."""
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        raise UserError(
            f"there are no runs here: {uri} does not exist (run python -m bertbench first)"
        )
    client = connect(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        raise UserError(
            f"there is no experiment {experiment!r} in {uri}: run python -m bertbench first"
        )
    evidence = {}
    for key, run_id in _newest(client, found.experiment_id).items():
        if key and (keys is None or key in keys):
            try:
                evidence[key] = _evidence(
                    artifact(client, run_id, "record.json"),
                    artifact(client, run_id, "predictions.parquet"),
                )
            except troubles() as error:
                logger.warning("run %s has lost its files: %s", run_id, one_line(error))
    return evidence


def _newest(client: "MlflowClient", experiment_id: str) -> dict[str, str]:
    """Return the newest finished run of each key."""
    newest: dict[str, str] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            "attributes.status = 'FINISHED'",
            max_results=PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            if run.data.tags.get("stage") != "pretraining":  # which has no predictions
                newest.setdefault(run.data.tags.get("key", ""), run.info.run_id)
        token = page.token
        if not token:
            break
    return newest


def _evidence(record: Path, predictions: Path) -> Evidence:
    return Evidence(read_record(record), pd.read_parquet(predictions))
