import math
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from optsuite.training.equivalence.agreement import (
    PERTURBATION,
    differ,
    disagreement,
    disagreement_beyond_rounding,
    perturbed,
    repeats,
    tolerance,
)
from optsuite.training.results import Measurement


def curve(values: Mapping[int, float], name: str = "validation/loss") -> list[Measurement]:
    return [
        Measurement(step=step, values={name: value} if math.isfinite(value) else {}, time=step)
        for step, value in values.items()
    ]


LOSS = {0: 2.0, 20: 1.0, 40: 0.5, 60: 0.057}


def test_equal_bits_measured_at_other_times_repeat() -> None:
    later = [Measurement(step=m.step, values=m.values, time=m.time + 9) for m in curve(LOSS)]
    assert repeats(curve(LOSS), later)
    assert repeats(curve(LOSS), later[:2])


def test_curve_whose_store_drops_the_sign_of_zero_repeats() -> None:
    assert repeats(curve({0: 2.0, 20: -0.0}), curve({0: 2.0, 20: 0.0}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_of_any_dtype_are_all_perturbed(dtype: torch.dtype) -> None:
    model = nn.Linear(3, 2).to(dtype)
    before = model.weight.detach().clone()
    perturbed(lambda: model, seed=1)
    moved = (model.weight.detach() / before - 1).abs() / torch.finfo(dtype).eps
    assert torch.all((moved >= PERTURBATION - 2) & (moved <= PERTURBATION + 2))


@pytest.mark.parametrize(
    "received",
    [
        [],
        curve({0: 2.0, 20: math.nextafter(1.0, 2)}),
        curve({0: 2.0, 30: 1.0}),
        curve({0: 2.0, 20: 1.0}, "test/loss"),
        curve({0: 2.0, 20: math.inf}),
    ],
    ids=["nothing", "last bit", "another step", "another curve", "not finite"],
)
def test_curve_with_different_bits_does_not_repeat(received: list[Measurement]) -> None:
    assert not repeats(curve(LOSS), received)


def test_curve_of_a_counter_in_forward_is_named_at_its_step() -> None:
    clause = disagreement(curve(LOSS), curve(LOSS | {60: 0.669}))
    assert clause == "validation/loss at step 60 is 0.669 instead of 0.057"


@pytest.mark.parametrize(
    ("expected", "received"),
    [
        ({0: 2.0, 1: 1.9}, {0: 2.0, 1: 1.902}),
        ({0: 2.0}, {0: 2.001}),
        ({0: 2.0, 10: 1.0}, {0: 2.0, 10: 1.1}),
        ({0: 2.0, 10: 1.0}, {0: 2.0, 10: math.inf}),
        ({0: 2.0, 500: 0.05}, {0: 2.0, 500: 0.5}),
    ],
    ids=["first step", "before training", "ten steps", "not finite", "many steps"],
)
def test_difference_beyond_rounding_is_named(
    expected: Mapping[int, float], received: Mapping[int, float]
) -> None:
    assert disagreement(curve(expected), curve(received))
    assert disagreement(curve(received), curve(expected))


@pytest.mark.parametrize(
    ("expected", "received"),
    [
        (LOSS, LOSS),
        ({0: 2.0, 1: 1.9}, {0: 2.0, 1: 1.90001}),
        ({0: 2.0, 40: 1.0}, {0: 2.0, 40: 1.11}),
        ({0: 2.0, 320: 0.17, 360: 0.37}, {0: 2.0, 320: 0.15, 360: 2.2}),
        ({0: 2.0, 40: 1e-9}, {0: 2.0, 40: 0.0}),
        ({0: 2.0, 8: 1e5}, {0: 2.0, 8: math.inf}),
        ({0: 2.0, 20: 1.0, 40: 0.5}, {0: 2.0}),
    ],
    ids=[
        "equal",
        "rounding",
        "chaos",
        "a spike",
        "nothing but rounding",
        "on its way to infinity",
        "fewer steps",
    ],
)
def test_difference_within_rounding_agrees(
    expected: Mapping[int, float], received: Mapping[int, float]
) -> None:
    assert disagreement(curve(expected), curve(received)) == ""
    assert disagreement(curve(received), curve(expected)) == ""


def test_metric_that_counts_may_differ_by_a_few_examples() -> None:
    expected = curve({0: 0.1, 5: 0.5}, "validation/accuracy")
    received = curve({0: 0.1, 5: 0.508}, "validation/accuracy")
    assert disagreement(expected, received, examples=360) == ""
    assert disagreement(expected, received, examples=10_000)


def test_tolerance_grows_with_steps_and_saturates() -> None:
    steps = [tolerance(step, 2.0**-23) for step in (0, 1, 10, 40, 60, 1_000)]
    assert steps == sorted(steps)
    assert steps[-1] == steps[-2] == 0.75
    assert tolerance(1, 2.0**-7) == 0.75


CALM = {0: 2.0, 20: 1.0, 80: 0.5, 160: 0.3, 240: 0.2}
SPREAD = {0: 2.0, 20: 1.0, 80: 0.6, 160: 0.2, 240: 0.3}


@pytest.mark.parametrize(
    "stack",
    [
        CALM | {160: 1e6, 240: 1e9},
        CALM | {160: math.inf, 240: math.inf},
        {0: 2.0, 20: 1.0, 80: 0.5},
    ],
    ids=["explodes", "is not finite", "ends"],
)
def test_stack_that_explodes_where_no_perturbed_run_does_disagrees(
    stack: Mapping[int, float],
) -> None:
    assert differ(curve(CALM), curve(stack))
    assert disagreement_beyond_rounding(curve(CALM), [curve(SPREAD)] * 2, curve(stack))


def test_stack_that_explodes_where_a_perturbed_run_does_too_does_not_disagree() -> None:
    exploded = CALM | {160: 1e6, 240: 1e9}
    assert not disagreement_beyond_rounding(
        curve(CALM), [curve(SPREAD), curve(exploded)], curve(exploded)
    )
    assert not disagreement_beyond_rounding(
        curve(CALM), [curve(SPREAD), curve({0: 2.0, 20: 1.0})], curve(exploded)
    )
    assert not disagreement_beyond_rounding(
        curve(exploded), [curve(exploded)], curve(exploded | {160: 1e5})
    )
    assert not disagreement_beyond_rounding(curve(CALM), [curve(SPREAD)], curve(SPREAD))
    assert not differ(curve(CALM), curve(CALM))
