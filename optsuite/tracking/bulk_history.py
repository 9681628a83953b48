"""A curve of many runs from a server, with as few requests as it allows: the client library asks for one run at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from optsuite.tracking.store import Store

ENDPOINT = (
    "/ajax-api/2.0/mlflow/metrics/get-history-bulk"  # MLflow's own pages draw their charts from it
)
MOST_RUNS, MOST_VALUES = 100, 25_000  # that it takes, and gives, at once


def histories(
    store: Store, runs: Sequence[str], name: str
) -> Iterator[tuple[str, str, int, float]]:
    """Rows of run, name, step and value, for runs given by their ids."""
    for i in range(0, len(runs), MOST_RUNS):
        yield from (
            (m["run_id"], name, m["step"], m["value"])
            for m in _some(store, runs[i : i + MOST_RUNS], name)
        )


def _some(store: Store, runs: Sequence[str], name: str) -> list[dict[str, Any]]:
    """The values of some runs: asked in halves where the answer is cut off, and one by one where there is no such endpoint."""
    try:
        found = store.retry.call(_ask, store.uri, runs, name)
    except MlflowException:  # an older server, or one that is not MLflow's
        found = None
    if found is not None and len(found) < MOST_VALUES:
        return found
    if found is None or len(runs) == 1:
        own = (
            (run, step, value)
            for run in runs
            for step, value in store.curves(run, [name])[name].items()
        )
        return [{"run_id": run, "step": step, "value": value} for run, step, value in own]
    middle = len(runs) // 2
    return _some(store, runs[:middle], name) + _some(store, runs[middle:], name)


def _ask(uri: str, runs: Sequence[str], name: str) -> list[dict[str, Any]]:
    asked = [("metric_key", name), *(("run_id", run) for run in runs)]
    server = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    reply = http_request(server, ENDPOINT, "GET", params=asked)  # type: ignore[no-untyped-call]
    return list(verify_rest_response(reply, ENDPOINT).json()["metrics"])
