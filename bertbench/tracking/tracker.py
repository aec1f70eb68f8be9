"""Runs in, MLflow runs out, whatever happens to MLflow meanwhile.

A run is flat: parameters, tags, metrics by group, files. All of it goes into a journal first and from
there to MLflow, a batch every few seconds. A store that is locked, full, read-only or away stops no
run: its journal stays, and is delivered by the next run or by `python -m bertbench sync`.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertbench.errors import UserError, disk_trouble
from bertbench.locks import locked
from bertbench.store import sync
from bertbench.tracking import delivery
from bertbench.tracking.delivery import SQLITE
from bertbench.tracking.journal import FAILED, FINISHED, KILLED, Journal, journals
from bertbench.tracking.mlflow_run import MlflowRun
from bertbench.tracking.notes import read_note, write_note
from bertbench.tracking.protocol import Found

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

PAUSE = 5.0  # seconds between two deliveries of a run; doubled while they fail
LONGEST_PAUSE = 300.0  # seconds
SHARE = 0.01  # of a run's time, at most, goes into delivering while it computes
TRIES = 3  # to deliver the end of a run to a database; MLflow waits 20 s for a lock in each
SCHEMES = ("sqlite:", "http:", "https:", "postgresql", "mysql", "mssql", "databricks")


NO_ANSWER = object()


class MlflowTracker:
    """Runs in an MLflow store.

    Args:
        uri: Tracking URI; a relative sqlite path is below the working folder.
        artifacts: Folder for the files of an experiment made here; a server keeps its own.
        experiment: Name.
        journals: Folder of the journals.

    Raises:
        UserError: `uri` is none that MLflow takes, or names a folder that does not exist.
    """

    def __init__(self, *, uri: str, artifacts: str, experiment: str, journals: Path) -> None:
        if not uri.startswith(SCHEMES):
            raise UserError(
                f"tracking.uri={uri} is no store that MLflow takes: use sqlite:///FILE.db or the "
                "http address of a server"
            )
        self.uri, self.artifacts, self.experiment = uri, artifacts, experiment
        # As given: relative to the folder that may be moved as a whole, with all that is in it.
        self._target = {"uri": uri, "artifacts": artifacts, "experiment": experiment}
        self.journals = journals.absolute()
        self._database = Path(uri.removeprefix(SQLITE)).absolute()
        if uri.startswith(SQLITE):
            if not self._database.parent.is_dir():
                raise UserError(
                    f"tracking.uri={uri}: the folder {self._database.parent} does not exist"
                )
            if self._database.is_dir():
                raise UserError(
                    f"tracking.uri={uri}: {self._database} is a folder, not a database"
                )
            self.uri = f"{SQLITE}{self._database}"
        self._client: MlflowClient | None = None
        self._experiment_id = ""
        self._pause, self._tried, self._answers = PAUSE, -LONGEST_PAUSE, True

    @property
    def client(self) -> "MlflowClient":
        """Return the client; the first use makes database and experiment, one process at a time.

        Raises:
            UserError: The store can never be used.
            Exception: One of `delivery.troubles()`: it cannot be used now.
        """
        if self._client is None:
            try:
                with self._opening():
                    if self.uri.startswith(SQLITE):
                        if not self._database.exists():
                            delivery.make_database(self._database)
                        delivery.rehome(self._database, self.experiment, Path(self.artifacts))
                    client = delivery.connect(self.uri)
                    known = client.get_experiment_by_name(self.experiment)
                    self._experiment_id = known.experiment_id if known else self._create(client)
            except delivery.troubles() as error:
                if delivery.is_lasting(error):
                    cause = delivery.one_line(error)
                    raise UserError(
                        f"tracking.uri={self.uri} cannot be opened: {cause}"
                    ) from error
                raise
            self._client = client
        return self._client

    def find(self, key: str) -> Found | None:
        """See `protocol.Tracker`."""
        ended: list[Found] = []
        for journal in self._journals(key):
            if journal.ended is not None:
                ended.append(_found(journal))
                self.settle(journal)
        remote = self._attempt(lambda client: self._find(client, key), default=NO_ANSWER)
        if remote is NO_ANSWER:
            remote = read_note(self._note(key), self._target)
        if remote is not None:
            ended.append(remote)
        ended.sort(key=lambda found: found.status != FINISHED)
        return ended[0] if ended else None

    def _find(self, client: "MlflowClient", key: str) -> Found | None:
        found = client.search_runs(
            [self._experiment_id],
            f"tags.key = '{key}'",
            order_by=["attributes.start_time DESC"],
        )
        for run in found:  # a finished run counts, even with a failed one after it
            if run.info.status == FINISHED and (record := _record(client, run.info.run_id)):
                return Found(FINISHED, record)
        return Found(FAILED, "") if any(r.info.status == FAILED for r in found) else None

    @contextlib.contextmanager
    def run(
        self, key: str, title: str, *, params: dict[str, Any], tags: dict[str, str]
    ) -> Iterator["MlflowRun"]:
        """See `protocol.Tracker`."""
        stopped = [journal for journal in self._journals(key) if journal.ended is None]
        if stopped:
            journal = stopped[-1]
            logger.info("going on with a run that was stopped")
        else:
            opening = {"title": title, "params": params, "tags": tags, **self._target}
            journal = Journal.start(self.journals, key, opening)
        run = MlflowRun(journal, self.advance)
        if self.settle(journal) and stopped:
            self._attempt(
                lambda client: delivery.mark(journal, client, delivery.RUNNING), default=None
            )
        try:
            yield run
        except Exception as error:
            self._fail(journal, error)
            raise
        except BaseException:  # an interrupt: the same command goes on with this run
            self.park(journal)
            raise
        else:
            self._end(journal, FINISHED)
        finally:
            journal.close()

    def _fail(self, journal: Journal, error: Exception) -> None:
        if disk_trouble(error):  # not the run's fault: it goes on when there is room
            self.park(journal)
        else:
            self._end(journal, FAILED)

    def settle(self, journal: Journal) -> bool:
        """Deliver a run; tell whether the store has all of it. The journal of an ended run goes then."""
        done = self._attempt(
            lambda client: (
                delivery.deliver(journal, client, self._experiment_id, self.uri) or True
            ),
            default=False,
            patient=journal.ended is not None,
        )
        if done and journal.ended is not None:
            if (found := _found(journal)).record:
                write_note(self._note(journal.opening["key"]), self._target, found)
            journal.remove()
        return done

    def park(self, journal: Journal) -> bool:
        """Deliver what there is of a run that was stopped, and mark it so; tell whether it arrived."""
        return self._attempt(lambda client: self._stop(client, journal) or True, default=False)

    def advance(self, journal: Journal) -> None:
        """Deliver what is new of a run that goes on, unless that failed a short while ago."""
        if time.monotonic() - self._tried >= self._pause:
            self.settle(journal)

    def _end(self, journal: Journal, status: str) -> None:
        for path in sorted(journal.files.rglob("*")):
            sync(path)
        journal.write({"end": status})
        journal.sync()
        if not self.settle(journal):
            logger.warning(
                "the run is kept in %s: python -m bertbench sync delivers it", journal.folder
            )

    def _stop(self, client: "MlflowClient", journal: Journal) -> None:
        delivery.deliver(journal, client, self._experiment_id, self.uri)
        delivery.mark(journal, client, KILLED)

    def _attempt(
        self, act: Callable[["MlflowClient"], Any], *, default: Any, patient: bool = False
    ) -> Any:
        """Do something with the store; if it is not to be had, say so and return `default`."""
        tries = TRIES if patient and self.uri.startswith(SQLITE) else 1
        for left in reversed(range(tries)):
            started = time.monotonic()
            try:
                client = self.client
                result = act(client)
            except delivery.troubles() as error:
                if not left:
                    if self._answers:
                        logger.warning(
                            "MLflow at %s does not answer, so what is logged is kept in %s for now: %s",
                            self.uri, self.journals, delivery.one_line(error),
                        )  # fmt: skip
                    self._answers = False
                    self._pause = min(2 * self._pause, LONGEST_PAUSE)
                    self._tried = time.monotonic()
            else:
                self._answers, self._tried = True, time.monotonic()
                self._pause = max(PAUSE, (self._tried - started) / SHARE)
                return result
        return default

    def _note(self, key: str) -> Path:
        return self.journals.parent / "finished" / f"{key[:20]}.json"

    def _journals(self, key: str) -> list[Journal]:
        return [
            journal
            for journal in journals(self.journals, key)
            if all(journal.opening[name] == value for name, value in self._target.items())
        ]

    def _opening(self) -> contextlib.AbstractContextManager[object]:
        """Hold off other processes: MLflow breaks a database that two of them make at once."""
        if not self.uri.startswith(SQLITE):
            return contextlib.nullcontext()
        return locked(
            self._database.parent, self._database.name, doing="opening the MLflow database"
        )

    def _create(self, client: "MlflowClient") -> str:
        local = self.uri.startswith(SQLITE)
        location = Path(self.artifacts).absolute().as_uri() if local else None
        return client.create_experiment(self.experiment, artifact_location=location)


def _record(client: "MlflowClient", run_id: str) -> str:
    """Return the text of a run's record; empty, with a warning, where its files are gone."""
    try:
        return delivery.artifact(client, run_id, "record.json").read_text(encoding="utf-8")
    except delivery.troubles() as error:
        cause = delivery.one_line(error)
        logger.warning(
            "the finished run %s has lost its record, so it runs again: %s", run_id, cause
        )
        return ""


def _found(journal: Journal) -> Found:
    """Return what a journal of an ended run says."""
    record = journal.files / "record.json"
    if journal.ended != FINISHED or not record.is_file():
        return Found(FAILED, "")
    return Found(FINISHED, record.read_text(encoding="utf-8"))
