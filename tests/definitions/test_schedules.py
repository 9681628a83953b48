from collections.abc import Callable

import pytest

from benchmarks import SUITE
from optsuite.errors import InputError, UnknownNameError
from optsuite.optimizers.packaged import is_available
from optsuite.registry import find_benchmark, find_optimizer, optimizer_choices, select
from optsuite.schedules import SCHEDULES, constant, cosine


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("max_steps", [1, 2, 7, 100, 2_000])
def test_schedule_gives_a_fraction_at_every_step(
    schedule: Callable[[int, int], float], max_steps: int
) -> None:
    fractions = [schedule(step, max_steps) for step in range(1, max_steps + 1)]
    assert all(0 < fraction <= 1 for fraction in fractions)
    assert max(fractions) == 1


def test_schedules_have_their_shapes() -> None:
    shapes = {
        name: [round(schedule(step, 100), 3) for step in (1, 5, 50, 51, 76, 90, 100)]
        for name, schedule in SCHEDULES.items()
    }
    assert shapes == {
        "constant": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        "cosine": [1.0, 0.996, 0.516, 0.5, 0.146, 0.03, 0.0],
        "warmup_cosine": [0.2, 1.0, 0.558, 0.541, 0.161, 0.033, 0.0],
        "step": [1.0, 1.0, 1.0, 0.1, 0.01, 0.01, 0.01],
        "wsd": [0.2, 1.0, 1.0, 1.0, 1.0, 0.55, 0.05],
    }


def test_optimizer_with_schedule_has_its_own_name() -> None:
    spec = find_optimizer(SUITE, "adam+cosine")
    assert (spec.name, spec.schedule) == ("adam+cosine", cosine)
    chosen = select(SUITE, optimizers=["adam", "adam+cosine"])
    assert [s.name for s in chosen.optimizers] == ["adam", "adam+cosine"]
    assert find_optimizer(SUITE, "adam+constant").name == "adam"
    for name, message in (
        ("adam+nosuch", "schedule: got 'nosuch', one of: constant, cosine"),
        ("rprop+cosine", "schedule: rprop does not support one; choose it without"),
        ("schedulefree_sgd+cosine", "schedule: schedulefree_sgd does not support one"),
        ("adam+cosine+step", "adam\\+cosine already has cosine; choose it without \\+step"),
        ("adam+cosine+constant", "schedule: adam\\+cosine already has cosine"),
        ("nosuch+cosine", "optimizer: got 'nosuch', one of: "),
    ):
        with pytest.raises(InputError, match=message):
            find_optimizer(SUITE, name)


def test_all_selects_installed_optimizers_and_those_with_schedule() -> None:
    there = [name for name, spec in optimizer_choices(SUITE).items() if is_available(spec)]
    assert sorted(s.name for s in select(SUITE, optimizers=["all"]).optimizers) == sorted(there)
    scheduled = {s.name for s in select(SUITE, optimizers=["all+cosine"]).optimizers}
    takers = [name for name in there if find_optimizer(SUITE, name).schedule is constant]
    assert scheduled == {f"{name}+cosine" for name in takers}
    assert "rprop" not in takers


def test_benchmark_with_steps_in_its_name_has_that_budget() -> None:
    short = find_benchmark(SUITE, "digits_mlp@30")
    assert (short.name, short.max_steps, short.eval_every) == ("digits_mlp@30", 30, 30)
    assert find_benchmark(SUITE, "digits_mlp@4000").eval_every == 50
    assert find_benchmark(SUITE, "digits_mlp@1000").name == "digits_mlp"
    for steps in ("", "x", "-1", "007", "0", "1e3", "9" * 5_000):
        received = f"benchmark digits_mlp: steps: got '{steps[:100]}"
        with pytest.raises(InputError, match=f"{received}.*, allowed: a whole number from 1"):
            find_benchmark(SUITE, f"digits_mlp@{steps}")
    with pytest.raises(
        UnknownNameError,
        match=r"benchmark: got 'digit_mlp', one of: .*; or NAME@STEPS; did you mean digits_mlp\?",
    ):
        find_benchmark(SUITE, "digit_mlp")
