"""Broken benchmarks and optimizers are reported by name, and the others finish."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY
from suites import broken
from support.commands import Call

import optsuite
from optsuite.campaign import study

BROKEN_SUITE = """
from dataclasses import replace
from suites.broken import *
names = {names}
SUITE = replace(SUITE, benchmarks=tuple(b for b in SUITE.benchmarks if b.name in names))
"""


def test_broken_benchmarks_are_reported_by_name_and_the_others_finish(
    empty: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "STARTING_SECONDS", 8.0)
    monkeypatch.setattr(study, "TIMEOUT_FACTOR", 0.0)  # the timeout depends on no machine then
    breaking = ("raises", "never_ends", "dies", "dies_once", "not_a_number", "wrong_shape")
    names = (*breaking, "tiny_line")
    assert set(names) <= {benchmark.name for benchmark in broken.SUITE.benchmarks}
    (empty.parent / "night.py").write_text(BROKEN_SUITE.format(names=names))
    suite = str(empty.parent / "night.py")
    code, out, err = call("run", "--suite", suite, "-o", "sgd", "--workers", "2")
    assert (code, err) == (1, "")
    lines = out.splitlines()

    def stopped(benchmark: str) -> str:
        start = f"{benchmark} sgd stopped: "
        return next(line for line in lines if line.startswith(start))

    assert "Broken not_a_number: benchmark not_a_number: its loss, given outputs" in out
    assert "returned nan before training; it must be finite there" in out
    given = "given outputs (16, 2) and targets (16, 1),"
    assert f"Broken wrong_shape: benchmark wrong_shape: its loss, {given}" in out
    assert "failed: ValueError: no more (broken.py, line " in stopped("raises")
    assert "failed: it reported nothing for 8 seconds" in stopped("never_ends")
    assert "failed: its worker died with exit code 3" in stopped("dies")
    runs = optsuite.runs()
    sound = runs[(runs["kind"] == "study") & (runs["outcome"] == "finished")]
    assert set(sound["benchmark"]) == {"dies_once", "tiny_line"}
    assert len(sound) == 2
    assert (empty / "died").exists()
    page = Path("mlruns/report/index.html").read_text()
    assert "Broken wrong_shape" in page
    code, _, err = call("run", "--suite", suite, "-b", "wrong_shape")
    assert (code, err.count("\n")) == (2, 1)  # asked for by name, it is an error


def test_optimizer_that_breaks_leaves_the_others_alone(empty: Path, call: Call) -> None:
    build = "return SignDescent(model"
    text = TINY.read_text().replace(build, f"raise KeyError('x')\n    {build}")
    text += "\nfrom dataclasses import replace\n"
    text += "other = replace(BENCHMARK, name='other')\n"
    text += "SUITE = replace(SUITE, benchmarks=(BENCHMARK, other), n_trials=2, n_seeds=2)\n"
    path = empty.parent / "odd.py"
    path.write_text(text)
    code, out, _ = call("run", "--suite", str(path), "--workers", "1")
    assert code == 1
    expected = "optimizer sign on benchmark other: its build raised KeyError: 'x'"
    assert f"Broken other sign: {expected}" in out
    runs = optsuite.runs()
    assert set(runs["optimizer"]) == {"sgd"}
    assert set(runs["benchmark"]) == {"tiny_line", "other"}


def test_broken_optimizer_leaves_the_report_until_it_can_be_trained_again(
    empty: Path, call: Call
) -> None:
    path = empty.parent / "odd.py"
    smaller = "from dataclasses import replace\nSUITE = replace(SUITE, n_trials=2, n_seeds=2)\n"
    sound = f"{TINY.read_text()}\n{smaller}"
    for text, code, optimizers in (
        (sound, 0, {"sgd", "sign"}),
        (sound.replace("return SignDescent(model", "return SignDescent(modle"), 1, {"sgd"}),
        (sound, 0, {"sgd", "sign"}),
    ):
        path.write_text(text)
        found, out, _ = call("run", "--suite", str(path), "--workers", "1")
        assert found == code, out
        assert set(optsuite.runs()["optimizer"]) == optimizers
        assert set(pd.read_csv("mlruns/report/leaderboard.csv")["optimizer"]) == optimizers
        assert ("leave the report until they can be trained" in out) == (code == 1)
    assert "10 runs, 10 of them in the store already" in out
