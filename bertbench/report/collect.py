"""An MLflow store in, finished runs with their predictions out."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bertbench.errors import UserError
from bertbench.records import RunRecord, read_record
from bertbench.tracking import SQLITE, artifact, connect

PAGE = 1000  # runs a request


class Evidence(NamedTuple):
    """A finished run: its record, and one row of predictions an item."""

    record: RunRecord
    predictions: pd.DataFrame  # id, split, label, prediction, p_<class>...


def collect(uri: str, experiment: str, keys: set[str] | None) -> list[Evidence]:
    """Return the newest finished run of each key, in a fixed order.

    Args:
        uri: Tracking URI.
        experiment: Name.
        keys: Which runs; None takes all.

    Raises:
        UserError: There is no such experiment or no finished run in it.
    """
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
    newest: dict[str, str] = {}
    token = None
    while True:
        page = client.search_runs(
            [found.experiment_id],
            "attributes.status = 'FINISHED'",
            max_results=PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        for run in page:
            newest.setdefault(run.data.tags.get("key", ""), run.info.run_id)
        token = page.token
        if not token:
            break
    chosen = {k: run_id for k, run_id in newest.items() if k and (keys is None or k in keys)}
    if not chosen:
        raise UserError(f"there is no finished run in the experiment {experiment!r} of {uri}")
    evidence = [
        Evidence(
            read_record(artifact(client, run_id, "record.json")),
            pd.read_parquet(artifact(client, run_id, "predictions.parquet")),
        )
        for run_id in chosen.values()
    ]
    return sorted(
        evidence, key=lambda e: (e.record.task, e.record.group, e.record.seed, e.record.key)
    )
