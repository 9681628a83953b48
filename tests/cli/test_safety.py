"""No foreign host, no code from data, no password in sight."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from commands import PROGRAM, Call, alive, descendants
from conftest import TINY
from package import FILES, ROOT

from optsuite.cli import guard
from optsuite.redact import redact
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store

# --- No foreign host

LISTENER = """
import os, sys
path = os.environ["CONTACTS"]
ADDRESS = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
NAME = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}
def listen(event, arguments):
    if event in ADDRESS and isinstance(arguments[1], tuple):
        write(arguments[1][0])
    elif event in NAME:
        write(arguments[0])
def write(host):
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {host}\\n")
sys.addaudithook(listen)
"""
LOOPBACK = {"127.0.0.1", "::1", "localhost", "None"}  # getaddrinfo of no host is this one
TALKATIVE = """
import socket
def dataset():
    with socket.socket() as phone:
        phone.connect_ex(("127.0.0.1", 9))
    return line()
SUITE = replace(SUITE, benchmarks=(replace(BENCHMARK, dataset=dataset),), n_trials=1, n_seeds=1)
"""
# Variables that make libraries send no telemetry.
SILENCING = {"CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "DO_NOT_TRACK"}


@pytest.fixture
def overheard(tmp_path: Path) -> dict[str, str]:
    """A user's environment, without the variables of a test that silence telemetry.

    Contacted hosts are written to a file.
    """
    (tmp_path / "listener").mkdir()
    (tmp_path / "listener" / "sitecustomize.py").write_text(LISTENER)
    (tmp_path / "contacts").touch()
    environment = dict(os.environ)
    for name in os.environ:
        if name in SILENCING or "MLFLOW" in name:
            del environment[name]
    environment["CONTACTS"] = str(tmp_path / "contacts")
    environment["PYTHONPATH"] = f"{tmp_path / 'listener'}:{ROOT.parent}"
    return environment


def start(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "optsuite", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def contacts(environment: dict[str, str]) -> dict[str, set[int]]:
    """The hosts that were contacted, and by which processes."""
    found: dict[str, set[int]] = {}
    for line in Path(environment["CONTACTS"]).read_text().splitlines():
        pid, host = line.split(maxsplit=1)
        found.setdefault(host, set()).add(int(pid))
    return found


def test_contacts_of_driver_and_workers_are_noticed(
    folder: Path, overheard: dict[str, str]
) -> None:
    suite = "from dataclasses import replace\n" + TINY.read_text() + TALKATIVE
    (folder / "talkative.py").write_text(suite)
    process = start(folder, overheard, "run", "--suite", "talkative.py", "--workers", "1")
    assert process.communicate(timeout=300)[1] == ""
    assert process.returncode == 0
    (pids,) = (pids for host, pids in contacts(overheard).items() if host == "127.0.0.1")
    assert process.pid in pids
    assert len(pids) >= 2


def test_run_and_report_contact_no_foreign_host(folder: Path, overheard: dict[str, str]) -> None:
    for arguments in (("run", "--suite", str(TINY), "--workers", "2"), ("report",)):
        process = start(folder, overheard, *arguments)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        assert "index.html" in out
    assert set(contacts(overheard)) <= LOOPBACK


def listening(port: int) -> set[str]:
    """The addresses, in hexadecimal, on which some process listens to the port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, place, _, state, *_ = line.split()
            address, _, own_port = place.partition(":")
            if state == "0A" and int(own_port, 16) == port:
                found.add(address)
    return found


def test_listening_tells_loopback_from_all_addresses() -> None:
    for host, expected in (("127.0.0.1", "0100007F"), ("0.0.0.0", "00000000")):
        with socket.create_server((host, 0)) as server:
            assert listening(server.getsockname()[1]) == {expected}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_ui_listens_on_the_loopback_only_and_contacts_no_foreign_host(
    folder: Path, overheard: dict[str, str], free_port: int
) -> None:
    store = open_store(tracking_uri())
    tags = {"optsuite.campaign": "default", "optsuite.benchmark": "b", "optsuite.kind": "study"}
    store.create("b", "run", tags, 0.0)
    # A user's files in the current folder.
    for name in ("mlflow.py", "contextlib.py", "uvicorn.py", "resource.py"):
        (folder / name).write_text(f"open({str(folder / 'imported')!r}, 'a').write(__file__)")
    # Not python -m, which would import from the current folder whatever we do.
    command = [str(PROGRAM), "ui", "--port", str(free_port)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=folder, env=overheard, stdout=pipe, stderr=pipe, text=True
    )
    try:
        assert process.stdout is not None
        assert any(line.startswith(f"b: http://127.0.0.1:{free_port}/") for line in process.stdout)
        for path in ("", "version", "api/2.0/mlflow/experiments/search?max_results=5"):
            with urlopen(f"http://127.0.0.1:{free_port}/{path}") as answer:
                assert answer.status == 200
        assert listening(free_port) == {"0100007F"}
        servers = [Path(f"/proc/{pid}") for pid in descendants(process.pid)]
        texts = [(server / "environ").read_bytes().split(b"\0") for server in servers]
        assert servers
        assert all(b"MLFLOW_DISABLE_TELEMETRY=true" in text for text in texts)
        # Other users could read passwords in a command line.
        assert not any(b"sqlite:" in (server / "cmdline").read_bytes() for server in servers)
    finally:
        process.kill()
        process.communicate(timeout=60)
    for _ in range(600):
        if not listening(free_port):
            break
        time.sleep(0.1)
    assert set(contacts(overheard)) <= LOOPBACK
    assert not (folder / "imported").exists()
    assert listening(free_port) == set()


@pytest.mark.parametrize("how", ["closed", signal.SIGTERM])
def test_guard_that_ends_ends_all_children_of_its_command(
    tmp_path: Path, how: str | signal.Signals
) -> None:
    inner = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    outer = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    written = tmp_path / "pid"
    guarded = [sys.executable, "-I", guard.__file__]
    command = [*guarded, sys.executable, "-c", outer, inner, str(written)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    while not (written.exists() and written.read_text()):
        assert process.poll() is None
        time.sleep(0.002)
    pid = int(written.read_text())
    assert alive(pid)
    if how != "closed":
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    process.stdin.close()
    process.wait(timeout=20)
    time.sleep(0.2)
    assert not alive(pid)


# --- No code from data

UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
UNSAFE_NAMES = {"load", "system", "popen", "read_pickle"}  # of any module
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "FunctionType",
    "types.FunctionType",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "pd.read_pickle",
}
# Loaders, each with the option that makes it safe, and its safe values.
SAFE = {"torch.load": ("weights_only", (True,)), "np.load": ("allow_pickle", (False, None))}
ALLOWED = {
    "training/canonical/source.py": ["compile"],  # inspects compiled code, and runs none of it
    "execution/suite_source.py": ["pickle"],  # written by the driver for its own workers
}
IMPORTERS = {
    # modules that the user names, and packages named in ours
    "import_path.py",
    "registry.py",
    "optimizers/packaged.py",
    # parts of optsuite itself
    "training/canonical/contents.py",
}


def dangers(source: str) -> list[str]:
    """The imports and calls in the source that could run what they read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_unsafe_module(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {alias.name for alias in node.names}
            if _is_unsafe_module(module) or names & UNSAFE_NAMES:
                found.append(module)
        elif isinstance(node, ast.Call) and _is_unsafe_call(node):
            found.append(ast.unparse(node.func))
    return found


def _is_unsafe_module(name: str) -> bool:
    return name.partition(".")[0] in UNSAFE_MODULES


def _is_unsafe_call(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    options: dict[str | None, object] = {}
    for keyword in call.keywords:
        options[keyword.arg] = getattr(keyword.value, "value", "unknown")
    if name in UNSAFE_CALLS or options.get("shell", False) is not False:
        return True
    option, safe = SAFE.get(name.replace("numpy.", "np."), ("", (None,)))
    return options.get(option) not in safe


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_runs_nothing_that_it_reads(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    source = path.read_text()
    assert dangers(source) == ALLOWED.get(name, [])
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = " ".join(ast.unparse(call.func) for call in calls)
    if re.search(r"exec_module|import_module|spec_from_file", called):
        assert name in IMPORTERS


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.externals",
        "from marshal import loads",
        "from torch import load",
        "eval(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.Popen(x, shell=y)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=y)",
    ],
)
def test_dangers_finds_unsafe_code(source: str) -> None:
    assert len(dangers(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(x, weights_only=True)",
        "np.load(x)",
        "np.load(x, allow_pickle=False)",
        "subprocess.run([x])",
    ],
)
def test_dangers_finds_nothing_in_safe_code(source: str) -> None:
    assert dangers(source) == []


# --- No password in sight

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
