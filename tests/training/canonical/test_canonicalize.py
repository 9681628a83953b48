"""Identity follows the code: what changes a curve changes the description, nothing else does."""

import json
import os
import py_compile
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
CHANGING = (
    edits("modules") + edits("classes") + edits("functions") + edits("hidden") + edits("reached")
)
COARSE = {
    "operation_registered_with_torch",
    "divergence_registered_with_torch",
}  # concern all that is in their file
OF_ENVIRONMENT = {
    "default_dtype"
}  # a suite that sets what torch computes with is the same task elsewhere
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


def test_there_are_enough_kinds_of_edits() -> None:
    assert len(CHANGING) >= 49


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder for each suite that the edits are of."""
    folder = tmp_path_factory.mktemp("suites")
    return [
        edit.write(folder / edit.name, after=False).parent for edit in CHANGING[::8]
    ]  # each takes a second


def test_another_process_finds_the_same_whatever_its_hash_seed(folders: list[Path]) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "identities", *map(str, folders)]
    there = json.loads(
        subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    )
    assert [folder.name for folder in folders if there[str(folder)] != digests(folder)] == []


def test_what_was_built_and_trained_before_changes_nothing(folders: list[Path]) -> None:
    changed = []
    for folder in folders:
        with loaded(folder) as suite:
            before = identities(suite)
            use(suite)
            changed += [] if identities(suite) == before else [folder.name]
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
        assert (
            described.of(replace(benchmark, name="b@3", max_steps=3).model, "its model") == before
        )
        assert Descriptions(suite).of(benchmark.model, "its model") != before


def test_a_part_that_cannot_be_described_harms_nobody_until_it_is_asked_for(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "suite.py": "import threading\nfrom functools import partial\nmodel = partial(print, threading.Lock())\n"
        },
    )
    with loaded(tmp_path) as suite:
        described = Descriptions(suite)
        identify_optimizer(suite.optimizers[-1], described)
        with pytest.raises(
            InputError,
            match=r"^benchmark b: its model: argument 0: got a value of type lock, which cannot",
        ):
            described.of(suite.benchmarks[0].model, "benchmark b: its model")


HIDDEN = {
    "namespace": (
        "def model():\n    return nn.Linear(3, globals()['WI' + 'DTH'])\nWIDTH = 4\n",
        "suite.py",
        "WIDTH = 4",
        "WIDTH = 5",
    ),
    "computed_name": (
        "import importlib\ndef model():\n    return nn.Linear(3, importlib.import_module('benchmarks.' + 'net').WIDTH)\n",
        *("net.py", "WIDTH = 4", "WIDTH = 5"),
    ),
    "patch": (
        "from benchmarks import net, patch\ndef model():\n    return net.make()\n",
        *("patch.py", "WIDTHS.append(4)", "WIDTHS.append(5)"),
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_the_benchmarks_of_a_person_are_described_as_any_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, edited, old, new = HIDDEN[name]
    net = "from torch import nn\nWIDTH = 4\nWIDTHS = []\ndef make():\n    return nn.Linear(3, WIDTHS[-1])\n"
    patch = "from benchmarks import net\nnet.WIDTHS.append(4)\n"
    others = {
        known: sys.modules.pop(known)
        for known in list(sys.modules)
        if known.partition(".")[0] == "benchmarks"
    }
    found = []
    for version in (0, 1, 2):
        folder = tmp_path / str(version) / "benchmarks"
        write(
            folder,
            {
                "suite.py": text,
                "net.py": net,
                "patch.py": patch,
                "__init__.py": "from benchmarks.suite import SUITE\n",
            },
        )
        if version == 2:
            (folder / edited).write_text((folder / edited).read_text().replace(old, new))
        monkeypatch.chdir(folder.parent)
        suite = load_suite("benchmarks")
        found.append(Descriptions(suite).of(suite.benchmarks[0].model, "its model"))
        for known in [known for known in sys.modules if known.partition(".")[0] == "benchmarks"]:
            del sys.modules[known]
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
    write(
        tmp_path,
        {
            "suite.py": "def model():\n    return globals() and eval('1')\nload = eval\n",
            "a/net.py": "",
            "b/net.py": "",
        },
    )
    with loaded(tmp_path) as suite, pytest.raises(InputError) as error:
        Descriptions(suite).of(suite.benchmarks[0].model, "its model")
    assert str(error.value).startswith("its model: modules are imported by computed names")
    assert f"any file below {tmp_path} may be one of them, but it holds {found}; move" in str(
        error.value
    )


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
        "import uuid\nK = uuid.uuid4()\ndef build(model, lr):\n    return K, torch.optim.SGD(model.parameters(), lr=lr)\n",
        "optimizer own: its build differs each time that the suite is loaded, or its file changed",
    ),
    "data": (
        "import uuid\ndef line():\n    x = torch.randn(64, 3) + uuid.uuid4().int % 10**6 / 10**6\n    y = x[:, :1]\n"
        "    return Splits(train=(x, y), validation=(x, y), test=(x, y))\n",
        "benchmark b: its data differ each time that they are made; seed a generator inside the function",
    ),
}


@pytest.mark.parametrize("part", UNLIKE)
def test_a_worker_that_finds_something_else_names_the_part(tmp_path: Path, part: str) -> None:
    text, message = UNLIKE[part]
    write(tmp_path, {"suite.py": text})
    with loaded(tmp_path) as suite:
        own, its = identities(suite)
    run = Run(benchmark="b", optimizer="own", lr=0.1, seed=0, kind="trial")
    task = Task(
        id=1,
        priority=0,
        engine="plain",
        definition=Definition(benchmark=own, optimizer=its),
        runs=(run,),
    )
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
        run = Run(benchmark="b", optimizer="own", lr=0.1, seed=0, kind="trial")
        task = Task(
            id=1,
            priority=0,
            engine="plain",
            definition=Definition(benchmark=own, optimizer=its),
            runs=(run,),
        )
        monkeypatch.setattr(torch, "__version__", "2.0.0")
        (update,) = updates(task, trainer(lambda: suite, "cpu"))
    assert isinstance(update.update, RunResult)
    expected = f"benchmark b: this worker's environment differs from the driver's: torch (2.0.0 instead of {TORCH}); use the same"
    assert expected in str(update.update.error)


NET = "from torch import nn\ndef make():\n    return nn.Linear(3, {width})\n"


def without_source(folder: Path, width: int) -> None:
    source = folder / "net.py"
    source.write_text(NET.format(width=width))
    py_compile.compile(str(source), cfile=str(folder / "net.pyc"), doraise=True)
    source.unlink()


def in_latin_1(folder: Path, width: int) -> None:
    (folder / "net.py").write_bytes(
        f"# coding: latin-1\n{NET.format(width=width)}    'é'\n".encode("latin-1")
    )


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
    for version, width in enumerate((4, 4, 5)):
        folder = tmp_path / str(version)
        write(
            folder,
            {
                "suite.py": "import sys\nsys.path.append(__file__.replace('suite.py', 'archive.zip'))\n"
                + text
            },
        )
        write_net(folder, width)
        found.append(digests(folder))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
