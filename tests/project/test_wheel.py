"""The wheel, installed alone, gives in any folder what a clone gives."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.commands import Call

ROOT = Path(__file__).parents[2]
BROKEN = "raise RuntimeError('imported')\n"
README = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
SHORT = ("--trials", "2", "--seeds", "2", "--workers", "1")
SAME = ("leaderboard.csv", "leaderboard.md", "verdicts.json", "learning_rates.csv")

# Commands in one process that has the current folder first on the import path.
COMMANDS = """
import json, sys
from optsuite.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
"""
DEFINITIONS = """
import json
import optsuite.benchmarks
from optsuite.training.canonical.descriptions import Descriptions, benchmark_parts
from optsuite.training.canonical.names import Names

def definitions(suite):
    described = Descriptions(suite, Names)
    return {
        f"{benchmark.name} {name}": described.of(part, name).text
        for benchmark in suite.benchmarks
        for name, part in benchmark_parts(benchmark).items()
    }

found = definitions(optsuite.benchmarks.SUITES["full"])
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, the packages of this one, and no clone."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    uv("build", "--wheel", "--out-dir", folder, ROOT)
    uv("venv", "--python", sys.executable, environment)
    (wheel,) = folder.glob("*.whl")
    uv("pip", "install", "--no-deps", "--python", environment / "bin" / "python", wheel)
    (site,) = environment.glob("lib/python*/site-packages")
    # The .pth files of the folder that is named here, such as that of the clone, are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def uv(*arguments: str | Path) -> None:
    """Run uv on what `make setup` has left in its cache."""
    program = Path(sys.executable).with_name("uv")
    subprocess.run([program, "--quiet", "--offline", *arguments], check=True)


def output(folder: Path, program: Path, *arguments: str) -> str:
    """What a program prints in a folder, with nothing else on the import path."""
    own = dict(os.environ)
    for name in ("PYTHONPATH", "MLFLOW_TRACKING_URI"):
        own.pop(name, None)
    command = [str(program), *arguments]
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_wheel_has_every_benchmark_once(programs: Path) -> None:
    (wheel,) = programs.parents[1].glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    own = {f"optsuite/benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")}
    assert own == {name for name in names if "benchmarks/" in name}
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"optsuite"}


def test_commands_work_beside_a_package_named_benchmarks(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text(BROKEN)
    commands = [["list"], ["run", "--suite", "smoke", "--dry-run"]]
    out = output(tmp_path, programs / "python", "-c", COMMANDS, json.dumps(commands))
    assert "smoke: digits_logreg, digits_mlp, diabetes_mlp" in out
    assert "576 runs" in out
    assert [path.name for path in tmp_path.iterdir()] == ["benchmarks"]


def test_run_beside_a_namespace_equals_a_clone(programs: Path, folder: Path, call: Call) -> None:
    elsewhere = folder / "elsewhere"
    shutil.copytree(folder / "mlruns", elsewhere / "mlruns")  # an empty store
    (elsewhere / "benchmarks").mkdir()
    (elsewhere / "benchmarks" / "digits_logreg.py").write_text(BROKEN)
    arguments = ("run", "-b", "digits_logreg@20", "-o", "sgd", *SHORT)
    output(elsewhere, programs / "optsuite", *arguments)
    code, _, err = call(*arguments)
    assert (code, err) == (0, "")
    for name in SAME:
        report = Path("mlruns/report", name)
        assert (elsewhere / report).read_bytes() == report.read_bytes()
    assert fingerprints(elsewhere) == fingerprints(folder)
    assert len(fingerprints(folder)) == 2 + 4 * 6 + 2 + 2 + 1


def fingerprints(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as connection:
        query = "SELECT value FROM tags WHERE key = 'optsuite.fingerprint' ORDER BY value"
        return [value for (value,) in connection.execute(query)]


def test_definitions_beside_benchmarks_py_are_shared(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "benchmarks.py").write_text(BROKEN)
    code = f"{DEFINITIONS}\nprint(json.dumps(found))"
    found = json.loads(output(tmp_path, programs / "python", "-c", code))
    scope: dict[str, Any] = {}
    exec(DEFINITIONS, scope)
    assert found == scope["found"]
    assert len(found) > 13


def test_files_of_the_readme_run_in_an_empty_folder(programs: Path, folder: Path) -> None:
    benchmark, optimizer, _ = README
    (folder / "mybenchmark.py").write_text(benchmark)
    (folder / "myoptimizer.py").write_text(optimizer)
    one = ("--workers", "1")
    commands = [
        ["run", "--suite", "mybenchmark.py", "-o", "adam", *SHORT],
        ["train", "digits_logreg@20", "amsgrad", "--suite", "myoptimizer.py", "--lr", "0.01", *one],
    ]
    preview = "optsuite.preview('smoke', benchmarks=['diabetes_mlp'])"
    code = f"import optsuite\nprint({preview}.n_missing)\n{COMMANDS}"
    out = output(folder, programs / "python", "-c", code, json.dumps(commands))
    assert "{'diabetes_mlp': 192}" in out
    assert "iris_mlp" in out
    assert "amsgrad" in out
