"""Modules are described in any folder, package, encoding or archive."""

import py_compile
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from support.edits import write
from support.identities import digests, loaded

from optsuite.errors import InputError
from optsuite.registry import load_suite
from optsuite.training.canonical import imports
from optsuite.training.canonical.descriptions import Descriptions

pytestmark = pytest.mark.usefixtures("no_bytecode")

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
def test_folder_of_which_not_all_can_be_read_is_refused(
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
