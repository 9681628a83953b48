"""Modules of optsuite are described by public names, wherever their files are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.edits import write

from optsuite.training.canonical.canonicalize import canonicalize
from optsuite.training.canonical.contents import contents
from optsuite.training.canonical.names import PARTS, public_name

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("optsuite.models.simple", "optsuite.models"),
        ("optsuite.models", "optsuite.models"),
        ("optsuite.training.results", "optsuite"),
        ("optsuite.definition", "optsuite"),
        ("optsuite.benchmarks.digits_mlp", "benchmarks.digits_mlp"),
        ("benchmarks.digits_mlp", "benchmarks.digits_mlp"),
        ("optsuite.benchmarks", "benchmarks"),
        ("optsuite_of_mine.models.x", "optsuite_of_mine.models.x"),
        ("torch.nn", "torch.nn"),
    ],
)
def test_modules_of_optsuite_have_public_names(module: str, name: str) -> None:
    assert public_name(module) == name


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_optsuite_can_be_described_whole(part: str) -> None:
    found = contents(part)
    assert found
    assert canonicalize(found) == canonicalize(contents(part))


READERS = {
    "suite.py": """
import importlib
from optsuite import LogUniform as Interval
from optsuite.models import simple
from optsuite import Target, definitions
def model():
    from optsuite import models
    from optsuite.models import simple as inside
    module = importlib.import_module("optsuite" + ".data")
    return globals() and simple.mlp((3, 1)), inside, Interval, Target, definitions, module
"""
}
PROGRAM = """
import json, sys
from optsuite.registry import load_suite
from optsuite.training.canonical.descriptions import Descriptions, benchmark_parts, spec_parts
from optsuite.optimizers import OPTIMIZERS
from optsuite.training.canonical.canonicalize import canonicalize
def told(parts):
    return {name: canonicalize(part).text for name, part in parts.items()}
found = {}
suite = load_suite(sys.argv[1])
for benchmark in suite.benchmarks + suite.on_request:
    found[benchmark.name] = told(benchmark_parts(benchmark))
for name, spec in OPTIMIZERS.items():
    found[name] = told(spec_parts(spec))
own = load_suite(sys.argv[2])
found["own"] = told(benchmark_parts(own.benchmarks[0]) | spec_parts(own.optimizers[-1]))
print(json.dumps(found))
"""
# Files of optsuite, and their places in another arrangement.
MOVES = {
    "definitions/benchmark.py": "definitions/problem.py",
    "training/results.py": "training/run.py",
    "models/simple.py": "models/dense/layers.py",
    "optimizers/native.py": "optimizers/of_torch.py",
    "data/splitting.py": "data/parts.py",
}


def rearranged(folder: Path) -> None:
    """A copy of optsuite with its benchmarks inside, as in a wheel, and with files elsewhere."""
    package = folder / "optsuite"
    shutil.copytree(ROOT / "optsuite", package, ignore=shutil.ignore_patterns("__pycache__"))
    renamed = {'": "definitions.benchmark"': '": "definitions.problem"'}
    for old, new in MOVES.items():
        target = package / new
        target.parent.mkdir(exist_ok=True)
        (target.parent / "__init__.py").touch()
        (package / old).rename(target)
        modules = [path.removesuffix(".py").replace("/", ".") for path in (old, new)]
        renamed[f"from optsuite.{modules[0]} import"] = f"from optsuite.{modules[1]} import"
    renamed["from optsuite.optimizers import native, packaged"] = (
        "from optsuite.optimizers import of_torch as native, packaged"
    )
    (package / "models" / "simple.py").write_text("from optsuite.models.dense.layers import *\n")
    for path in package.rglob("*.py"):
        text = path.read_text()
        for old, new in renamed.items():
            text = text.replace(old, new)
        path.write_text(text)


def test_rearranged_optsuite_with_its_benchmarks_inside_has_the_same_tasks(
    tmp_path: Path,
) -> None:
    write(tmp_path / "own", READERS)
    rearranged(tmp_path / "copy")
    found = []
    for root, benchmarks in ((ROOT, "benchmarks"), (tmp_path / "copy", "optsuite.benchmarks")):
        command = [sys.executable, "-c", PROGRAM, benchmarks, str(tmp_path / "own" / "suite.py")]
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    differing = []
    for name, parts in found[0].items():
        for part in parts:
            if parts[part] != found[1][name][part]:
                differing.append((name, part))
    assert differing == []
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) > 30
