"""Runs, summaries and scores on typed-in measurements."""

import math
from dataclasses import replace
from typing import Any

import pytest

from optsuite import Target
from optsuite.errors import InputError
from optsuite.training.results import Measurement, Run, RunScore, penalized, penalty, summarize

RUN = Run(benchmark="tiny_line", optimizer="sgd", lr=0.05, seed=0, kind="evaluation", arm="tuned")


def measured(step: int, validation: float, **values: float) -> Measurement:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return Measurement(step=step, values={"validation/loss": validation} | named, time=0.0)


def test_summaries_are_read_at_the_step_of_the_score() -> None:
    curve = [
        measured(0, 3.0, test__loss=3.5, test__accuracy=0.1),
        measured(10, 1.0, test__loss=1.5, test__accuracy=0.9, train__loss=0.9),
        measured(20, 2.0, test__loss=0.1, test__accuracy=1.0, train__loss=0.2),
    ]
    assert summarize(curve, "finished", Target("test/accuracy", 0.85)) == {
        "initial/validation_loss": 3.0,
        "initial/test_loss": 3.5,
        "early/train_loss": 0.9,
        "score": 1.0,
        "best/step": 10,
        "best/test_loss": 1.5,
        "best/test_accuracy": 0.9,
        "final/train_loss": 0.2,
        "steps_to_target": 10,
    }
    assert "steps_to_target" not in summarize(curve, "finished", Target("test/accuracy", 2))


def test_diverged_run_has_no_score() -> None:
    assert summarize([measured(0, 3.0), measured(10, 0.5)], "diverged", None) == {
        "initial/validation_loss": 3.0
    }


def test_penalty_is_the_worst_of_initial_losses_and_healthy_scores() -> None:
    nan = math.nan
    scores = [
        RunScore(outcome="finished", value=1.0, initial_loss=3.0),
        RunScore(outcome="diverged", value=nan, initial_loss=4.0),
        RunScore(outcome="diverged", value=nan, initial_loss=nan),
    ]
    assert penalized(scores) == [1.0, 4.0, 4.0]
    assert penalty([3.0, nan], [5.0]) == 5.0
    assert math.isnan(penalty([], []))


@pytest.mark.parametrize(
    "change", [{"lr": -1.0}, {"lr": math.nan}, {"lr": 0.0}, {"seed": -1}, {"seed": 2**31}]
)
def test_run_with_an_invalid_rate_or_seed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="got"):
        replace(RUN, **change)
