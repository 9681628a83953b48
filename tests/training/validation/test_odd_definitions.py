"""An odd definition is reported as broken by name and does not stop the others."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from conftest import TINY
from suites import tiny
from support.commands import Call
from support.frames import seeds
from support.reports import made

from optsuite.campaign.prepare import prepare
from optsuite.campaign.runner import studies_of
from optsuite.cli.console import Output, console
from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.names import RUN_PARAMS
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError
from optsuite.execution.pool import RunUpdate, Task
from optsuite.execution.worker import updates
from optsuite.reporting.write import _csv
from optsuite.training import stacked
from optsuite.training.canonical.descriptions import Descriptions, Identity
from optsuite.training.engines import PLAIN, STACKED
from optsuite.training.equivalence.check import LACKS
from optsuite.training.identity import define, identify_optimizer
from optsuite.training.results import Run, RunResult

SPEC = tiny.SUITE.optimizers[1]


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def leave(*arguments: object) -> NoReturn:
    sys.exit(0)


def fall(*arguments: object) -> NoReturn:
    raise OddError


def recurse(*arguments: object) -> NoReturn:
    recurse(*arguments)
    raise AssertionError


@pytest.mark.parametrize("function", [leave, fall, recurse])
@pytest.mark.parametrize("part", ["dataset", "model", "loss", "build"])
def test_definition_that_raises_is_skipped_alone(part: str, function: Any) -> None:
    odd = tiny.SUITE
    if part == "build":
        odd = replace(odd, optimizers=(tiny.SUITE.optimizers[0], replace(SPEC, build=function)))
    else:
        broken = replace(tiny.BENCHMARK, name="odd", **{part: function})
        odd = replace(odd, benchmarks=(broken, tiny.BENCHMARK), optimizers=odd.optimizers[:1])
    problems, skipped = prepare(odd, device="cpu")
    assert [problem.benchmark.name for problem in problems] == ["tiny_line"]
    (one,) = skipped
    assert str(one).startswith("Broken tiny_line sign: " if part == "build" else "Broken odd: ")
    assert "\n" not in str(one)


def test_optimizer_that_cannot_be_described_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def identify(spec: OptimizerSpec, described: Descriptions) -> Identity:
        if spec.name == "sign":
            raise OSError("could not get source code")
        return identify_optimizer(spec, described)

    monkeypatch.setattr("optsuite.campaign.planning.identify_optimizer", identify)
    problems, (one,) = prepare(tiny.SUITE, device="cpu")
    assert list(problems[0].plans) == ["sgd"]
    assert "OSError: could not get source code" in str(one)


def test_run_that_exits_fails_and_its_worker_survives() -> None:
    run = Run(benchmark="b", optimizer="o", lr=0.1, seed=0, kind="trial")
    definition = define(tiny.BENCHMARK, tiny.SUITE.optimizers[0], tiny.line())
    task = Task(id=1, priority=0, engine="plain", definition=definition, runs=(run, run))
    found = [update.update for update in updates(task, leave) if isinstance(update, RunUpdate)]
    outcomes = [update.outcome for update in found if isinstance(update, RunResult)]
    assert outcomes == ["failed", "failed"]
    assert "SystemExit" in str(found[0])


@pytest.mark.parametrize(
    "fixed",
    [
        {"a" * 251: 1},
        {"": 1},
        {"a\n": 1},
        {"a=b": 1},
        {"../a": 1},
        {"/a": 1},
        {"a//b": 1},
        {"a/": 1},
        {3: 1},
        {"beta": "x" * 6_001},
        {"beta": OddError()},
        {"torch_version": "1"},
        {"optuna_version": "1"},
        {"machine": 1},
        ["beta"],
    ],
)
def test_fixed_value_that_the_store_would_refuse_is_refused_when_defined(
    fixed: Any,
) -> None:
    with pytest.raises(InputError, match="optimizer sign: fixed") as error:
        replace(SPEC, fixed=fixed)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 500


def test_params_of_a_study_are_reserved_names() -> None:
    problems, _ = prepare(replace(tiny.SUITE, optimizers=(SPEC,)), device="cpu")
    (study,) = studies_of(replace(tiny.SUITE, optimizers=(SPEC,)), problems, device="cpu")
    assert set(study.params()) | set(study.budget()) <= RUN_PARAMS


@pytest.mark.parametrize("name", ["m" * 201, "", ".", "..", "a/b", "loss", "a\n", "é"])
def test_metric_name_that_the_store_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="metric name: got"):
        replace(tiny.BENCHMARK, metrics={name: tiny.BENCHMARK.loss})
    replace(tiny.BENCHMARK, metrics={"m" * 200: tiny.BENCHMARK.loss})


@pytest.mark.parametrize(
    "change",
    [{"n_trials": 10**20}, {"n_trials": 1_001}, {"n_tuning_seeds": 10**9}, {"n_seeds": 10**20}],
)
def test_number_above_its_upper_bound_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match="allowed: a whole number from 1 to 1000"):
        replace(tiny.SUITE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["--trials", "--seeds", "--workers"])
def test_command_line_number_above_its_upper_bound_is_refused(
    empty: Path, call: Call, option: str
) -> None:
    code, _, err = call("run", "--suite", str(TINY), option, "9" * 20)
    assert (code, err.count("\n")) == (2, 1)
    assert option in err


def test_optimizer_named_all_is_refused() -> None:
    with pytest.raises(InputError, match="optimizer name: got 'all'"):
        replace(SPEC, name="all")


HOSTILE = "a\x1b[31m\x07\u202e\rb\n% c"


def test_terminal_escapes_control_characters_from_a_store(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console().print(HOSTILE, markup=False)
    assert not set(capsys.readouterr().out) & set("\x1b\x07\u202e\r")


@pytest.mark.parametrize("cell", ["=cmd()", "+1", "-o", "@SUM(1)", "\t=1", "\r=1"])
def test_csv_cell_that_looks_like_a_formula_is_quoted(cell: str) -> None:
    table = pd.DataFrame({"error": [cell, "fine"], "score": [-1.5, 2.0]})
    _, first, second = _csv(table).splitlines()
    assert first.startswith("'")
    assert (first.endswith(",-1.5"), second) == (True, "fine,2")


def test_name_with_line_breaks_stays_inside_its_comment_or_cell(tmp_path: Path) -> None:
    rows = [row | {"benchmark": HOSTILE} for row in seeds("a", [1.0, 2.0])]
    made(tmp_path, *rows)
    lines = (tmp_path / "leaderboard.tex").read_text().splitlines()
    (comment,) = [line for line in lines if line.startswith("% a")]
    assert comment.endswith("% c")
    assert "\n% c" not in (tmp_path / "leaderboard.md").read_text()


def test_full_standard_output_does_not_stop_the_command() -> None:
    say = "print('x' * 9999, flush=True); print('y'); sys.exit(3)"
    script = f"import sys; from optsuite.cli.console import guard_output; guard_output(); {say}"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 3
    assert done.stderr == (
        "optsuite: standard output cannot be written to (No space left on device); "
        "continuing without it\n"
    )


def test_output_error_unrelated_to_the_disk_is_raised() -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with pytest.raises(OSError, match="Invalid"):
        Output(Broken()).write("x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "is_broken"), [(RuntimeError("odd"), True), (MemoryError("odd"), False)]
)
def test_optimizer_that_cannot_be_timed_is_skipped_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_broken: bool
) -> None:
    def fails(benchmark: Benchmark, spec: OptimizerSpec, *arguments: Any, **keywords: Any) -> Any:
        if spec.name == "sign":
            raise error
        return stacked.train(benchmark, spec, *arguments, **keywords)

    monkeypatch.setattr(
        "optsuite.campaign.run_cost.ENGINES",
        {"plain": PLAIN, "stacked": replace(STACKED, train=fails)},
    )
    (problem,), skipped = prepare(tiny.SUITE, device="cpu", named=["tiny_line"])
    assert problem.plans["sgd"].engine == "stacked"
    assert problem.seconds_per_run > 0
    found = [(one.benchmark, one.optimizer) for one in skipped]
    sign_only = replace(tiny.SUITE, optimizers=tiny.SUITE.optimizers[1:])
    if is_broken:
        assert found == [("tiny_line", "sign")]
        with pytest.raises(InputError, match="optimizer sign on benchmark tiny_line"):
            prepare(sign_only, device="cpu")
    else:
        assert found == []
        assert problem.plans["sign"].reason == LACKS.format("memory")
        prepare(sign_only, device="cpu")
