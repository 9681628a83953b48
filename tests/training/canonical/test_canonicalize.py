"""Edits that change a curve change the description, and no others do."""

import json
import os
import py_compile
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from edits import Edit, edits, write
from identities import digests, identities, loaded, use

from optsuite.errors import InputError
from optsuite.execution.pool import Task
from optsuite.execution.worker import trainer, updates
from optsuite.registry import load_suite
from optsuite.training.canonical import imports
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.identity import Definition, identify_optimizer
from optsuite.training.results import Run, RunResult

TORCH = torch.__version__
FILES = ("modules", "classes", "functions", "hidden", "reached")
CHANGING = [edit for name in FILES for edit in edits(name)]
# Registrations with torch concern everything in their file.
COARSE = {"operation_registered_with_torch", "divergence_registered_with_torch"}
# The numerics of torch that a suite sets belong to the environment, not to the task.
OF_ENVIRONMENT = {"default_dtype"}
OF_OPTIMIZERS = {"build", "import_in_build", "step_of_an_optimizer", "init_of_an_optimizer"}


def before_and_after(folder: Path, edit: Edit) -> list[tuple[Identity, Identity]]:
    """The identities of two versions, each in a folder of its own."""
    found = []
    for after in (False, True):
        with loaded(edit.write(folder / str(after), after=after).parent) as suite:
            found.append(identities(suite))
    return found


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.parametrize("edit", CHANGING, ids=lambda edit: edit.name)
def test_an_edit_changes_what_it_concerns_and_nothing_else(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    concerned = edit.name in OF_OPTIMIZERS
    assert before[concerned] != after[concerned]
    assert (before[concerned].digest == after[concerned].digest) == (edit.name in OF_ENVIRONMENT)
    assert (before[not concerned] == after[not concerned]) == (edit.name not in COARSE)


@pytest.mark.parametrize("edit", edits("unchanged"), ids=lambda edit: edit.name)
def test_an_edit_that_changes_no_curve_changes_nothing(tmp_path: Path, edit: Edit) -> None:
    before, after = before_and_after(tmp_path, edit)
    assert before == after


def test_edits_that_change_something_are_at_least_49() -> None:
    assert len(CHANGING) >= 49


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of some of the suites, since each takes a second.

    Not of those whose dataset changes what their model reads.
    """
    folder = tmp_path_factory.mktemp("suites")
    lasting = [edit for edit in CHANGING if "dataset" not in edit.name]
    return [edit.write(folder / edit.name, after=False).parent for edit in lasting[::8]]


def test_another_process_finds_the_same_whatever_its_hash_seed(folders: list[Path]) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "identities", *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    there = json.loads(done.stdout)
    assert [folder.name for folder in folders if there[str(folder)] != digests(folder)] == []


def test_what_was_built_and_trained_before_changes_nothing(folders: list[Path]) -> None:
    changed = []
    for folder in folders:
        with loaded(folder) as suite:
            before = identities(suite)
            use(suite)
            if identities(suite) != before:
                changed.append(folder.name)
    assert changed == []


COUNTING = """
class Net(nn.Linear):
    built = 0
    def __init__(self):
        super().__init__(3, 1)
        Net.built += 1
SEEN = []
def model():
    SEEN.append(1)
    return Net()
"""


def test_what_a_suite_counts_and_keeps_is_described_as_it_was_loaded(tmp_path: Path) -> None:
    write(tmp_path, {"suite.py": COUNTING})
    with loaded(tmp_path) as suite:
        (benchmark,), described = suite.benchmarks, Descriptions(suite)
        before = described.of(benchmark.model, "its model")
        benchmark.model()
        shorter = replace(benchmark, name="b@3", max_steps=3)
        assert described.of(shorter.model, "its model") == before
        assert Descriptions(suite).of(benchmark.model, "its model") != before


LOCKED = """
import threading
from functools import partial
model = partial(print, threading.Lock())
"""


def test_a_part_that_cannot_be_described_raises_only_on_request(tmp_path: Path) -> None:
    write(tmp_path, {"suite.py": LOCKED})
    with loaded(tmp_path) as suite:
        described = Descriptions(suite)
        identify_optimizer(suite.optimizers[-1], described)
        message = "^benchmark b: its model: argument 0: got a value of type lock, which cannot"
        with pytest.raises(InputError, match=message):
            described.of(suite.benchmarks[0].model, "benchmark b: its model")


NAMESPACE = """
def model():
    return nn.Linear(3, globals()['WI' + 'DTH'])
WIDTH = 4
"""
COMPUTED_NAME = """
import importlib
def model():
    return nn.Linear(3, importlib.import_module('benchmarks.' + 'net').WIDTH)
"""
PATCH = """
from benchmarks import net, patch
def model():
    return net.make()
"""
HIDDEN = {
    "namespace": (NAMESPACE, "suite.py", "WIDTH = 4", "WIDTH = 5"),
    "computed_name": (COMPUTED_NAME, "net.py", "WIDTH = 4", "WIDTH = 5"),
    "patch": (PATCH, "patch.py", "WIDTHS.append(4)", "WIDTHS.append(5)"),
}
BENCHMARKS = {
    "net.py": """
from torch import nn
WIDTH = 4
WIDTHS = []
def make():
    return nn.Linear(3, WIDTHS[-1])
""",
    "patch.py": "from benchmarks import net\nnet.WIDTHS.append(4)\n",
    "__init__.py": "from benchmarks.suite import SUITE\n",
}


def forget_benchmarks() -> dict[str, ModuleType]:
    """Remove the loaded package `benchmarks` from sys.modules, and return its modules."""
    names = [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.mark.parametrize("name", HIDDEN)
def test_benchmarks_of_the_user_are_described_like_any_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, edited, old, new = HIDDEN[name]
    others = forget_benchmarks()
    found = []
    for version in (0, 1, 2):
        folder = tmp_path / str(version) / "benchmarks"
        write(folder, BENCHMARKS | {"suite.py": text})
        if version == 2:
            (folder / edited).write_text((folder / edited).read_text().replace(old, new))
        monkeypatch.chdir(folder.parent)
        suite = load_suite("benchmarks")
        found.append(Descriptions(suite).of(suite.benchmarks[0].model, "its model"))
        forget_benchmarks()
    sys.modules.update(others)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("limit", "found"),
    [("N_FILES", "more than 1 Python files"), ("N_FOLDERS", "more than 1 folders")],
)
def test_a_folder_of_which_not_all_can_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, found: str
) -> None:
    monkeypatch.setattr(imports, limit, 1)
    text = "def model():\n    return globals() and eval('1')\nload = eval\n"
    write(tmp_path, {"suite.py": text, "a/net.py": "", "b/net.py": ""})
    with loaded(tmp_path) as suite, pytest.raises(InputError) as error:
        Descriptions(suite).of(suite.benchmarks[0].model, "its model")
    message = str(error.value)
    assert message.startswith("its model: modules are imported by computed names")
    assert f"file below {tmp_path} may be one of them, but it holds {found}; move" in message


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
def test_a_worker_that_finds_another_definition_names_the_part(tmp_path: Path, part: str) -> None:
    text, message = UNLIKE[part]
    write(tmp_path, {"suite.py": text})
    with loaded(tmp_path) as suite:
        own, its = identities(suite)
    task = task_of(Definition(benchmark=own, optimizer=its))
    with loaded(tmp_path) as suite:
        (update,) = updates(task, trainer(lambda: suite, "cpu"))
    assert isinstance(update.update, RunResult)
    assert message in str(update.update.error)


def test_a_worker_that_has_other_packages_names_them(
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


NET = "from torch import nn\ndef make():\n    return nn.Linear(3, {width})\n"


def without_source(folder: Path, width: int) -> None:
    source = folder / "net.py"
    source.write_text(NET.format(width=width))
    py_compile.compile(str(source), cfile=str(folder / "net.pyc"), doraise=True)
    source.unlink()


def in_latin_1(folder: Path, width: int) -> None:
    text = f"# coding: latin-1\n{NET.format(width=width)}    'é'\n"
    (folder / "net.py").write_bytes(text.encode("latin-1"))


def in_an_archive(folder: Path, width: int) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("net.py", NET.format(width=width))


@pytest.mark.parametrize(
    "write_net",
    [without_source, in_latin_1, in_an_archive],
    ids=lambda write_net: write_net.__name__,
)
@pytest.mark.parametrize(
    "text", ["from net import make as model\n", "import net\nmodel = lambda: net.make()\n"]
)
def test_modules_of_any_kind_of_file_are_described(
    tmp_path: Path, write_net: Callable[[Path, int], None], text: str
) -> None:
    found = []
    with_archive = "import sys\nsys.path.append(__file__.replace('suite.py', 'archive.zip'))\n"
    for version, width in enumerate((4, 4, 5)):
        folder = tmp_path / str(version)
        write(folder, {"suite.py": with_archive + text})
        write_net(folder, width)
        found.append(digests(folder))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
