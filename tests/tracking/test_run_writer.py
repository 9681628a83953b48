"""Runs that are inserted into the tables read back as those that MLflow's client writes."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.servers import Postgres, lacks_postgres, postgres

from optsuite.errors import StoreUnavailableError
from optsuite.tracking.bulk_insert import Tables, can_insert
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.record import Record, write
from optsuite.tracking.run_writer import RunWriter
from optsuite.tracking.store import Store, open_store
from optsuite.training.results import Measurement

PLAIN = Record(
    benchmark="b",
    name="adam lr=0.1 seed=0",
    tags={"optsuite.kind": "trial", "optsuite.note": "שלום ' \" \\ %s :name"},
    params={"lr": "0.1", "betas": "(0.9, 0.999)", "empty": ""},
    measurements=tuple(
        Measurement(step=step, values={"train/loss": 1.0 / (step + 1)}, time=1_000.5 + step)
        for step in range(5)
    ),
    summary={"score": 0.25, "best/step": 3, "seconds": 1.5},
    status="FINISHED",
    started=1_000.0,
    ended=1_004.9996,
)
VALUES = (math.nan, math.inf, -math.inf, 1e308, -1e-320, 0.0, -0.0, 7, 1e30)


def at(step: int, value: float, time: float = 1_000.0) -> Measurement:
    return Measurement(step=step, values={"train/loss": value}, time=time)


RECORDS = {
    "plain": PLAIN,
    "failed": replace(PLAIN, status="FAILED", measurements=(), summary={}),
    "nothing": replace(PLAIN, tags={}, params={}, measurements=(), summary={}),
    "odd_values": replace(PLAIN, measurements=tuple(map(at, range(9), VALUES))),
    "points_twice": replace(PLAIN, measurements=(at(0, 1.0), at(0, 1.0), at(0, math.nan))),
    "one_step": replace(PLAIN, measurements=(at(1, 2.0), at(1, 3.0), at(1, 1.0, 1_002.0))),
    "backwards": replace(PLAIN, measurements=(at(9, 1.0), at(3, 2.0), at(5, 0.5))),
    "user": replace(PLAIN, tags={"mlflow.user": "somebody"}),
    "long": replace(PLAIN, tags={"optsuite.error": "x" * 7_000}),
    "other_names": replace(PLAIN, params={"a b": "1", "a:b": "2"}),
}


@pytest.fixture(scope="module")
def databases() -> Iterator[Postgres]:
    if lacks_postgres():
        pytest.skip(lacks_postgres())
    with postgres() as own:
        yield own


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, folder: Path) -> Store:
    if request.param == "sqlite":
        return open_store(f"sqlite:///{folder}/mlruns/mlflow.db")
    databases: Postgres = request.getfixturevalue("databases")
    return open_store(databases.create(f"runs_{abs(hash(request.node.name))}"))


def read_back(store: Store, run_id: str) -> str:
    """All that MLflow's client tells of a run, as JSON, but its id."""
    run = store.client.get_run(run_id)
    history = {}
    for name in run.data.metrics:
        points = [dict(point) for point in store.client.get_metric_history(run_id, name)]
        history[name] = sorted(points, key=repr)
    (found,) = [r for r in store.search("") if r.info.run_id == run_id]
    told = {"run": run.to_dictionary(), "found": found.to_dictionary(), "history": history}
    return json.dumps(told, sort_keys=True).replace(run_id, "ID")


@pytest.mark.parametrize("name", RECORDS)
def test_inserted_run_reads_back_as_the_clients(store: Store, name: str) -> None:
    record = RECORDS[name]
    written: list[str] = []
    writer = RunWriter(store, Outbox(store.uri, "c"))
    writer.add(record, written.append)
    writer.flush()
    by_client = write(store, record)
    assert read_back(store, written[0]) == read_back(store, by_client)


def test_all_but_long_texts_and_other_names_are_inserted() -> None:
    left_to_client = {name for name, record in RECORDS.items() if not can_insert(record)}
    assert left_to_client == {"long", "other_names"}


def test_many_runs_keep_their_order_and_their_own_values(store: Store) -> None:
    written: list[str] = []
    writer = RunWriter(store, Outbox(store.uri, "c"))
    for number in range(20):
        own = replace(PLAIN, benchmark=f"b{number % 2}", summary={"score": float(number)})
        writer.add(own, written.append)
    assert store.search("") == []
    writer.flush()
    scores = [store.client.get_run(run_id).data.metrics["score"] for run_id in written]
    assert scores == list(range(20))
    writer.flush()
    assert len(store.search("")) == 20


def test_repeated_insertion_adds_nothing(store: Store) -> None:
    tables, experiments = Tables(store.uri), {"b": store.experiment("b")}
    own = replace(PLAIN, tags={"mlflow.runName": "n"})
    for _ in range(2):
        assert tables.insert({"0" * 32: own}, experiments)
    assert len(store.search("")) == 1


def test_run_of_unknown_tables_is_left_to_the_client(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optsuite.tracking.bulk_insert.KNOWN_REVISION", "another")
    monkeypatch.setattr(Tables, "insert", lambda *arguments: pytest.fail("it was inserted"))
    written: list[str] = []
    writer = RunWriter(store, Outbox(store.uri, "c"))
    writer.add(PLAIN, written.append)
    writer.flush()
    assert store.client.get_run(written[0]).data.params == PLAIN.params


def test_runs_of_a_lost_store_are_kept_in_the_outbox(folder: Path) -> None:
    store = open_store(f"sqlite:///{folder}/mlruns/mlflow.db")
    store.experiment("b")
    outbox = Outbox(store.uri, "c")
    written: list[str] = []
    writer = RunWriter(store, outbox)
    writer.add(PLAIN, written.append)
    writer.flush()
    store.retry.stop_waiting()
    (folder / "mlruns" / "mlflow.db").write_text("no database")
    for number in range(3):
        writer.add(replace(PLAIN, started=float(number)), written.append)
    with pytest.raises(StoreUnavailableError):
        writer.flush()
    assert (len(written), len(outbox.waiting)) == (1, 3)
