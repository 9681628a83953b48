"""A curve of many runs from a server, in as few requests as the server allows.

MLflow's client library needs one request per run.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from optsuite.tracking.store import Store

# MLflow's own pages draw their charts from this endpoint.
ENDPOINT = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
MOST_RUNS, MOST_VALUES = 100, 25_000  # per request, and per answer


def histories(
    store: Store, runs: Sequence[str], name: str
) -> Iterator[tuple[str, str, int, float]]:
    """Rows of run, name, step and value, for runs given by their ids."""
    for i in range(0, len(runs), MOST_RUNS):
        for point in _some(store, runs[i : i + MOST_RUNS], name):
            yield point["run_id"], name, point["step"], point["value"]


def _some(store: Store, runs: Sequence[str], name: str) -> list[dict[str, Any]]:
    """The values of some runs.

    Asks for each half if the answer is truncated, and for each run if the endpoint is missing.
    """
    try:
        found = store.retry.call(_ask, store.uri, runs, name)
    except MlflowException:  # an older server, or one that is not MLflow's
        found = None
    if found is not None and len(found) < MOST_VALUES:
        return found
    if found is None or len(runs) == 1:
        return _one_by_one(store, runs, name)
    middle = len(runs) // 2
    return _some(store, runs[:middle], name) + _some(store, runs[middle:], name)


def _one_by_one(store: Store, runs: Sequence[str], name: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    for run in runs:
        for step, value in store.curves(run, [name])[name].items():
            points.append({"run_id": run, "step": step, "value": value})
    return points


def _ask(uri: str, runs: Sequence[str], name: str) -> list[dict[str, Any]]:
    asked = [("metric_key", name), *(("run_id", run) for run in runs)]
    server = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    reply = http_request(server, ENDPOINT, "GET", params=asked)  # type: ignore[no-untyped-call]
    return list(verify_rest_response(reply, ENDPOINT).json()["metrics"])
