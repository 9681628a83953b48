"""Runs written to a store and read back, and opening the store."""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

from optsuite.definitions.target import Target
from optsuite.errors import InputError, UnknownNameError
from optsuite.tracking.campaigns import campaign_names, read_campaigns, require_campaign
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.run_logger import RunLogger
from optsuite.tracking.run_writer import RunWriter
from optsuite.tracking.schema import COLUMNS, CURVES
from optsuite.tracking.store import Store, open_store
from optsuite.training.results import Measurement, Run, RunResult

RUN = Run(benchmark="b", optimizer="adam", lr=0.00316, seed=4, kind="evaluation", arm="tuned")
TAGS = {
    "optsuite.kind": "evaluation",
    "optsuite.arm": "tuned",
    "optsuite.benchmark": "b",
    "optsuite.optimizer": "adam",
    "optsuite.campaign": "c",
    "optsuite.seed": "4",
    "optsuite.fingerprint": "1-2-3-4-5-plain",
}


@pytest.fixture
def store(folder: Path) -> Store:
    return open_store(tracking_uri())


def run_logger(store: Store, run: Run = RUN) -> RunLogger:
    fingerprint = f"1-2-{run.seed}-4-5-plain"
    return RunLogger(
        store=store,
        writer=RunWriter(store, Outbox(store.uri, "c")),
        run=run,
        parent=lambda: None,
        target=Target("validation/loss", 1.0),
        tags=TAGS | {"optsuite.seed": str(run.seed), "optsuite.fingerprint": fingerprint},
        params={"optimizer": "adam", "lr": run.lr, "seed": run.seed},
    )


def measurement(step: int, loss: float) -> Measurement:
    values = {"validation/loss": loss, "test/loss": loss + 1}
    if step:
        values["train/loss"] = loss - 0.5
    return Measurement(step=step, values=values, time=1_000.0 + step)


def record(
    store: Store,
    losses: list[float],
    outcome: str = "finished",
    error: str | None = None,
    seed: int = RUN.seed,
) -> None:
    own = run_logger(store, replace(RUN, seed=seed))
    for step, loss in enumerate(losses):
        own.add(measurement(step * 10, loss))
    own.end(RunResult(outcome=outcome, error=error))  # type: ignore[arg-type]
    own.writer.flush()


def test_recorded_run_is_read_back(store: Store) -> None:
    record(store, [3.0, 0.5, 2.0])
    (row,) = read_runs(store, "c").to_dict("records")
    texts = {"benchmark": "b", "optimizer": "adam", "kind": "evaluation", "arm": "tuned"}
    numbers = {"lr": 0.00316, "seed": 4, "score": 0.5, "best/step": 10, "steps_to_target": 10}
    losses = {"initial/validation_loss": 3.0, "best/test_loss": 1.5, "final/train_loss": 1.5}
    state = {"outcome": "finished", "status": "FINISHED", "superseded": False, "seconds": 20.0}
    expected = texts | numbers | losses | state
    assert {name: row[name] for name in expected} == expected
    curves = store.curves(row["run_id"], ["validation/loss", "train/loss"])
    assert curves == {
        "validation/loss": {0: 3.0, 10: 0.5, 20: 2.0},
        "train/loss": {10: 0.0, 20: 1.5},
    }
    info = store.client.get_run(row["run_id"])
    assert info.info.run_name == "adam lr=0.00316 seed=4"
    assert info.data.params["lr"] == "0.00316"


def test_diverged_run_ends_without_a_score(store: Store) -> None:
    record(store, [3.0, 0.5], outcome="diverged")
    (row,) = read_runs(store, "c").to_dict("records")
    assert (row["outcome"], row["status"]) == ("diverged", "FINISHED")
    assert math.isnan(row["score"])


def test_failed_run_has_its_error(store: Store) -> None:
    record(store, [], outcome="failed", error="RuntimeError: no")
    (row,) = read_runs(store, "c").to_dict("records")
    assert (row["outcome"], row["status"], row["error"]) == ("failed", "FAILED", "RuntimeError: no")


def test_long_run_is_written_while_it_trains(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optsuite.tracking.run_logger.FLUSH_SECONDS", 0.0)
    own = run_logger(store)
    own.add(measurement(0, 3.0))
    own.add(measurement(10, 2.0))
    (row,) = read_runs(store, "c", everything=True).to_dict("records")
    assert row["status"] == "RUNNING"
    curves = store.curves(row["run_id"], ["validation/loss"])
    assert curves == {"validation/loss": {0: 3.0, 10: 2.0}}
    assert read_runs(store, "c").empty
    own.end(RunResult(outcome="finished"))
    assert read_runs(store, "c")["score"].tolist() == [2.0]
    unfinished = run_logger(store)
    unfinished.add(measurement(0, 3.0))
    unfinished.discard()
    assert len(read_runs(store, "c", everything=True)) == 1


def test_reading_nothing_gives_the_same_columns(store: Store) -> None:
    empty = read_runs(store, "c")
    assert list(empty.columns) == list(COLUMNS)
    record(store, [3.0, 1.0])
    assert read_runs(store, "c").dtypes.equals(empty.dtypes)


def test_more_runs_than_a_page_come_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optsuite.tracking.store.PAGE", 2)
    monkeypatch.setattr("optsuite.tracking.rows.CHUNK", 2)
    for seed in range(5):
        record(store, [1.0, 0.5], seed=seed)
    runs = read_runs(store, "c")
    curves = read_curves(store, runs["run_id"], ["validation/loss"])
    assert len(runs) == 5
    assert list(curves["run_id"]) == [run for run in sorted(runs["run_id"]) for _ in range(2)]
    monkeypatch.setattr(Store, "is_database", False)
    pd.testing.assert_frame_equal(read_runs(store, "c"), runs)


def test_experiment_deleted_in_the_ui_is_restored(store: Store) -> None:
    record(store, [1.0, 0.5])
    experiment = store.client.get_experiment_by_name("b")
    assert experiment is not None
    assert experiment.artifact_location.endswith("mlruns/artifacts/b")
    store.client.delete_experiment(experiment.experiment_id)
    again = open_store(store.uri)
    record(again, [1.0, 0.5])
    assert again.experiment("b") == experiment.experiment_id


def test_campaigns_are_named_without_mlflow(store: Store) -> None:
    assert campaign_names(store.uri) == []
    record(store, [1.0, 0.5])
    assert campaign_names(store.uri) == read_campaigns(store) == ["c"]
    require_campaign(store.uri, "c")
    with pytest.raises(UnknownNameError, match="campaign: got 'd', one of: c"):
        require_campaign(store.uri, "d")


def test_creating_a_store_leaves_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".creating-killed.db").write_text("left by a kill")
    open_store(f"sqlite:///{tmp_path}/new/mlflow.db")
    of_sqlite = {"mlflow.db-shm", "mlflow.db-wal"}  # while the database is open
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names - of_sqlite - {".creating.lock"} == {"mlflow.db"}


def test_store_of_another_mlflow_version_is_named(folder: Path) -> None:
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    connection.commit()
    connection.close()
    said = r"store: cannot open sqlite:.*written by a newer version of MLflow.*install the MLflow"
    with pytest.raises(InputError, match=said) as error:
        open_store(tracking_uri())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["file:/tmp/somewhere", "nonsense://x", "http://127.0.0.1:9"])
def test_store_that_cannot_be_opened_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=f"store: cannot open {uri}: "):
        open_store(uri)


def test_file_that_is_no_database_is_named_and_kept(folder: Path) -> None:
    path = folder / "mlruns" / "mlflow.db"
    path.write_text("some other file, longer than the header of a database" * 20)
    with pytest.raises(InputError, match="file is not a database") as error:
        open_store(tracking_uri())
    assert "\n" not in str(error.value)
    assert path.read_text().startswith("some other file")


def refuse(uri: str, runs: Sequence[str], name: str) -> NoReturn:
    """Answer like a server that lacks the endpoint."""
    raise MlflowException("API request failed with error code 404", error_code=ENDPOINT_NOT_FOUND)


def test_database_and_server_give_equal_frames(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, [3.0, 0.5, 2.0])
    record(store, [3.0, math.nan], outcome="diverged", seed=1)
    record(store, [3.0, 2.0], outcome="failed", error="it broke", seed=2)
    own = run_logger(store)
    own.add(measurement(0, 3.0))
    own._flush({}, {"optsuite.superseded": "true"})
    record(store, [4.0, 3.0], seed=3)
    deleted = read_runs(store, "c", everything=True)["run_id"].iloc[0]
    store.delete(deleted)
    names = ["validation/loss", "train/loss"]
    for name in ("c", "no such campaign"):
        by_sql = read_runs(store, name, everything=True)
        ids = list(by_sql["run_id"])
        curves_by_sql = read_curves(store, ids, names)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "is_database", False)
            patch.setattr("optsuite.tracking.bulk_history._ask", refuse)
            pd.testing.assert_frame_equal(by_sql, read_runs(store, name, everything=True))
            pd.testing.assert_frame_equal(curves_by_sql, read_curves(store, ids, names))
        assert deleted not in ids
        assert tuple(curves_by_sql.columns) == CURVES
    assert len(read_runs(store, "c", everything=True)) == 4


def test_report_is_kept_once_for_each_campaign(store: Store, tmp_path: Path) -> None:
    record(store, [3.0, 2.0])
    (tmp_path / "files" / "figures").mkdir(parents=True)
    for text in ("first", "second"):
        (tmp_path / "files" / "index.html").write_text(text)
        store.attach_report("c", tmp_path / "files", [tmp_path / "files" / "index.html"])
    (run,) = store.search("tags.`optsuite.kind` = 'report'")
    path = store.client.download_artifacts(run.info.run_id, "index.html", str(tmp_path))
    assert Path(path).read_text() == "second"
    assert len(read_runs(store, "c", everything=True)) == 1
