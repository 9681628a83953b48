"""The MLflow store: opening it, its experiments, and what is written to it. One process writes at a time."""

import logging
import os
import platform
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import filelock
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking.context.registry import resolve_tags

from optsuite.errors import InputError
from optsuite.redact import redact
from optsuite.tracking.artifacts import folder_of, is_elsewhere, move_artifacts
from optsuite.tracking.database import require_ours
from optsuite.tracking.location import database_path
from optsuite.tracking.refusals import cannot_be_opened
from optsuite.tracking.retry import RetryPolicy
from optsuite.tracking.schema import CAMPAIGN, KIND, PARENT, REPORTS, RUN_NAME, having
from optsuite.training.results import Measurement

T = TypeVar("T")
HTTP = ("http:", "https:")
PAGE = 1_000
MOST_LINES = 20
LOGGER = logging.getLogger("optsuite")
# MLflow's own retries are silent, repeat what has succeeded, and last for minutes at a wrong
# address; RetryPolicy replaces them.
ALONE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
VERSIONS = {f"{name}_version": version(name) for name in ("optsuite", "torch", "mlflow", "optuna")}
MACHINE = f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores"  # whose times can be compared


def open_store(uri: str) -> "Store":
    """Open the store, a SQLite one created where there is none. Raises InputError when it cannot be opened."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # it logs what it raises, with its stack
    path = database_path(uri)
    if path is None:
        for name, value in ALONE.items():
            os.environ.setdefault(name, value)
    try:
        if path is not None:
            require_ours(path)
            if not path.exists():
                _create(path)
            _write_ahead(path)
        elif not uri.startswith(HTTP):
            sqlalchemy.create_engine(
                uri, poolclass=sqlalchemy.NullPool
            ).connect().close()  # MLflow tries for minutes
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except InputError:
        raise
    except Exception as error:
        raise cannot_be_opened(uri, error) from error
    return Store(uri, client)


def _create(path: Path) -> None:
    """Create the database under another name: MLflow killed while it creates one leaves a file that never opens again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(
        path.with_name(".creating.lock")
    ):  # two processes that create one database crash each other
        for stale in path.parent.glob(".creating-*"):
            stale.unlink()
        if path.exists():
            return
        fresh = path.with_name(f".creating-{uuid.uuid4().hex}.db")
        MlflowClient(tracking_uri=f"sqlite:///{fresh}").search_experiments(max_results=1)
        os.replace(fresh, path)


def _write_ahead(path: Path) -> None:
    """Switch the database to write-ahead logging, which it keeps: a run is written in a quarter of the time, as safely."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(path)) as connection,
    ):  # somebody is writing just now
        connection.execute("PRAGMA journal_mode=WAL")


class Store:
    """MLflow as optsuite writes it: an experiment per benchmark, a study run per optimizer, its runs as children."""

    def __init__(self, uri: str, client: MlflowClient) -> None:
        """Wrap a client whose store has been opened."""
        self.uri = uri
        self.client = client
        self.retry = RetryPolicy(uri)
        self._ask = self.retry.call
        self._experiments: dict[str, str] = {}
        self._said: set[str] = set()
        found = resolve_tags()  # source commit, user, address of the repository, ...
        self._context = {key: redact(value) for key, value in found.items() if key != RUN_NAME}

    def say(self, lines: Iterable[str]) -> None:
        """Log what somebody should know of what the store holds: each line once, and no more than MOST_LINES at a time."""
        new = [line for line in dict.fromkeys(lines) if line not in self._said]
        self._said.update(new)
        for line in new[:MOST_LINES]:
            LOGGER.warning("%s", line)
        if len(new) > MOST_LINES:
            LOGGER.warning("And %d like it.", len(new) - MOST_LINES)

    @property
    def is_database(self) -> bool:
        """Whether the store is a database that SQL can be sent to, rather than a server."""
        return not self.uri.startswith(HTTP)

    def experiment(self, benchmark: str) -> str:
        """The id of the benchmark's experiment, created or restored as needed."""
        if benchmark not in self._experiments:
            found = self.restore(benchmark)
            if found is None:
                with suppress(MlflowException):  # another campaign may have been faster
                    self._create_experiment(benchmark)
                found = self.restore(benchmark)
            assert found is not None
            self._experiments[benchmark] = found
        return self._experiments[benchmark]

    def restore(self, benchmark: str) -> str | None:
        """The id of the benchmark's experiment, brought back where it was deleted in the UI; None where there is none."""
        found = self._ask(self.client.get_experiment_by_name, benchmark)
        if found is None:
            return None
        if found.lifecycle_stage == "deleted":
            self._ask(self.client.restore_experiment, found.experiment_id)
        return str(found.experiment_id)

    def _create_experiment(self, benchmark: str) -> None:
        path = database_path(self.uri)
        location = (
            None if path is None else (path.parent / "artifacts" / folder_of(benchmark)).as_uri()
        )  # else a server decides
        self._ask(self.client.create_experiment, benchmark, artifact_location=location)

    def create(
        self,
        benchmark: str,
        name: str,
        tags: Mapping[str, str],
        started: float,
        parent: str | None = None,
    ) -> str:
        """Create a run, marked as running since `started` (Unix seconds), and return its id."""
        own = dict(tags) | ({PARENT: parent} if parent else {})
        experiment, start_time = self.experiment(benchmark), int(started * 1e3)
        run = self._ask(self.client.create_run, experiment, start_time, self._context | own, name)
        return str(run.info.run_id)

    def log(
        self,
        run_id: str,
        *,
        measurements: Iterable[Measurement] = (),
        summary: Mapping[str, float] = {},
        params: Mapping[str, object] = {},
        tags: Mapping[str, str] = {},
        time: float,
    ) -> None:
        """Write curves, summaries, params and tags of a run in one batch."""
        metrics = [
            Metric(k, v, int(m.time * 1e3), m.step)
            for m in measurements
            for k, v in m.values.items()
        ]
        metrics += [Metric(key, value, int(time * 1e3), 0) for key, value in summary.items()]
        self._ask(
            self.client.log_batch,
            run_id,
            metrics,
            [Param(key, str(value)) for key, value in params.items()],
            [RunTag(key, value) for key, value in tags.items()],
        )

    def terminate(self, run_id: str, status: str, ended: float) -> None:
        """Mark a run as FINISHED, FAILED or KILLED at a time in Unix seconds."""
        self._ask(self.client.set_terminated, run_id, status, int(ended * 1e3))

    def delete(self, run_id: str) -> None:
        """Move a run to MLflow's trash, whatever state it is in."""
        try:
            self._ask(self.client.delete_run, run_id)
        except MlflowException:
            if not self.is_database:
                raise
            self._ask(self._delete_by_force, run_id)

    def _delete_by_force(self, run_id: str) -> None:
        """For a run with a status, say, that MLflow does not know, and so refuses to delete."""
        query = "UPDATE runs SET lifecycle_stage = 'deleted', status = 'FAILED' WHERE run_uuid = :run_id"
        with sqlalchemy.create_engine(
            self.uri, poolclass=sqlalchemy.NullPool
        ).begin() as connection:
            connection.execute(sqlalchemy.text(query), {"run_id": run_id})

    def tag(self, run_id: str, key: str, value: str | None) -> None:
        """Set a tag of a run, or remove it."""
        if value is None:
            self._ask(self.client.delete_tag, run_id, key)
        else:
            self._ask(self.client.set_tag, run_id, key, value)

    def attach_report(self, campaign: str, folder: Path, files: Iterable[Path]) -> None:
        """Keep files of a report folder as artifacts of the campaign's report run, found or created."""
        self.come_home()
        experiment = self.experiment(REPORTS)
        condition = having(campaign=campaign, kind="report")
        found = self._ask(self.client.search_runs, [experiment], condition, max_results=1)
        tags = {KIND: "report", CAMPAIGN: campaign}
        run_id = (
            found[0].info.run_id
            if found
            else self.create(REPORTS, f"report of {campaign}", tags, time.time())
        )
        for path in files:
            place = path.relative_to(folder).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if place == "." else place)
        self.terminate(run_id, "FINISHED", time.time())

    def come_home(self) -> None:
        """Let a database that was copied or moved keep its artifacts beside itself, not where it lay before."""
        path = database_path(self.uri)
        if path is None:
            return
        for page in _pages(partial(self._ask, self.client.search_experiments, max_results=PAGE)):
            for experiment in page:
                here = (path.parent / "artifacts" / folder_of(experiment.name)).as_uri()
                if is_elsewhere(experiment.artifact_location, here):
                    self._ask(
                        move_artifacts,
                        self.uri,
                        experiment.experiment_id,
                        experiment.artifact_location,
                        here,
                    )

    def search(self, condition: str) -> list[MlflowRun]:
        """All active runs of all experiments that fulfil a condition in MLflow's search language."""
        return [run for page in self.pages(condition) for run in page]

    def pages(self, condition: str) -> Iterator[Sequence[MlflowRun]]:
        """The same, page by page."""
        found = _pages(partial(self._ask, self.client.search_experiments, max_results=PAGE))
        ids = [experiment.experiment_id for page in found for experiment in page]
        yield from _pages(
            partial(self._ask, self.client.search_runs, ids, condition, max_results=PAGE)
        )

    def curves(self, run_id: str, names: Iterable[str]) -> dict[str, dict[int, float]]:
        """Curves of a run by name, each a mapping of step to value."""
        return {
            name: {m.step: m.value for m in self._ask(self.client.get_metric_history, run_id, name)}
            for name in names
        }


def _pages(search: Callable[..., PagedList[T]]) -> Iterator[PagedList[T]]:
    """What a search finds, page by page."""
    token: str | None = None
    while token != "":
        page = search(page_token=token)
        yield page
        token = page.token or ""
