"""Every example runs, on a budget that says nothing about its optimizers."""

from pathlib import Path

import pytest

import optsuite
from examples import from_python, own_optimizer
from optsuite import ExecutionOptions
from optsuite.testing import OptimizerContract

EXAMPLES = Path(__file__).parents[2] / "examples"
SUITES = {
    "own_benchmark.py": {"adam", "momentum"},
    "own_optimizer.py": {"adamw", "my_lion"},
}


class TestLion(OptimizerContract):
    spec = own_optimizer.LION


def test_every_example_is_tested() -> None:
    found = {path.name for path in EXAMPLES.glob("*.py")}
    assert found == {*SUITES, "from_python.py"}


@pytest.mark.parametrize("name", SUITES)
def test_suite_of_an_example_is_compared(name: str, folder: Path) -> None:
    one = ExecutionOptions(workers=1)
    result = optsuite.run(str(EXAMPLES / name), n_trials=2, n_seeds=2, options=one)
    assert result.outcome == "done"
    assert not result.skipped
    assert set(result.leaderboard["optimizer"]) == SUITES[name]
    assert set(result.verdicts["verdict"]) <= {"better", "worse", "tied", "open"}


def test_example_from_python_prints_its_leaderboard(folder: Path) -> None:
    text = from_python.main(n_trials=2, n_seeds=2)
    assert all(name in text for name in ("adam", "sgd", "amsgrad"))
    assert Path("mlruns/report/leaderboard.csv").is_file()
