"""Accuracies are exact, and shown as percentages only if they are fractions."""

from collections.abc import Sequence

import pytest
import torch
from support.frames import frame, run, study

from optsuite import models
from optsuite.analysis.leaderboard import leaderboard
from optsuite.reporting.text import readable


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.9, 0.5], ["90.0%", "50.0%"]),
        ([95.0, 0.5], ["95", "0.5"]),
        ([1.0, 0.0], ["100.0%", "0.0%"]),
    ],
)
def test_accuracy_in_percent_is_not_shown_as_a_fraction(
    values: Sequence[float], shown: list[str]
) -> None:
    rows = [
        row
        for name, value in zip("ab", values, strict=True)
        for row in (run(name, 1.0) | {"best/test_accuracy": value}, study(name))
    ]
    table = readable(leaderboard(frame(*rows)))
    assert sorted(table["test acc."]) == sorted(shown)


def test_accuracy_of_bfloat16_outputs_is_exact() -> None:
    outputs, targets = torch.eye(2).repeat(500, 1).bfloat16(), torch.zeros(1_000, dtype=torch.long)
    targets[1:10:2] = 1
    assert models.accuracy(outputs, targets).item() == pytest.approx(0.505)
