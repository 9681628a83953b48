"""Deleting and cleaning on a server, which can only move runs to a trash."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Call
from support.servers import Server
from support.stores import counts, train

import optsuite
from optsuite.errors import InputError, UnknownNameError
from optsuite.tracking.campaigns import campaign_names
from optsuite.tracking.lease import lease
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "mlflow.db")
    own = Server.over(f"sqlite:///{folder}/mlflow.db", folder)
    own.start()
    yield own
    own.stop()


def test_server_moves_a_campaign_to_the_trash_and_cleans_without_a_trace(
    server: Server, empty: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    for campaign in ("a", "b"):
        train(campaign)
    other = optsuite.runs("b")
    assert call("delete", "a", "--dry-run")[0] == 0
    store = open_store(tracking_uri())
    with monkeypatch.context() as patch, lease(store, "a"):
        patch.setattr("optsuite.tracking.lease._machine", lambda uri: "another")
        for dry_run in (True, False):
            with pytest.raises(InputError, match="being run by"):
                optsuite.delete("a", dry_run=dry_run)
    code, out, _ = call("delete", "a", "--yes")
    assert code == 0
    assert "A server keeps runs in MLflow's trash" in out
    assert campaign_names(tracking_uri()) == ["b"]
    with pytest.raises(UnknownNameError):
        optsuite.delete("a")
    assert counts(optsuite.clean()) in ({}, {"locks": 1})
    assert optsuite.runs("b").equals(other)
