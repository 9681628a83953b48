"""The Python interface: from a script, with a suite in no file, and with values for names."""

import importlib
import pkgutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch.nn.functional as F
from conftest import TINY
from suites import tiny
from support.commands import Call
from support.edits import edits
from torch import nn

import optsuite
from optsuite.campaign.events import Event, Prepared, Ready, RunEnded, StudyEnded
from optsuite.errors import InputError
from optsuite.execution import open_pool
from optsuite.execution.inline import InlinePool
from optsuite.execution.local.pool import LocalPool
from optsuite.execution.options import ExecutionOptions
from optsuite.execution.suite_source import pickled

SMALL = replace(tiny.SUITE, n_trials=2, n_seeds=2)
ONE = ExecutionOptions(workers=1)
LOCAL = replace(SMALL, benchmarks=(replace(tiny.BENCHMARK, model=lambda: nn.Linear(3, 1)),))


def test_run_returns_what_the_commands_write(folder: Path) -> None:
    events: list[Event] = []
    result = optsuite.run(SMALL, options=ONE, listener=events.append)
    assert result.outcome == "done"
    beginning = [type(event) for event in events if isinstance(event, Prepared | Ready)]
    assert beginning == [Prepared, Ready]
    n_runs = len(result.runs.query("kind != 'study'"))
    assert sum(isinstance(event, RunEnded) for event in events) == n_runs
    assert sum(isinstance(event, StudyEnded) for event in events) == 2
    written = pd.read_csv("mlruns/report/leaderboard.csv")
    scores = result.leaderboard["score"].tolist()
    assert written["score"].tolist() == pytest.approx(scores, rel=1e-5)
    assert set(result.verdicts["verdict"]) <= {"better", "worse", "tied", "open"}
    assert len(result.verdicts) == 2
    assert len(result.overall) == 2
    assert set(result.curves["run_id"]) == set(result.runs["run_id"])
    assert result.report is not None
    assert result.report.page.is_file()
    assert len(optsuite.leaderboard()) == len(result.leaderboard)
    assert len(optsuite.leaderboard(optsuite.runs())) == len(result.leaderboard)
    preview = optsuite.preview(SMALL, options=ONE)
    assert sum(preview.n_missing.values()) == 0


def test_file_pickled_and_inline_suites_give_the_same_bytes(folder: Path) -> None:
    tables = []
    for campaign, suite in (("file", str(TINY)), ("pickled", tiny.SUITE), ("inline", LOCAL)):
        optsuite.run(suite, n_trials=2, n_seeds=2, campaign=campaign, options=ONE)
        tables.append(Path("mlruns/report/leaderboard.csv").read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_suite_is_pickled_where_another_process_can_import_its_parts() -> None:
    assert pickled(SMALL) is not None
    assert pickled(LOCAL) is None
    with open_pool(SMALL, ONE) as pool:
        assert isinstance(pool, LocalPool)
    with open_pool(LOCAL, ONE) as pool:
        assert isinstance(pool, InlinePool)
    with pytest.raises(InputError, match=r"^--ray: parts of this suite were made in a notebook"):
        open_pool(LOCAL, ExecutionOptions(ray="auto"))


def test_optimizer_given_as_a_value_is_compared(folder: Path) -> None:
    own = replace(tiny.SUITE.optimizers[1], name="mine")
    result = optsuite.run(SMALL, optimizers=["sgd", own], options=ONE)
    assert set(result.leaderboard["optimizer"]) == {"sgd", "mine"}


def test_metric_of_a_benchmark_comes_back_and_is_sealed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    benchmark = replace(tiny.BENCHMARK, metrics={"mae": F.l1_loss})
    result = optsuite.run(replace(SMALL, benchmarks=(benchmark,)), options=ONE)
    assert (result.leaderboard["test_mae"] > 0).all()
    assert "test_mae" in pd.read_csv("mlruns/report/leaderboard.csv")
    with closing(sqlite3.connect("mlruns/mlflow.db")) as connection, connection:
        update = "UPDATE latest_metrics SET value = 7 WHERE key = 'best/test_mae'"
        assert connection.execute(update).rowcount > 4
    optsuite.runs()
    assert "its tags, params or summaries have been edited" in caplog.text


def test_train_compare_report_and_nightly_from_python(folder: Path) -> None:
    trained = optsuite.train("tiny_line", "sgd", lr=0.1, seeds=[0, 1], suite=SMALL, options=ONE)
    assert trained.leaderboard[["verdict", "seeds"]].to_numpy().tolist() == [["manual", 2]]
    for night in ("one", "two"):
        result = optsuite.nightly(SMALL, campaign=night, options=ONE)
    on_tuning = replace(SMALL, first_seed=1000, first_tuning_seed=5000)
    on_others = replace(SMALL, first_seed=50)
    for suite, reason in (
        (on_tuning, "tuned its rates on seeds of this one"),
        (on_others, "evaluated none of the seeds of this one"),
    ):
        with pytest.raises(InputError, match=f"night one {reason}; use --retune"):
            optsuite.nightly(suite, campaign="three", options=ONE)
    assert (result.state, result.baseline) == ("compared", "one")
    assert result.page is not None
    assert optsuite.compare("one", "two").is_worse == (result.outcome == "failed")
    assert optsuite.report("one", report_folder=folder / "again").page.is_file()
    assert set(optsuite.curves("one").columns) == {"run_id", "curve", "step", "value"}


def test_script_without_a_guard_trains_in_worker_processes(folder: Path) -> None:
    Path("script.py").write_text(
        f"import optsuite\n"
        f"result = optsuite.run({str(TINY)!r}, n_trials=2, n_seeds=1)\n"
        f"print(result.outcome, len(result.leaderboard))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "done 3\n"


def test_script_that_calls_a_module_of_the_suite_gives_runs_that_the_command_reuses(
    folder: Path, call: Call
) -> None:
    edit = next(edit for edit in edits("modules") if edit.name == "module")
    edit.write(folder, after=False)
    with Path("net.py").open("a") as file:
        file.write("def hello():\n    print('hello')\n")
    Path("script.py").write_text(
        "import net, optsuite, suite\n"
        "net.hello()\n"
        'if __name__ == "__main__":\n'
        '    print(optsuite.run(suite.SUITE, campaign="c").outcome)\n'
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "done", done.stderr
    code, out, _ = call("run", "--suite", "suite.py", "--campaign", "c", "--workers", "1")
    n_runs = 2 * 8 + 2 * 4 + 4
    assert (code, f"{n_runs} runs, {n_runs} of them in the store already" in out) == (0, True), out


def test_no_public_name_is_hidden_by_a_module(folder: Path) -> None:
    for module in pkgutil.walk_packages(optsuite.__path__, "optsuite."):
        if not any(part in module.name for part in ("ray", "cluster", "__main__")):
            importlib.import_module(module.name)
    functions: dict[str, Any] = {name: getattr(optsuite, name) for name in optsuite.__all__}
    training = ("run", "train", "nightly", "preview")
    reading = ("report", "compare", "runs", "curves", "leaderboard")
    for name in (*training, *reading, "delete", "clean"):
        assert callable(functions[name]), name
    with pytest.raises(InputError):
        functions["runs"]("nothing")
