"""The MLflow store: its experiments and runs. One process writes at a time."""

import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking.context.registry import resolve_tags

from optsuite.redact import redact
from optsuite.tracking.artifacts import folder_of, is_elsewhere, move_artifacts
from optsuite.tracking.location import database_path, is_server
from optsuite.tracking.opening import open_client
from optsuite.tracking.retry import RetryPolicy
from optsuite.tracking.schema import CAMPAIGN, KIND, PARENT, REPORTS, RUN_NAME, having
from optsuite.training.results import Measurement

T = TypeVar("T")
PAGE = 1_000
MOST_LINES = 20
LOGGER = logging.getLogger("optsuite")
VERSIONS = {f"{name}_version": version(name) for name in ("optsuite", "torch", "mlflow", "optuna")}
# Times of runs can be compared if this is equal.
MACHINE = f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores"


def open_store(uri: str) -> "Store":
    """Open the store; create a missing SQLite store. Raises InputError if it cannot be opened."""
    return Store(uri, open_client(uri))


class Store:
    """MLflow as optsuite uses it.

    A benchmark is an experiment, a study is a run, and the runs of a study are its children.
    """

    def __init__(self, uri: str, client: MlflowClient) -> None:
        """Wrap a client whose store has been opened."""
        self.uri = uri
        self.client = client
        self.retry = RetryPolicy(uri)
        self._ask = self.retry.call
        self._experiments: dict[str, str] = {}
        self._said: set[str] = set()
        found = resolve_tags()  # source commit, user, address of the repository, ...
        self.context = {key: redact(value) for key, value in found.items() if key != RUN_NAME}

    def say(self, lines: Iterable[str]) -> None:
        """Log warnings about the rows of the store: each line once, at most MOST_LINES per call."""
        new = [line for line in dict.fromkeys(lines) if line not in self._said]
        self._said.update(new)
        for line in new[:MOST_LINES]:
            LOGGER.warning("%s", line)
        if len(new) > MOST_LINES:
            LOGGER.warning("And %d more.", len(new) - MOST_LINES)

    @property
    def is_database(self) -> bool:
        """Whether the store is a database that takes SQL, rather than a server."""
        return not is_server(self.uri)

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
        """The id of the benchmark's experiment, restored if it was deleted in the UI.

        None if there is no such experiment.
        """
        found = self._ask(self.client.get_experiment_by_name, benchmark)
        if found is None:
            return None
        if found.lifecycle_stage == "deleted":
            self._ask(self.client.restore_experiment, found.experiment_id)
        return str(found.experiment_id)

    def _create_experiment(self, benchmark: str) -> None:
        path = database_path(self.uri)
        location = None  # a server chooses one
        if path is not None:
            location = _artifacts_beside(path, benchmark)
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
        own = self.context | dict(tags)
        if parent:
            own[PARENT] = parent
        experiment, start_time = self.experiment(benchmark), int(started * 1e3)
        run = self._ask(self.client.create_run, experiment, start_time, own, name)
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
        """Write curves, summaries, params and tags of a run in one batch.

        `time` is that of the summaries, in Unix seconds.
        """
        metrics: list[Metric] = []
        for measurement in measurements:
            milliseconds = int(measurement.time * 1e3)
            for name, value in measurement.values.items():
                metrics.append(Metric(name, value, milliseconds, measurement.step))
        metrics += [Metric(name, value, int(time * 1e3), 0) for name, value in summary.items()]
        own_params = [Param(name, str(value)) for name, value in params.items()]
        own_tags = [RunTag(name, value) for name, value in tags.items()]
        self._ask(self.client.log_batch, run_id, metrics, own_params, own_tags)

    def terminate(self, run_id: str, status: str, ended: float) -> None:
        """Mark a run as FINISHED, FAILED or KILLED at the time `ended` in Unix seconds."""
        self._ask(self.client.set_terminated, run_id, status, int(ended * 1e3))

    def delete(self, run_id: str) -> None:
        """Move a run to MLflow's trash, in any state."""
        try:
            self._ask(self.client.delete_run, run_id)
        except MlflowException:
            if not self.is_database:
                raise
            self._ask(self._delete_by_force, run_id)

    def _delete_by_force(self, run_id: str) -> None:
        """Delete a run that MLflow refuses to delete, for instance because of an invalid status."""
        query = """UPDATE runs SET lifecycle_stage = 'deleted', status = 'FAILED'
                   WHERE run_uuid = :run_id"""
        engine = sqlalchemy.create_engine(self.uri, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(query), {"run_id": run_id})

    def tag(self, run_id: str, key: str, value: str | None) -> None:
        """Set a tag of a run, or remove it if the value is None."""
        if value is None:
            self._ask(self.client.delete_tag, run_id, key)
        else:
            self._ask(self.client.set_tag, run_id, key, value)

    def attach_report(self, campaign: str, folder: Path, files: Iterable[Path]) -> None:
        """Keep files of a report folder as artifacts of the campaign's report run."""
        self.come_home()
        run_id = self._report_run(campaign)
        for path in files:
            place = path.relative_to(folder).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if place == "." else place)
        self.terminate(run_id, "FINISHED", time.time())

    def _report_run(self, campaign: str) -> str:
        """The id of the campaign's report run, found or created."""
        experiment = self.experiment(REPORTS)
        condition = having(campaign=campaign, kind="report")
        found = self._ask(self.client.search_runs, [experiment], condition, max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {KIND: "report", CAMPAIGN: campaign}
        return self.create(REPORTS, f"report of {campaign}", tags, time.time())

    def come_home(self) -> None:
        """Make a database that was copied or moved keep its artifacts beside itself."""
        path = database_path(self.uri)
        if path is None:
            return
        for page in self._experiment_pages():
            for experiment in page:
                old = experiment.artifact_location
                here = _artifacts_beside(path, experiment.name)
                if is_elsewhere(old, here):
                    self._ask(move_artifacts, self.uri, experiment.experiment_id, old, here)

    def search(self, condition: str) -> list[MlflowRun]:
        """All active runs of all experiments that match a condition in MLflow's search language."""
        return [run for page in self.pages(condition) for run in page]

    def pages(self, condition: str) -> Iterator[Sequence[MlflowRun]]:
        """The same, page by page."""
        found = self._experiment_pages()
        ids = [experiment.experiment_id for page in found for experiment in page]
        search = partial(self._ask, self.client.search_runs, ids, condition, max_results=PAGE)
        yield from _pages(search)

    def _experiment_pages(self) -> Iterator[PagedList[Experiment]]:
        return _pages(partial(self._ask, self.client.search_experiments, max_results=PAGE))

    def curves(self, run_id: str, names: Iterable[str]) -> dict[str, dict[int, float]]:
        """Curves of a run by name, each a mapping of step to value."""
        curves: dict[str, dict[int, float]] = {}
        for name in names:
            points = self._ask(self.client.get_metric_history, run_id, name)
            curves[name] = {point.step: point.value for point in points}
        return curves


def _artifacts_beside(path: Path, benchmark: str) -> str:
    """The address of a benchmark's artifacts beside the database."""
    return (path.parent / "artifacts" / folder_of(benchmark)).as_uri()


def _pages(search: Callable[..., PagedList[T]]) -> Iterator[PagedList[T]]:
    """The results of a search, page by page."""
    token: str | None = None
    while token != "":
        page = search(page_token=token)
        yield page
        token = page.token or ""
