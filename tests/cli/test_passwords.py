"""No password is shown or stored."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import TINY
from support.commands import Call

from optsuite.redact import redact
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store

SECRET = "hunter2"
ADDRESSES = (
    f"postgresql://me:{SECRET}@127.0.0.1:1/x",
    f"postgresql://me:a/{SECRET}@127.0.0.1:1/x",
    f"postgresql://127.0.0.1:1/x?user=me&password={SECRET}",
    f"http://me:{SECRET}@127.0.0.1:1",
    f"http://me:a/{SECRET}@127.0.0.1:1",
    f"https://{SECRET}@127.0.0.1:1/mlflow",
    f"nonsense://me:{SECRET}@x",
)
COMMANDS = (
    ("run", "--suite", str(TINY)),
    ("run", "--suite", str(TINY), "--dry-run"),
    ("train", "tiny_line", "sgd", "--suite", str(TINY), "--lr", "0.1"),
    ("nightly", "--suite", str(TINY)),
    ("report",),
    ("list", "--suite", str(TINY)),
    ("ui",),
    ("compare", "a", "b"),
)


@pytest.fixture
def secretive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # else it tries for minutes
    monkeypatch.delenv("OPTSUITE_DATA", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    return tmp_path


@pytest.mark.parametrize("address", ADDRESSES)
def test_password_in_an_address_is_never_shown(
    secretive: Path, address: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    is_thorough = address in (ADDRESSES[0], ADDRESSES[3])
    for command in COMMANDS if is_thorough else COMMANDS[-3:]:
        code, out, err = call(*command)
        assert code == 2, (command, err)
        assert SECRET not in out + err
        assert err.count("\n") == 1


class Failing(BaseHTTPRequestHandler):
    """An MLflow server that lists experiments, and then hangs up."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        if "experiments/search" not in self.path:
            return  # without an answer
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: object) -> None:
        pass


def test_password_of_a_server_that_fails_later_is_not_shown(
    secretive: Path, call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("optsuite.tracking.retry.TIMEOUT_SECONDS", 0.1)
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:{SECRET}@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        code, out, err = call(*COMMANDS[0])
        server.shutdown()
    assert code == 1
    assert f"http://127.0.0.1:{server.server_port}" in err
    assert "trying again" in caplog.text
    assert SECRET not in out + err + caplog.text


@pytest.mark.parametrize("debug", ["", "1"])
def test_password_in_an_unexpected_error_is_not_shown(
    debug: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError(f"no answer from {ADDRESSES[3]}/x")

    monkeypatch.setattr("optsuite.api.report", fail)
    monkeypatch.setenv("OPTSUITE_DEBUG", debug)
    code, out, err = call("report")
    assert code == 1
    assert "no answer from http://127.0.0.1:1/x" in err
    assert ("Traceback" in err) == bool(debug)
    assert SECRET not in out + err


def test_password_in_tags_is_not_stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = {
        "mlflow.source.git.repoURL": f"https://me:{SECRET}@example.org/x.git",
        "mlflow.user": "me",
    }
    monkeypatch.setattr("optsuite.tracking.store.resolve_tags", lambda: remote)
    store = open_store(tracking_uri())
    tags = store.client.get_run(store.create("b", "run", {}, 0.0)).data.tags
    assert tags["mlflow.source.git.repoURL"] == "https://example.org/x.git"
    assert tags["mlflow.user"] == "me"


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/me@work/mlflow.db",
        "http://127.0.0.1:5000/#/x",
        "git@example.org:x",
        "a@b",
        "no password",
    ],
)
def test_text_without_password_is_shown_unchanged(text: str) -> None:
    assert redact(text) == text
