"""What the README tells people to do works."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NIGHTS = (ROOT / "docs" / "nightly.md").read_text()
PROGRAM = Path(sys.executable).with_name("optsuite")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def optsuite(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        [PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


SHORT = ("--trials", "2", "--seeds", "2")


def test_benchmark_of_the_readme_runs_and_the_notebook_reads_it(tmp_path: Path) -> None:
    benchmark, _, notebook = PYTHON
    assert len(benchmark.splitlines()) <= 16
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "mybenchmark.py").write_text(benchmark)
    assert "iris_mlp" in optsuite(
        folder, "run", "--suite", str(elsewhere / "mybenchmark.py"), *SHORT
    )
    checks = (
        "assert set(table['optimizer']) == {'adam', 'muon'}\n"
        "assert len(runs) == 2 * (1 + 2 + 4 * 6 + 2 + 2)\n"
    )
    code = notebook + checks
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=300)
    assert [path.name for path in folder.iterdir()] == ["mlruns"]


def test_optimizer_of_the_readme_is_all_that_is_trained(tmp_path: Path) -> None:
    _, optimizer, _ = PYTHON
    definition = optimizer[optimizer.index("def ") :].splitlines()
    assert len(definition) <= 8
    (tmp_path / "myoptimizer.py").write_text(optimizer)
    chosen = ("-b", "digits_logreg", "-o", "adam", *SHORT)
    assert "30 runs, 0 of them in the store already" in optsuite(tmp_path, "run", *chosen)
    both = ("run", "--suite", "myoptimizer.py", "-o", "amsgrad", *chosen)
    assert "60 runs, 30 of them in the store already" in optsuite(tmp_path, *both)


@pytest.mark.parametrize("target", re.findall(r"^ +make (\w+)", README, flags=re.MULTILINE))
def test_make_knows_the_targets(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@cache
def help_of(command: str) -> str:
    arguments = [str(PROGRAM), command, "--help"]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "line", re.findall(r"^ +optsuite (.*?) *(?:#.*)?$", README + NIGHTS, flags=re.MULTILINE)
)
def test_command_line_knows_the_options(line: str) -> None:
    command, *arguments = line.split()
    text = help_of(command)
    for option in (argument for argument in arguments if argument.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", text), f"optsuite {command} has no {option}"


def test_leaderboard_has_all_optimizers_of_the_suite() -> None:
    for optimizer in ("sgd", "momentum", "adam", "adamw", "adagrad", "rmsprop"):
        assert re.search(rf"\| *\d *\| *{optimizer} ", README)
