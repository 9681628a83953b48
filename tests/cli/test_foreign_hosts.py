"""Commands contact no foreign host, listen on the loopback only and leave no process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from conftest import TINY
from support.commands import PROGRAM, alive, descendants
from support.package import ROOT

from optsuite.cli import guard
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import open_store

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
