"""What the README tells people to do works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROGRAM = Path(sys.executable).with_name("optsuite")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_suite_of_the_readme_runs_and_the_notebook_reads_it(tmp_path: Path) -> None:
    suite, notebook = PYTHON
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mysuite.py").write_text(suite)
    folder = tmp_path / "here"
    folder.mkdir()
    command = [str(PROGRAM), "run", "--suite", str(elsewhere / "mysuite.py"), "--trials", "2", "--seeds", "2"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert "iris_mlp" in run.stdout
    code = notebook + "assert set(table['optimizer']) == {'adam', 'nesterov'}\nassert len(runs) == 2 * (1 + 2 + 2 + 2)\n"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=120)
    assert [path.name for path in folder.iterdir()] == ["mlruns"]


@pytest.mark.parametrize("target", re.findall(r"^ +make (\w+)", README, flags=re.MULTILINE))
def test_make_knows_the_targets(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", re.findall(r"^ +optsuite (.*?) *(?:#.*)?$", README, flags=re.MULTILINE))
def test_the_command_line_knows_the_options(line: str) -> None:
    command, *arguments = line.split()
    text = subprocess.run([PROGRAM, command, "--help"], check=True, capture_output=True, text=True).stdout
    for option in (argument for argument in arguments if argument.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", text), f"optsuite {command} has no {option}"


def test_the_leaderboard_has_all_optimizers_of_the_suite() -> None:
    for optimizer in ("sgd", "momentum", "adam", "adamw", "adagrad", "rmsprop"):
        assert re.search(rf"\| *\d *\| *{optimizer} ", README)
