"""Everything that is written to the store about one ended run."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from optsuite.tracking.store import Store
from optsuite.training.results import Measurement


@dataclass(frozen=True, kw_only=True)
class Record:
    """An ended run, whole. Times are in Unix seconds."""

    benchmark: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    measurements: tuple[Measurement, ...]
    summary: Mapping[str, float]
    status: str
    started: float
    ended: float


def write(store: Store, record: Record) -> str:
    """Write a run by MLflow's client, and return its id.

    Raises StoreUnavailableError, or MlflowException if the run is invalid; then it is deleted.
    """
    run_id = store.create(record.benchmark, record.name, record.tags, record.started)
    try:
        store.log(
            run_id,
            measurements=record.measurements,
            summary=record.summary,
            params=record.params,
            time=record.ended,
        )
        store.terminate(run_id, record.status, record.ended)
    except MlflowException:
        store.delete(run_id)
        raise
    return run_id
