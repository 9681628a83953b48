"""A tracking server over PostgreSQL with a password gives the same results as a local file."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pytest
from support.commands import Call, start, wait_until
from support.servers import PASSWORD, USER, Postgres, Server, lacks_postgres, postgres

from optsuite.tracking.campaigns import read_campaigns
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0  # seconds; an idle machine needs two minutes
AWAY = 5.0  # seconds without the server; some requests are made in them
pytestmark = pytest.mark.skipif(bool(lacks_postgres()), reason=lacks_postgres())


@pytest.fixture(scope="module")
def databases() -> Iterator[Postgres]:
    with postgres() as own:
        yield own


@pytest.fixture(scope="module")
def server(databases: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("flask_wtf", reason="needs Flask-WTF, the extra 'auth' of mlflow")
    store, folder = databases.create("mlflow"), tmp_path_factory.mktemp("server")
    own = Server.over(store, folder, users=databases.create("users"))
    own.start()
    yield own
    own.stop()


@pytest.fixture
def known(server: Server, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with its address and a user's password in the environment."""
    for name, value in server.client_environment.items():
        monkeypatch.setenv(name, value)
    return server


def statuses(databases: Postgres, column: str) -> list[str]:
    """A column, in SQL, of the runs on the server that optsuite has trained."""
    import psycopg

    query = f"""SELECT {column} FROM runs JOIN tags USING (run_uuid)
                WHERE lifecycle_stage = 'active' AND key = 'optsuite.fingerprint'"""
    try:
        with psycopg.connect(databases.address("mlflow")) as connection:
            found = connection.execute(query)  # type: ignore[arg-type,unused-ignore]
            return [value for (value,) in found]
    except psycopg.errors.UndefinedTable:
        return []


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, which is killed when the test ends."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def compared(
    server: Server, databases: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The reports of a small suite: with a local store, and with a server that was restarted."""
    folders = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("remote")
    command = ("run", "--suite", str(ROOT / "tests" / "suites" / "small.py"), "--workers", "1")

    def half_way() -> bool:
        return statuses(databases, "status").count("FINISHED") >= 30

    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        exclusive = running.enter_context(ended(start(*command, folder=folders[0])))
        for name, value in server.client_environment.items():
            patch.setenv(name, value)
        through_server = running.enter_context(ended(start(*command, folder=folders[1])))
        wait_until(half_way, through_server, seconds=PATIENCE)
        server.stop()
        time.sleep(AWAY)
        assert through_server.poll() is None
        server.start()
        for process in (exclusive, through_server):
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, out + err
    assert "The store does not answer" in err
    return folders[0] / "mlruns" / "report", folders[1] / "mlruns" / "report"


def test_suite_with_a_restarted_server_gives_the_same_bytes(
    compared: tuple[Path, Path], databases: Postgres
) -> None:
    for name in ("leaderboard.csv", "leaderboard.md", "learning_rates.csv"):
        local, remote = ((folder / name).read_bytes() for folder in compared)
        assert local == remote
    assert set(statuses(databases, "status")) == {"FINISHED"}
    fingerprints = statuses(databases, "value")
    assert len(set(fingerprints)) == len(fingerprints) == 2 * 2 * (1 + 12 + 6 + 6)


@pytest.mark.parametrize(
    ("user", "password", "said"),
    [
        (None, None, "it requires a user name and a password"),
        (USER, "wrong/guess@x", f"it rejects the user name '{USER}' or its password"),
        ("nobody", PASSWORD, "it rejects the user name 'nobody' or its password"),
    ],
)
def test_missing_or_wrong_password_gives_one_line(
    known: Server,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    user: str | None,
    password: str | None,
    said: str,
) -> None:
    for name, value in (("USERNAME", user), ("PASSWORD", password)):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
        if value is not None:
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    for command in (("run", "--suite", "smoke"), ("report",), ("list",)):
        code, out, err = call(*command)
        assert (code, err.count("\n")) == (2, 1)
        assert f"store: cannot open {known.address}: {said}; set MLFLOW_TRACKING_USERNAME" in err
        assert str(password) not in out + err


def test_database_with_an_unknown_user_is_refused_at_once(
    databases: Postgres, empty: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = databases.address("mlflow", user="nobody", password="s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    started = time.monotonic()
    code, out, err = call("report")
    assert (code, err.count("\n")) == (2, 1)
    assert 'role "nobody" does not exist' in err
    assert "s3cret" not in out + err
    assert time.monotonic() - started < 10


def test_report_from_the_database_of_a_server_is_the_same(
    compared: tuple[Path, Path],
    databases: Postgres,
    empty: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases.address("mlflow"))
    code, _, err = call("report", "--out", "direct")
    assert (code, err) == (0, "")
    direct = (Path("direct") / "leaderboard.csv").read_bytes()
    assert direct == (compared[1] / "leaderboard.csv").read_bytes()


def test_server_and_its_database_give_equal_frames(
    compared: tuple[Path, Path], known: Server, databases: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truncated answer is requested again in parts."""
    through, beside = open_store(known.address), open_store(databases.address("mlflow"))
    assert read_campaigns(through) == read_campaigns(beside)
    runs = read_runs(beside, "default", everything=True)
    pd.testing.assert_frame_equal(read_runs(through, "default", everything=True), runs)
    ids, names = runs["run_id"], ["validation/loss", "train/loss"]
    curves = read_curves(beside, ids, names)
    assert len(curves) > 1_000
    pd.testing.assert_frame_equal(read_curves(through, ids, names), curves)
    monkeypatch.setattr("optsuite.tracking.bulk_history.MOST_RUNS", 8)
    monkeypatch.setattr("optsuite.tracking.bulk_history.MOST_VALUES", 40)
    some = read_curves(beside, ids[:8], names)
    pd.testing.assert_frame_equal(read_curves(through, ids[:8], names), some)
