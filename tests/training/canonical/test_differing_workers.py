"""A worker whose definitions or packages differ from the driver's names what differs."""

from pathlib import Path

import pytest
import torch
from support.edits import write
from support.identities import identities, loaded

from optsuite.execution.pool import Task
from optsuite.execution.worker import trainer, updates
from optsuite.training.identity import Definition
from optsuite.training.results import Run, RunResult

pytestmark = pytest.mark.usefixtures("no_bytecode")

TORCH = torch.__version__

UNLIKE = {
    "model": (
        "import uuid\nK = uuid.uuid4().hex\ndef model():\n    return nn.Linear(3, 1), K\n",
        "its model differs each time",
    ),
    "loss": (
        "import time\nK = time.time_ns()\nloss = lambda y, t: F.mse_loss(y, t) + 0 * K\n",
        "its loss differs each time",
    ),
    "build": (
        "import uuid\nK = uuid.uuid4()\n"
        "def build(model, lr):\n    return K, torch.optim.SGD(model.parameters(), lr=lr)\n",
        "optimizer own: its build differs each time that the suite is loaded, or its file changed",
    ),
    "data": (
        "import uuid\ndef line():\n"
        "    x = torch.randn(64, 3) + uuid.uuid4().int % 10**6 / 10**6\n    y = x[:, :1]\n"
        "    return Splits(train=(x, y), validation=(x, y), test=(x, y))\n",
        "benchmark b: its data differ each time that they are made; "
        "seed a generator inside the function",
    ),
}


def task_of(definition: Definition) -> Task:
    """A task of one run."""
    run = Run(benchmark="b", optimizer="own", lr=0.1, seed=0, kind="trial")
    return Task(id=1, priority=0, engine="plain", definition=definition, runs=(run,))


@pytest.mark.parametrize("part", UNLIKE)
def test_worker_that_finds_another_definition_names_the_part(tmp_path: Path, part: str) -> None:
    text, message = UNLIKE[part]
    write(tmp_path, {"suite.py": text})
    with loaded(tmp_path) as suite:
        own, its = identities(suite)
    task = task_of(Definition(benchmark=own, optimizer=its))
    with loaded(tmp_path) as suite:
        (update,) = updates(task, trainer(lambda: suite, "cpu"))
    assert isinstance(update.update, RunResult)
    assert message in str(update.update.error)


def test_worker_that_has_other_packages_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"suite.py": ""})
    with loaded(tmp_path) as suite:
        own, its = identities(suite)
        task = task_of(Definition(benchmark=own, optimizer=its))
        monkeypatch.setattr(torch, "__version__", "2.0.0")
        (update,) = updates(task, trainer(lambda: suite, "cpu"))
    assert isinstance(update.update, RunResult)
    expected = (
        "benchmark b: this worker's environment differs from the driver's: "
        f"torch (2.0.0 instead of {TORCH}); use the same"
    )
    assert expected in str(update.update.error)
