"""Real servers for tests, on the loopback interface: PostgreSQL and MLflow's tracking server.

The tracking server can be stopped and started again.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

USER, PASSWORD = "somebody", "correct horse/battery@staple"
START_SECONDS = 120.0
# Without it, each request takes 0.3 s for a slow hash of the password.
CACHE = "auth_cache_ttl_seconds = 60"
# Options of initdb: any local user may connect, and nothing is flushed to the disk.
INITDB = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A tracking server, started by the command `mlflow`."""

    def __init__(
        self, folder: Path, port: int, arguments: Sequence[str], environment: Mapping[str, str] = {}
    ) -> None:
        """The log is written to the folder."""
        self.address = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._command = [str(Path(sys.executable).with_name("mlflow")), *arguments]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._environment = {**clean, **own, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def over(cls, store: str, folder: Path, *, users: str | None = None) -> Self:
        """A server over a database, with its artifacts in the folder.

        With a database of users, it requires a password.
        """
        port = free_port()
        where = ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
        arguments = ["server", "--workers", "1", "--port", str(port), *where]
        if users is None:
            return cls(folder, port, arguments)
        config = folder / "auth.ini"
        lines = (
            "[mlflow]",
            "default_permission = EDIT",
            f"admin_username = {USER}",
            f"database_uri = {users}",
            CACHE,
        )
        config.write_text("\n".join(lines))
        environment = {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of these tests",
        }
        return cls(folder, port, [*arguments, "--app-name", "basic-auth"], environment)

    @property
    def client_environment(self) -> dict[str, str]:
        """The environment of a client, for a server with a password."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }

    def start(self) -> None:
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"{self.address}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        log_text = (self._folder / "server.log").read_text()
        raise AssertionError(f"the server does not start: {log_text[-2_000:]}")

    def stop(self) -> None:
        """Kill the server, like a power cut."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


class Forgetful(ThreadingHTTPServer):
    """A proxy for a server that drops some of its answers."""

    daemon_threads = True

    def __init__(self, behind: str, paths: Sequence[str], times: int) -> None:
        """Drop the first `times` answers to requests for each of the paths."""
        super().__init__(("127.0.0.1", 0), _Passing)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.behind = behind
        self.times = times
        self.n_dropped = dict.fromkeys(paths, 0)


class _Passing(BaseHTTPRequestHandler):
    server: Forgetful

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""

    def _pass_on(self, body: bytes | None) -> None:
        address = f"{self.server.behind}{self.path}"
        headers = {"Content-Type": "application/json"}
        request = Request(address, body, headers, method=self.command)
        try:
            with urlopen(request) as response:
                status, answer = response.status, response.read()
        except HTTPError as error:
            status, answer = error.code, error.read()
        n_dropped = self.server.n_dropped.get(self.path, self.server.times)
        if n_dropped < self.server.times:
            self.server.n_dropped[self.path] = n_dropped + 1
            return  # the connection closes
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def forgetful(behind: str, paths: Sequence[str], *, times: int) -> Iterator[Forgetful]:
    """A running proxy."""
    with Forgetful(behind, paths, times) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


class Postgres:
    """A PostgreSQL server that creates databases on demand."""

    def __init__(self, port: int) -> None:
        self._port = port

    def address(self, database: str, *, user: str = "postgres", password: str = "") -> str:
        """The address of a database for SQLAlchemy and MLflow."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self._port}/{database}"

    def create(self, database: str) -> str:
        """Create an empty database and return its address."""
        self.execute(f'CREATE DATABASE "{database}"')
        return self.address(database)

    def execute(self, statement: str) -> None:
        """Execute a statement."""
        import psycopg

        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type,unused-ignore]


def lacks_postgres() -> str:
    """Why PostgreSQL cannot run here; empty if it can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "needs psycopg, the extra 'postgres'"
    if _programs() is None:
        return "needs PostgreSQL's initdb and postgres"
    if os.getuid() == 0 and not _exists("postgres"):
        return "needs a user 'postgres': PostgreSQL does not start as root"
    return ""


@contextmanager
def postgres(*settings: str) -> Iterator[Postgres]:
    """A new PostgreSQL server, removed afterwards. `settings` are such as `work_mem=64MB`."""
    programs = _programs()
    assert programs is not None
    as_user = [] if os.getuid() else ["runuser", "-u", "postgres", "--"]
    folder = tempfile.TemporaryDirectory(prefix="optsuite-postgres-", ignore_cleanup_errors=True)
    with folder as name:
        if as_user:
            shutil.chown(name, "postgres")
        data, port = f"{name}/data", free_port()
        make = [*as_user, str(programs / "initdb"), *INITDB, "-D", data]
        subprocess.run(make, check=True, capture_output=True, cwd=name)
        control = [*as_user, str(programs / "pg_ctl"), "-w", "-D", data]
        own = ("fsync=off", "listen_addresses=127.0.0.1", f"port={port}")
        options = (*own, f"unix_socket_directories={name}", *settings)
        given = " ".join(f"-c {option}" for option in options)
        serve = [*control, "-l", f"{name}/log", "-o", given, "start"]
        subprocess.run(serve, check=True, cwd=name, stdout=subprocess.DEVNULL)
        try:
            yield Postgres(port)
        finally:
            stop = [*control, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, cwd=name, stdout=subprocess.DEVNULL)


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs; of the newest version if Debian has several."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found:
        folders = [Path(found).parent]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


def _exists(user: str) -> bool:
    import pwd

    return any(entry.pw_name == user for entry in pwd.getpwall())
