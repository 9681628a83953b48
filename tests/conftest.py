import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from support import servers
from support.commands import Call

from optsuite import Suite
from optsuite.cli.main import main
from optsuite.execution.pool import RunUpdate, Task, TaskLost
from optsuite.execution.worker import Train, trainer, updates
from optsuite.tracking.store import open_store
from optsuite.training import checkpoint, plain
from optsuite.training.train_step import take_step

torch.set_num_threads(1)
# Ray gives its workers a low priority, with which they starve beside tests in other processes.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so Ray spells it
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="optsuite-state-")  # not the user's own
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
TINY = Path(__file__).parent / "suites" / "tiny.py"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database: creating one takes seconds, copying it none."""
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Any, page: Path, scheme: str, width: int) -> tuple[Any, list[str]]:
    """A tab with the page, checked for its colors and width, and a list of its troubles.

    Troubles are messages, errors, dialogs, and requests for anything but files.
    """
    trouble: list[str] = []

    def on_request(request: Any) -> None:
        if not request.url.startswith("file:"):
            trouble.append(request.url)

    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab.on("console", lambda message: trouble.append(message.text))
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("dialog", lambda dialog: trouble.append(dialog.message))
    tab.on("request", on_request)
    tab.goto(page.as_uri())
    # Wide tables scroll within the page.
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert dark == (scheme == "dark")
    figures = "[...document.querySelectorAll('figure svg')]"
    ink = tab.evaluate(f"[...new Set({figures}.map(s => getComputedStyle(s).color))]")
    assert ink == ["rgb(215, 220, 226)" if dark else "rgb(27, 31, 36)"]
    return tab, trouble


class InlinePool:
    """Trains in this process; counts the runs it trains and keeps the checks of stored results.

    Unlike the pool of `optsuite.execution.inline` it trains one whole task per poll, in the order
    of submission, so that a test knows where a campaign stands after each poll.
    """

    n_workers = 1

    def __init__(self) -> None:
        self._queue: list[Task] = []
        self.train: Train | None = None
        self.n_trained = 0
        self.checks: list[Task] = []
        self.checkpoints = None

    def load(self, suite: Suite) -> None:
        """Train this suite from now on. A test may replace `train` by its own."""
        self.train = trainer(lambda: suite, "cpu")

    def submit(self, task: Task) -> None:
        self._queue.append(task)

    def poll(self, timeout: float) -> Sequence[RunUpdate | TaskLost]:
        task = self._queue.pop(0)
        if task.until is None:
            self.n_trained += len(task.runs)
        else:
            self.checks.append(task)
        assert self.train is not None
        return list(updates(task, self.train))

    def cancel(self, task: int) -> None:
        self._queue = [other for other in self._queue if other.id != task]

    def clear(self) -> None:
        """Forget the tasks of an interrupted campaign."""
        self._queue.clear()


@pytest.fixture
def pool() -> InlinePool:
    """A pool that trains in this process. It has no suite yet."""
    return InlinePool()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process: exit code, standard output and standard error.

    The outputs include those of worker processes.
    """

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["optsuite", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
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
    """A free port of the loopback."""
    return servers.free_port()


@pytest.fixture
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are read from their texts, which tests edit faster than bytecode tells apart."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one item per step taken."""
    taken: list[int] = []

    def count(*arguments: Any) -> torch.Tensor:
        taken.append(1)
        return take_step(*arguments)

    monkeypatch.setattr(plain, "take_step", count)
    checkpoint._warn_once.cache_clear()
    return taken
