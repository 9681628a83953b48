"""The shape of the code: who imports whom, what is loaded when, and how large things are."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import optsuite

ROOT = Path(optsuite.__file__).parent
ORDER = (  # data flow from left to right; a module imports only from its own place or its left
    ("redact", "files"),
    ("errors", "schedules"),
    ("pairs", "target"),
    ("definition", "statistics"),
    ("data", "models", "optimizers"),
    ("imports",),
    ("suites",),
    ("training",),
    ("execution",),
    ("tuning",),
    ("tracking",),
    ("campaign",),
    ("report",),
    ("nightly",),
    ("notebook",),
    ("cli",),
    ("__main__",),
)
PLACE = {name: position for position, names in enumerate(ORDER) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
OWNERS = {  # of a package: parts, or single modules
    "mlflow": ("tracking",),
    "optuna": ("tuning",),
    "ray": ("execution/cluster.py", "execution/ray.py"),
    "click": ("cli",),
    "rich": ("cli",),
    "argparse": ("cli",),
}


def test_every_folder_is_a_package() -> None:
    assert {path.parent for path in FILES} == {path.parent for path in ROOT.rglob("__init__.py")}


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_only_from_their_left(path: Path) -> None:
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "optsuite" and rest.partition(".")[0] in PLACE:
            assert PLACE[rest.partition(".")[0]] <= PLACE[part(path)], f"{path.name} imports {name}"
        if package in OWNERS:
            assert {part(path), str(path.relative_to(ROOT))} & set(OWNERS[package]), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_short_and_only_the_command_line_prints_or_exits(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250
    if part(path) in ("cli", "__main__"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("print", "exit", "sys.exit", "input"), f"{path.name} calls {name}"


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in FILES} == set(PLACE)


def loaded(code: str) -> set[str]:
    """The packages that are loaded after running the code in a fresh process."""
    program = f"{code}\nimport sys\nprint('\\n'.join(m for m in sys.modules if '.' not in m))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_help_loads_nothing_slow() -> None:
    code = "from click.testing import CliRunner\nfrom optsuite.cli.commands import cli\n"
    code += "CliRunner().invoke(cli, ['run', '--help'])"
    assert not loaded(code) & {"torch", "mlflow", "optuna", "pandas", "numpy", "rich", "sklearn", "scipy", "ray"}


def test_importing_optsuite_loads_nothing_and_hands_on_every_name() -> None:
    assert not loaded("import optsuite") & {"torch", "mlflow", "optuna", "pandas", "numpy"}
    assert all(getattr(optsuite, name) is not None for name in optsuite.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        optsuite.nothing  # noqa: B018


def test_type_checkers_are_told_of_every_public_name() -> None:
    (block,) = [node for node in ast.parse((ROOT / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(set(imported) - {"Any"}) == sorted(optsuite.__all__)


def test_a_suite_needs_no_store_no_study_and_no_torchvision() -> None:
    assert not loaded("import benchmarks") & {"mlflow", "optuna", "pandas", "torchvision", "sklearn"}


def test_workers_load_no_store_and_no_study() -> None:
    code = "from optsuite.execution.worker import trainer\nimport benchmarks\ntrainer(lambda: benchmarks.SUITE, 'cpu')"
    assert not loaded(code) & {"mlflow", "optuna", "pandas", "torchvision"}


def test_help_answers_in_well_under_a_second() -> None:
    program = Path(sys.executable).with_name("optsuite")
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([program, "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.8
