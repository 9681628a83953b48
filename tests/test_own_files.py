"""What is not ours is neither written, deleted, followed nor run."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType

import pytest
import torch
from frames import seeds
from mlflow.tracking._tracking_service import utils
from reports import made, whole

import optsuite.benchmarks
from optsuite.errors import InputError
from optsuite.registry import load_suite
from optsuite.reporting.folder import MANIFEST, add_file
from optsuite.tracking.artifacts import is_elsewhere
from optsuite.tracking.campaigns import campaign_names
from optsuite.tracking.location import database_path, store_exists, tracking_uri
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.store import open_store

ROOT = Path(__file__).parents[1]

# --- Report folders ---


def contents(folder: Path) -> dict[str, str]:
    """The text of each file, and the target of each link."""
    paths = sorted(folder.rglob("*"))
    return {
        str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else p.read_text()
        for p in paths
        if not p.is_dir()
    }


def page_of_a_person(folder: Path) -> None:
    (folder / "index.html").write_text("mine")


def figures_of_a_person(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "photo.svg").write_text("mine")


def table_of_a_person(folder: Path) -> None:
    (folder / "leaderboard.csv").write_text("name,points\n")


def notes_of_a_person(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def manifest_of_another(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"name": "an app", "icons": []}))


def linked_file(folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("mine")
    (folder / "index.html").symlink_to(folder.parent / "elsewhere")


def linked_figures(folder: Path) -> None:
    (folder.parent / "pictures").mkdir()
    (folder.parent / "pictures" / "b-scores.svg").write_text("mine")
    (folder / "figures").symlink_to(folder.parent / "pictures")


FOREIGN = (
    page_of_a_person,
    figures_of_a_person,
    table_of_a_person,
    notes_of_a_person,
    manifest_of_another,
    linked_file,
    linked_figures,
)


@pytest.mark.parametrize("make", FOREIGN)
def test_folder_of_the_user_is_left_unchanged(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (folder := tmp_path / "out").mkdir()
    make(folder)
    before = contents(tmp_path)
    with pytest.raises(
        InputError, match=r"report folder: got .*; nothing is changed there; allowed: another --out"
    ) as error:
        made(folder, *seeds("a", [1.0, 2.0]))
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["index.html", "figures/b-scores.svg", MANIFEST])
def test_link_in_report_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "out" / name).unlink(missing_ok=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    with suppress(InputError):
        made(tmp_path / "out", *whole(["a"], ["b"], 1))
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_only_our_own_figures_are_deleted(tmp_path: Path) -> None:
    made(tmp_path, *whole(["a"], ["b", "c"], 1))
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    edited = sorted((tmp_path / "figures").glob("c-*"))[0]
    edited.write_text("edited by hand")
    made(tmp_path, *whole(["a"], ["b"], 1))
    assert (tmp_path / "figures" / "mine.svg").exists()
    assert sorted((tmp_path / "figures").glob("c-*")) == [edited]
    add_file(tmp_path, "nights.html", "a night")
    made(tmp_path, *whole(["a"], ["b"]))
    assert (tmp_path / "nights.html").read_text() == "a night"
    listed = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert set(listed) == set(contents(tmp_path)) - {
        "figures/mine.svg",
        f"figures/{edited.name}",
        MANIFEST,
    }


def test_manifest_with_foreign_paths_deletes_nothing(tmp_path: Path) -> None:
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    (tmp_path / "mine.svg").write_text("mine")
    listed = json.loads((tmp_path / "out" / MANIFEST).read_text())
    listed["files"] |= {
        "figures/../../mine.svg": "",
        str(tmp_path / "mine.svg"): "",
        "../mine.svg": "",
    }
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(listed))
    made(tmp_path / "out", *whole(["a"], ["b"], 1))
    assert (tmp_path / "mine.svg").exists()


def test_report_without_manifest_is_ours(tmp_path: Path) -> None:
    made(tmp_path, *whole(["a"], ["b", "c"], 1))
    (tmp_path / MANIFEST).unlink()
    (tmp_path / "verdicts.json").unlink()  # which there was not
    (tmp_path / "leaderboard.csv").write_text("benchmark,optimizer,arm,lr,score\n")
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    made(tmp_path, *whole(["a"], ["b"], 1))
    assert not list((tmp_path / "figures").glob("c-*"))
    assert (tmp_path / "figures" / "mine.svg").exists()


# --- The import path ---

MAKES_A_SUITE = "from suites.tiny import SUITE\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not on the import path."""
    monkeypatch.setattr(
        sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["resource", "tabulate", "git", "secrets", "random", "torch", "sword"]
)
def test_file_beside_suite_hides_no_library(place: Path, name: str) -> None:
    (place / f"{name}.py").write_text("raise RuntimeError('imported')")
    (place / "mine.py").write_text(MAKES_A_SUITE)
    load_suite("mine.py")
    assert sys.path[-1] == str(place)
    (place / "mine.py").write_text(f"def f():\n    import {name}\n" + MAKES_A_SUITE)
    if name == "sword":  # nothing hides it
        (place / "sword.py").write_text("")
        load_suite("mine.py")
        return
    with pytest.raises(
        InputError, match=rf"mine.py imports {name}: .*{name}.py is hidden by .*; rename it$"
    ):
        load_suite("mine.py")


def test_imports_of_suite_modules_are_checked(place: Path) -> None:
    (place / "parts").mkdir()
    (place / "parts" / "__init__.py").write_text("")
    (place / "parts" / "one.py").write_text("import helper\n")
    (place / "helper.py").write_text("import random\n")
    (place / "random.py").write_text("raise RuntimeError('imported')")
    (place / "mine.py").write_text("import parts.one\n" + MAKES_A_SUITE)
    with pytest.raises(
        InputError, match=r"helper.py imports random: .*random.py is hidden by Python's own module"
    ):
        load_suite("mine.py")


def test_modules_of_two_suites_are_not_confused(place: Path) -> None:
    for name, trials in (("one", 3), ("two", 4)):
        (place / name).mkdir()
        (place / name / "helper_of_suites.py").write_text(f"N = {trials}\n")
        text = "from dataclasses import replace\nfrom helper_of_suites import N\n"
        (place / name / "mine.py").write_text(
            f"{text}{MAKES_A_SUITE}SUITE = replace(SUITE, n_trials=N)\n"
        )
    assert load_suite("one/mine.py").n_trials == 3
    assert load_suite("two/mine.py").n_trials == 4
    (place / "two" / "helper_of_suites.py").write_text("N = 17 \n")
    assert load_suite("two/mine.py").n_trials == 17


BENCHMARKS = {  # the text of a person's own package or module, and how its SUITE is named
    "package": ("from .own import SUITE\n", "benchmarks"),
    "absolute": ("from benchmarks.own import SUITE\n", "benchmarks"),
    "file": ("from .own import SUITE\n", "./benchmarks/__init__.py"),
    "module": (MAKES_A_SUITE, "benchmarks"),
}


@pytest.fixture
def named_benchmarks() -> Iterator[None]:
    """The modules of that name, as they are before and after a test."""

    def known() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]
        return {name: sys.modules[name] for name in names}

    before = known()
    yield
    for name in known():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("named_benchmarks")
@pytest.mark.parametrize("kind", BENCHMARKS)
def test_foreign_benchmarks_are_used_only_when_named(place: Path, kind: str) -> None:
    text, where = BENCHMARKS[kind]
    if kind == "module":
        (place / "benchmarks.py").write_text(text)
    else:
        (place / "benchmarks").mkdir()
        (place / "benchmarks" / "__init__.py").write_text(text)
        (place / "benchmarks" / "own.py").write_text(MAKES_A_SUITE)
    (place / "smoke.py").write_text(MAKES_A_SUITE)
    for name in ("default", "smoke"):
        assert load_suite(name) is optsuite.benchmarks.SUITES[name]
    assert load_suite(where).name == "tiny"
    assert load_suite("default") is optsuite.benchmarks.SUITE
    assert load_suite("smoke.py").name == "tiny"


@pytest.mark.usefixtures("named_benchmarks")
def test_broken_or_empty_foreign_benchmarks_are_ignored(place: Path) -> None:
    (place / "benchmarks").mkdir()
    (place / "mine.py").write_text(MAKES_A_SUITE)
    for text in (None, "raise RuntimeError('imported')\n"):
        if text is not None:
            (place / "benchmarks" / "__init__.py").write_text(text)
        assert load_suite("default").name == "default"
        assert load_suite("mine.py").name == "tiny"
        assert load_suite("mine").name == "tiny"
    said = r"suite benchmarks \(.*, line 1\) raised RuntimeError: imported"
    with pytest.raises(InputError, match=said):
        load_suite("benchmarks")


def test_a_package_given_as_a_file_imports_its_own_modules(place: Path) -> None:
    (place / "torch").mkdir()
    (place / "torch" / "__init__.py").write_text("from .own import SUITE\n")
    (place / "torch" / "own.py").write_text(MAKES_A_SUITE)
    assert load_suite("torch/__init__.py").name == "tiny"
    assert sys.modules["torch"] is torch


ONE_SET = """
import benchmarks.digits_cnn, optsuite.benchmarks.digits_cnn, sys
assert benchmarks is optsuite.benchmarks
assert benchmarks.digits_cnn is optsuite.benchmarks.digits_cnn
assert benchmarks.SUITES is optsuite.benchmarks.SUITES
assert benchmarks.__name__ == "optsuite.benchmarks"
names = [name for name in sys.modules if name.startswith("benchmarks")]
assert all(sys.modules[name] is sys.modules[f"optsuite.{name}"] for name in names), names
"""


@pytest.mark.parametrize("first", ["benchmarks", "optsuite.benchmarks", "benchmarks.digits_mlp"])
def test_a_clone_has_one_set_of_benchmarks_under_two_names(tmp_path: Path, first: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = f"import {first}\n{ONE_SET}"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.usefixtures("named_benchmarks")
def test_benchmarks_of_a_clone_give_the_default_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load_suite("benchmarks") is optsuite.benchmarks.SUITE
    assert load_suite("benchmarks/__init__.py") is optsuite.benchmarks.SUITE
    assert load_suite("optsuite.benchmarks") is optsuite.benchmarks.SUITE


# --- Databases ---


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


def test_a_damaged_database_is_not_an_empty_one(folder: Path) -> None:
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
def test_the_former_store_of_mlflow_is_named(uri: str) -> None:
    said = "MLflow's former kind of store; use a database or a server, as in sqlite:///"
    with pytest.raises(InputError, match=said):
        database_path(uri)


def test_a_copied_project_keeps_its_artifacts_in_the_copy(folder: Path) -> None:
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


def test_a_link_in_the_spool_is_neither_read_nor_written_through(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = folder / "mlruns" / "spool" / "mlflow.db" / "c"
    own.mkdir(parents=True)
    (folder / "mine").write_text("{}")
    for name in ("a.json", "reserve", ".reserve.0.new"):
        (own / name).symlink_to(folder / "mine")
    os.mkfifo(own / "b.json")
    (own / "c.json").mkdir()
    with Outbox(tracking_uri(), "c") as outbox:
        assert outbox.deliver(open_store(tracking_uri())) == 0
    assert (folder / "mine").read_text() == "{}"
    for name in ("a.json", "b.json", "c.json"):
        reason = "ValueError: it is not a regular file"
        assert f"{own / name} cannot be delivered and is left there: {reason}" in caplog.text
