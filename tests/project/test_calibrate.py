"""The calibration tunes cells anew, keeps what it trained, and tells alarms from agreement."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calibrate.cells import Tuning
from calibrate.judge import Judged, bootstrap_alarms, judge

from optsuite.training.results import RunScore

ROOT = Path(__file__).parents[2]
LOOKS = (12, 24, 36)


def tuning(values: np.ndarray, lr: float = 0.1) -> Tuning:
    scores = [RunScore(outcome="finished", value=value, initial_loss=9.0) for value in values]
    return Tuning(lr=lr, scores=scores, reference=scores[:12])


def test_tunings_that_differ_are_alarms_and_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    seeds = 1 + 0.05 * rng.normal(size=36)

    def noisy(factor: float) -> Tuning:
        return tuning(seeds * factor * (1 + 0.01 * rng.normal(size=36)))

    others = {"other": [noisy(1.5) for _ in range(3)]}
    alike = judge(
        {"own": [noisy(1.0) for _ in range(3)], **others}, "own", tolerance=0.01, looks=LOOKS
    )
    assert list(alike.alarms.values()) == [False] * 3
    assert max(alike.regrets) < 0.02
    apart = judge(
        {"own": [noisy(1.0), noisy(1.0), noisy(1.2)], **others}, "own", tolerance=0.01, looks=LOOKS
    )
    assert [apart.alarms[pair] for pair in ((0, 1), (0, 2), (1, 2))] == [False, True, True]
    assert apart.regrets[2] == pytest.approx(0.2, abs=0.03)
    assert apart.covered[2] is False
    mean, low, high = bootstrap_alarms([alike, apart], 3)
    assert mean == pytest.approx(2 / 6)
    assert low <= mean <= high


def test_no_alarms_have_an_interval_at_zero() -> None:
    calm = Judged(alarms={(0, 1): False}, regrets=[0.0, 0.0], covered=[True, True])
    assert bootstrap_alarms([calm], 2)[0] == 0


def test_command_prints_a_table_and_trains_nothing_twice(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'scripts'}"}
    command = [sys.executable, "-m", "calibrate", "--suite", "smoke", "-b", "diabetes_mlp"]
    command += ["-o", "sgd", "--tunings", "2", "--trials", "3", "--reference-seeds", "2"]
    command += ["--workers", "1", "--folder", str(tmp_path)]

    def calibrate() -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    out = calibrate()
    assert "2 tunings of each of 1 cells" in out
    assert "| diabetes_mlp | sgd" in out
    assert "Alarms: " in out
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    file.write_text(text[: len(text) // 2])  # as a kill may leave it
    assert calibrate() == out
    again = file.read_text().splitlines()
    assert sorted(again) == sorted(text.splitlines())
    assert len({line.split(' "outcome"')[0] for line in again}) == len(again)  # rates and seeds
