import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pytest
import torch
from commands import Call

from optsuite import Suite
from optsuite.cli import main
from optsuite.execution.pool import Fact, Lost, Task
from optsuite.execution.worker import Train, facts, trainer
from optsuite.tracking.store import open_store

torch.set_num_threads(1)
TINY = Path(__file__).parent / "suites" / "tiny.py"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("template") / f"mlflow-{mlflow.__version__}.db"
    open_store(f"sqlite:///{path}")
    return path


def enter(folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder the current one, with an empty store in its usual place."""
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(template, folder / "mlruns" / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def folder(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with an empty store."""
    return enter(tmp_path, template, monkeypatch)


class InlinePool:
    """Trains in this process, one task at a poll: a pool to step through. Counts what it trains."""

    def __init__(self) -> None:
        self._queue: list[Task] = []
        self.train: Train | None = None
        self.n_trained = 0

    def load(self, suite: Suite) -> None:
        """Train the definitions of this suite from now on, unless a test has put something else there."""
        self.train = trainer(lambda: suite, "cpu")

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def poll(self, timeout: float) -> Sequence[Fact | Lost]:
        task = self._queue.pop(0)
        self.n_trained += len(task.runs)
        assert self.train is not None
        return list(facts(task, self.train))

    def cancel(self, task: int) -> None:
        self._queue = [other for other in self._queue if other.id != task]

    def clear(self) -> None:
        """Forget what an interrupted campaign had asked for."""
        self._queue.clear()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["optsuite", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no dataset."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("OPTSUITE_DATA", str(tmp_path.parent / "no-data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
