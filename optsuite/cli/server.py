"""Serves MLflow's own UI, and prints links to the comparison."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from optsuite.cli import guard
from optsuite.cli.console import console
from optsuite.errors import InputError
from optsuite.redact import redact
from optsuite.tracking.campaigns import require_campaign
from optsuite.tracking.links import charts
from optsuite.tracking.location import database_path, tracking_uri

HOST = "127.0.0.1"
START_SECONDS = 120.0


def serve(port: int, campaign: str) -> int:
    """Serve MLflow's UI on the loopback until it is stopped, and print links to the comparisons.

    If the store is a server, only print the links. Raises InputError.
    """
    uri = tracking_uri()
    out = console()
    require_campaign(uri, campaign)
    from optsuite.tracking.query import read_runs
    from optsuite.tracking.store import open_store

    runs = read_runs(open_store(uri), campaign, everything=True)
    experiments = dict(zip(runs["benchmark"], runs["experiment_id"], strict=True))
    if uri.startswith(("http://", "https://")):
        _print_links(out, uri.rstrip("/"), experiments, campaign)
        return 0
    address = f"http://{HOST}:{port}"
    _require_free(port)
    out.print("Starting MLflow's server, which takes some seconds ...")
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryDirectory() as nowhere:
        server = _start(uri, port, folder=nowhere, log=log)
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
        try:
            _wait(server, address, log)
            _print_links(out, address, experiments, campaign)
            out.print("Ctrl-C ends the server.")
            server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait()
    return 1


def _start(uri: str, port: int, *, folder: str, log: IO[str]) -> subprocess.Popen[bytes]:
    """Start the server under the guard, which ends it when this process ends."""
    guarded = [sys.executable, "-I", guard.__file__]
    mlflow = [sys.executable, "-P", "-m", "mlflow", "server"]
    arguments = ["--workers", "1", "--host", HOST, "--port", str(port)]
    path = database_path(uri)
    if path is not None:
        uri = f"sqlite:///{path}"
        arguments += ["--default-artifact-root", str(path.parent / "artifacts")]
    own = {
        # Not an argument: every user can read those, and the URI may hold a password.
        "MLFLOW_BACKEND_STORE_URI": uri,
        # Without jobs, a start takes half the time and a sixth of the memory.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Keeps the server and its children from importing the user's files, say an mlflow.py.
        "PYTHONSAFEPATH": "1",
    }
    return subprocess.Popen(
        guarded + mlflow + arguments,
        cwd=folder,
        env=os.environ | own,
        stdin=subprocess.PIPE,  # closes when this process ends, however it ends
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _print_links(out: Console, address: str, experiments: dict[str, str], campaign: str) -> None:
    """Print a link per benchmark, to the charts of its studies: one run per optimizer."""
    for benchmark, experiment in experiments.items():
        link = f"{redact(address)}/#/experiments/{experiment}/runs?{charts(campaign)}"
        out.print(f"{benchmark}: {link}", markup=False, highlight=False, soft_wrap=True)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); choose another --port"
            ) from None


def _wait(server: subprocess.Popen[bytes], address: str, log: IO[str]) -> None:
    """Wait until the server answers. Raises RuntimeError with its last line if it does not."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/health", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    log.seek(0)
    lines = log.read().strip().splitlines()
    last = lines[-1] if lines else "it printed nothing"
    raise RuntimeError(f"MLflow's server did not start: {last}")
