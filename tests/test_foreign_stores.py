"""Databases and artifacts of others are named and left as they are."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils
from support.stores import contents

from optsuite.errors import InputError
from optsuite.tracking.artifacts import is_elsewhere
from optsuite.tracking.campaigns import campaign_names
from optsuite.tracking.location import database_path, store_exists, tracking_uri
from optsuite.tracking.store import open_store


def made_by_optuna(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE studies (a); CREATE TABLE trials (b); CREATE TABLE alembic_version (c);"
        )


def made_by_another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (a)")


def cut(path: Path) -> None:
    os.truncate(path, 50_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (made_by_optuna, "it is an Optuna database; leave it as it is"),
        (made_by_another, r"it belongs to another program \(recipes\); leave it as it is"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (
            lambda path: path.write_bytes(b"text" * 999),
            "file is not a database; restore a backup",
        ),
        (
            lambda path: path.symlink_to("/not/mounted/mlflow.db"),
            "is a link to /not/mounted/mlflow.db, which does not exist",
        ),
    ],
)
def test_foreign_file_as_database_is_named_and_kept(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    change(path := tmp_path / "mlflow.db")
    before = None if path.is_symlink() else path.read_bytes()
    for ask in (open_store, campaign_names):
        with pytest.raises(InputError, match=f"store: cannot open .*{said}") as error:
            ask(f"sqlite:///{path}")
        assert "\n" not in str(error.value)
    assert path.is_symlink() if before is None else path.read_bytes() == before


def test_damaged_database_is_not_an_empty_one(folder: Path) -> None:
    cut(folder / "mlruns" / "mlflow.db")
    with pytest.raises(
        InputError,
        match=r"it is damaged \(database disk image is malformed\); restore a backup",
    ):
        campaign_names(tracking_uri())


def test_dangling_link_is_not_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "mlruns").symlink_to(tmp_path / "not-mounted")
    with pytest.raises(InputError, match="which does not exist"):
        store_exists(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize(
    "uri",
    ["./mlruns", "mlruns", "/data/mlruns", "file:///data/mlruns", "file:mlruns", "C:\\mlruns"],
)
def test_former_store_of_mlflow_is_named(uri: str) -> None:
    said = "MLflow's former kind of store; use a database or a server, as in sqlite:///"
    with pytest.raises(InputError, match=said):
        database_path(uri)


def test_copied_project_keeps_its_artifacts_in_the_copy(folder: Path) -> None:
    store = open_store(tracking_uri())
    report = folder / "report"
    report.mkdir()
    (report / "index.html").write_text("the original's")
    store.attach_report("c", report, [report / "index.html"])
    copy = folder.parent / "copy of it"
    shutil.copytree(folder, copy)
    before = contents(folder / "mlruns" / "artifacts")
    shutil.rmtree(copy / "mlruns" / "artifacts")
    (report / "index.html").write_text("the copy's")
    # MLflow caches the location of artifacts by run, and the copy has the same runs.
    utils._artifact_repos_cache.clear()
    open_store(f"sqlite:///{copy}/mlruns/mlflow.db").attach_report(
        "c", report, [report / "index.html"]
    )
    assert contents(folder / "mlruns" / "artifacts") == before
    assert list(contents(copy / "mlruns" / "artifacts").values()) == ["the copy's"]


def test_artifacts_in_folder_of_user_stay_there() -> None:
    assert not is_elsewhere("s3://bucket/artifacts/b", "file:///a/artifacts/b")
    assert not is_elsewhere("mlflow-artifacts:/1", "file:///a/artifacts/b")
    assert not is_elsewhere("file:///big/disk/b", "file:///a/artifacts/b")
    assert is_elsewhere("file:///gone/artifacts/b", "file:///a/artifacts/b")
