"""A target has one direction; its older form keeps its meaning."""

import logging
import math
import re
from dataclasses import replace

import pytest
from suites import tiny
from support.measured import line, notes, of
from torch import Tensor

from optsuite import Target, accuracy
from optsuite.errors import InputError, warn_once
from optsuite.training.identity import define


def test_target_states_exactly_one_direction() -> None:
    error, loss = Target("validation/error", at_most=0.1), Target("test/loss", at_least=3)
    reached = [error.reached({"validation/error": v}) for v in (0.2, 0.1, math.nan)]
    assert reached == [False, True, False]
    assert [loss.reached({"test/loss": v}) for v in (2, 3)] == [False, True]
    assert (str(error), str(loss)) == ("validation/error <= 0.1", "test/loss >= 3")
    for wrong in ({}, {"at_least": 1.0, "at_most": 2.0}, {"value": 1.0, "at_most": 2.0}):
        with pytest.raises(
            InputError,
            match=r"target validation/a: got .*, allowed: either at_least=\.\.\. or at_most",
        ):
            Target("validation/a", **wrong)
    with pytest.raises(InputError, match="target at_most: got nan"):
        Target("validation/a", at_most=math.nan)


def test_older_form_of_a_target_keeps_its_meaning_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "optsuite"):
        older = [Target("validation/loss", 1.0) for _ in range(3)]
        other = Target("validation/accuracy", 0.5)
    assert caplog.messages == [
        "Target('validation/loss', 1) has no direction and counts as at_most=1; "
        "write at_most=1, or at_least=1 if higher is better",
        "Target('validation/accuracy', 0.5) has no direction and counts as at_least=0.5; "
        "write at_least=0.5, or at_most=0.5 if lower is better",
    ]
    newer = Target("validation/loss", at_most=1.0)
    assert str(older[0]) == str(newer)
    assert other.reached({"validation/accuracy": 0.5})
    sgd = tiny.SUITE.optimizers[0]
    identity = define(line(target=older[0]), sgd, tiny.line()).benchmark
    # Following the advice trains nothing again.
    assert define(line(target=newer), sgd, tiny.line()).benchmark == identity
    opposite = line(target=Target("validation/loss", at_least=1.0))
    assert define(opposite, sgd, tiny.line()).benchmark.digest != identity.digest


def test_older_form_of_a_target_met_untrained_is_refused() -> None:
    def error(outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - accuracy(outputs, targets)

    guessed = of(metrics={"error": error}, target=Target("validation/error", 0.1))
    with pytest.raises(
        InputError,
        match=r"target validation/error >= 0.1 is met before training \(0.*"
        r"if lower is better, write Target\('validation/error', at_most=0.1\)",
    ):
        notes(guessed)
    assert notes(replace(guessed, target=Target("validation/error", at_most=0.1))) == ()
    (met,) = notes(replace(guessed, target=Target("validation/error", at_least=0.1)))
    assert re.fullmatch(
        r"benchmark .*: its target validation/error >= 0.1 is met before training \(0.*\), "
        "so it tells nothing about optimizers",
        met,
    )
