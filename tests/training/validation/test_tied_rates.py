"""Tied learning rates resolve to the middle of the widest plateau, with a warning."""

import math

import pytest
from support.frames import frame, run, seeds, study

from optsuite.analysis.leaderboard import leaderboard
from optsuite.analysis.statements import warnings
from optsuite.tuning.search import Trial, best_rate, tied


@pytest.mark.parametrize(
    ("scores", "best", "n_tied"),
    [
        ({1e-4: 0, 1e-3: 0, 1e-2: 0, 1e-1: 0.2}, 1e-3, 3),
        ({1e-4: 0, 1e-3: 0.1, 1e-2: 0, 3e-2: 0, 1e-1: 0, 1: 0, 10: math.nan}, 1e-1, 5),
        ({1e-4: 0, 1e-3: 0.1, 1e-2: 0.1, 1: 0}, 1e-4, 2),
        ({1e-4: 0, 1e-3: math.nan, 1e-2: 0, 2e-2: 0}, 1e-2, 3),
        ({1e-4: 0.3, 1e-3: 0.1, 1e-2: 0.2}, 1e-3, 1),
        ({1e-4: math.nan, 1e-3: math.nan}, 1e-4, 0),
        ({0.01: 1.0, 0.0101: 1.0, 0.0102: 1.0, 0.1: 1.0}, 0.0102, 4),
    ],
)
def test_tied_rates_resolve_to_the_middle_of_the_widest_plateau(
    scores: dict[float, float], best: float, n_tied: int
) -> None:
    for order in (1, -1):
        trials = [Trial(lr=lr, score=score) for lr, score in list(scores.items())[::order]]
        assert best_rate(trials) == best
        assert len(tied(trials)) == n_tied


def test_study_of_tied_rates_warns_in_its_row() -> None:
    runs = frame(
        *seeds("a", [1.0, 1.1]),
        *[run("b", 2.0, seed) for seed in (0, 1)],
        study("b", 2, n_tied=6.0),
    )
    shown = {row["optimizer"]: warnings(row) for row in leaderboard(runs).to_dict("records")}
    assert shown == {"a": "", "b": "6 rates tied in tuning: the middle was taken"}
