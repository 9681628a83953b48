"""The shape of the code: what is loaded when, and how large things are.

Who imports whom is in pyproject.toml.
"""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
from density import flaws
from support.package import FILES, ROOT

import optsuite


def test_every_folder_is_a_package() -> None:
    assert {path.parent for path in FILES} == {path.parent for path in ROOT.rglob("__init__.py")}


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_functions_and_lines_stay_short(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT.parent)
    assert not list(flaws(path.relative_to(ROOT.parent)))


def test_long_functions_and_lines_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    body = '    """Its docstring\n\n    does not count."""\n' + "    pass\n" * 40
    Path("long.py").write_text(f"def long():\n{body}" + "#" * 101 + "\n" * 210)
    assert list(flaws(Path("long.py"))) == [
        "long.py: 254 lines",
        "long.py:45: 101 columns",
        "long.py:1: long has 41 lines",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if part(path) in ("cli", "__main__"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("print", "exit", "sys.exit", "input"), f"{path.name} calls {name}"


def loaded(code: str) -> set[str]:
    """The packages that are loaded after running the code in a fresh process."""
    program = f"{code}\nimport sys\nprint('\\n'.join(m for m in sys.modules if '.' not in m))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_help_loads_nothing_slow() -> None:
    code = "from click.testing import CliRunner\nfrom optsuite.cli.main import cli\n"
    code += "CliRunner().invoke(cli, ['run', '--help'])"
    assert not loaded(code) & {
        "torch",
        "mlflow",
        "optuna",
        "pandas",
        "numpy",
        "rich",
        "sklearn",
        "scipy",
        "ray",
    }


def test_importing_optsuite_loads_nothing_and_exports_every_name() -> None:
    assert not loaded("import optsuite") & {"torch", "mlflow", "optuna", "pandas", "numpy"}
    assert all(getattr(optsuite, name) is not None for name in optsuite.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        optsuite.nothing  # noqa: B018


def test_type_checkers_know_every_public_name() -> None:
    (block,) = [
        node
        for node in ast.parse((ROOT / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    ]
    imported = [
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(set(imported) - {"Any"}) == sorted(optsuite.__all__)


def test_suite_imports_no_store_no_study_and_no_torchvision() -> None:
    assert not loaded("import benchmarks") & {
        "mlflow",
        "optuna",
        "pandas",
        "torchvision",
        "sklearn",
    }


def test_workers_load_no_store_and_no_study() -> None:
    code = (
        "from optsuite.execution.worker import trainer\n"
        "import benchmarks\n"
        "trainer(lambda: benchmarks.SUITE, 'cpu')"
    )
    assert not loaded(code) & {"mlflow", "optuna", "pandas", "torchvision"}


def test_help_answers_in_well_under_a_second() -> None:
    program = Path(sys.executable).with_name("optsuite")
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([program, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.8
