import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, Target, errors
from optsuite.errors import FORMER_NAMES, InputError, UnknownNameError
from optsuite.training.identity import identify_optimizer

X, Y = torch.zeros(4, 2), torch.zeros(4)
SPLITS = Splits(train=(X, Y), validation=(X, Y), test=(X, Y))
BENCHMARK = Benchmark(
    name="b",
    dataset=lambda: SPLITS,
    model=lambda: nn.Linear(2, 1),
    loss=F.mse_loss,
    batch_size=2,
    max_steps=10,
    eval_every=5,
)
SUITE = Suite(name="s", benchmarks=(BENCHMARK,), optimizers=(OPTIMIZERS["sgd"],))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "benchmark name: got ''"),
        ({"name": "a/b"}, "benchmark name: got 'a/b'"),
        ({"name": "a\nb"}, "printable"),
        ({"dataset": None}, "dataset: got None, allowed: a function"),
        ({"batch_size": 0}, "batch_size: got 0, allowed: a whole number from 1"),
        ({"batch_size": True}, "batch_size: got True"),
        ({"max_steps": -5}, "max_steps: got -5"),
        ({"eval_every": 11}, "eval_every: got 11, allowed: a whole number from 1 to 10"),
        ({"shuffle": "never"}, "shuffle: got 'never', allowed: 'epoch' or 'once'"),
        ({"metrics": {"loss": F.mse_loss}}, "metric name: got 'loss'"),
        ({"metrics": {"a/b": F.mse_loss}}, "metric name: got 'a/b'"),
        (
            {"target": Target("validation/accuracy", 0.9)},
            "target metric: got 'validation/accuracy', allowed: one of loss",
        ),
    ],
)
def test_invalid_benchmark_has_precise_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        replace(BENCHMARK, **change)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0.1, 0.1, "interval: got 'low=0.1, high=0.1', allowed: low below high"),
        (1.0, 0.1, "low below high"),
        (0.0, 0.1, "interval low: got 0.0, allowed: a finite number above 0"),
        (-1.0, 0.1, "interval low: got -1.0"),
        (0.1, float("inf"), "interval high: got inf"),
        (float("nan"), 1.0, "interval low: got nan"),
    ],
)
def test_invalid_interval_has_precise_error(low: float, high: float, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        LogUniform(low=low, high=high)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default_lr": -1.0}, "default_lr: got -1.0"),
        ({"lr": (0.1, 1.0)}, "lr: got (0.1, 1.0), allowed: LogUniform"),
        ({"build": 3}, "build: got 3"),
        ({"fixed": {"lr": 0.1}}, "fixed: 'lr' is reserved"),
        ({"fixed": {"seed": 1}}, "fixed: 'seed' is reserved"),
    ],
)
def test_invalid_optimizer_has_precise_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        replace(OPTIMIZERS["sgd"], **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmarks": ()}, "benchmarks: got (), allowed: at least one"),
        ({"optimizers": ()}, "optimizers: got (), allowed: at least one"),
        ({"optimizers": (OPTIMIZERS["sgd"], OPTIMIZERS["sgd"])}, "each name once"),
        ({"on_request": (BENCHMARK,)}, "each name once"),
        ({"benchmarks": [BENCHMARK]}, "a tuple of Benchmark"),
        ({"n_trials": 0}, "n_trials: got 0"),
        ({"n_seeds": -1}, "n_seeds: got -1"),
        ({"n_seeds": 1_001}, "n_seeds: got 1001, allowed: a whole number from 1 to 1000"),
        ({"n_tuning_seeds": 1.5}, "n_tuning_seeds: got 1.5"),
    ],
)
def test_invalid_suite_has_precise_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        replace(SUITE, **change)


def test_tuning_seeds_and_evaluation_seeds_are_disjoint() -> None:
    suite = replace(SUITE, n_seeds=1_000, n_tuning_seeds=50)
    assert not set(suite.seeds) & set(suite.tuning_seeds)


@pytest.mark.parametrize("split", [(X, Y[:3]), (X[:0], Y[:0]), X, (X, [0, 1])])
def test_splits_need_pairs_of_equal_length(split: Any) -> None:
    with pytest.raises(InputError, match="validation split"):
        Splits(train=(X, Y), validation=split, test=(X, Y))


def test_target_is_reached_in_its_direction() -> None:
    assert Target("validation/accuracy", 0.9).reached({"validation/accuracy": 0.9})
    assert not Target("validation/accuracy", 0.9).reached({"validation/accuracy": 0.8})
    assert Target("test/loss", 0.5).reached({"test/loss": 0.4})
    assert not Target("test/loss", 0.5).reached({"test/loss": float("nan")})
    with pytest.raises(InputError, match="target metric: got 'train/loss'"):
        Target("train/loss", 0.5)


def test_unknown_name_lists_the_choices() -> None:
    known = ["sgd", "adam"]
    assert (
        str(UnknownNameError("optimizer", "nobody", known))
        == "optimizer: got 'nobody', one of: adam, sgd"
    )
    assert (
        str(UnknownNameError("optimizer", "adm", known))
        == "optimizer: got 'adm', one of: adam, sgd; did you mean adam?"
    )


def test_optimizer_without_a_default_rate_is_allowed() -> None:
    assert (
        OptimizerSpec(
            name="x", build=OPTIMIZERS["sgd"].build, lr=LogUniform(low=0.1, high=1.0)
        ).default_lr
        is None
    )


@pytest.mark.parametrize(
    ("former", "name", "value"),
    [
        ("proportional", "lr_linear", True),
        ("includes", "special_cases", ("sgd",)),
        ("not_for", "limitations", "haste"),
    ],
)
def test_former_field_of_optimizer_warns_and_has_same_fingerprint(
    former: str, name: str, value: object
) -> None:
    adam = OPTIMIZERS["adam"]
    with pytest.warns(DeprecationWarning, match=f"OptimizerSpec: {former} is now {name}"):
        old: OptimizerSpec = replace(adam, **{former: value})  # type: ignore[arg-type]
    new: OptimizerSpec = replace(adam, **{name: value})  # type: ignore[arg-type]
    assert old == new
    assert identify_optimizer(old) == identify_optimizer(new)
    with pytest.warns(DeprecationWarning, match=f"OptimizerSpec: {former} is now {name}"):
        assert getattr(old, former) == value


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_former_name_of_error_warns_and_is_the_same_error(former: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{former} is now {FORMER_NAMES[former].__name__}"):
        assert getattr(errors, former) is FORMER_NAMES[former]
    with pytest.raises(AttributeError, match="'Nothing'"):
        errors.Nothing  # noqa: B018


@pytest.mark.parametrize(
    "numbers",
    [
        {"first_seed": 1000},
        {"first_seed": 990, "n_seeds": 12},
        {"first_seed": 1004, "n_tuning_seeds": 1, "n_confirmation_seeds": 4},
        {"first_tuning_seed": 11},
        {"n_seeds": 1000, "first_tuning_seed": 999},
        {"first_seed": 900, "first_tuning_seed": 10, "n_tuning_seeds": 895},
    ],
)
def test_seeds_for_tuning_that_are_evaluated_too_are_refused(numbers: dict[str, Any]) -> None:
    pattern = r"suite tiny: evaluation seeds: got '\d+ to \d+', allowed: no seed of \d+ to \d+, on"
    with pytest.raises(InputError, match=pattern):
        replace(tiny.SUITE, **({"n_seeds": 12} | numbers))


@pytest.mark.parametrize(
    "numbers",
    [
        {"first_seed": 2**31 - 1},
        {"first_tuning_seed": 2**31 - 1, "n_confirmation_seeds": 1},
        {"first_tuning_seed": 2**31 - 3, "n_confirmation_seeds": 4},
    ],
)
def test_seeds_that_end_above_the_largest_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"first_\w*seed: got \d+, allowed: one whose seeds end at"
    ):
        replace(tiny.SUITE, **({"n_seeds": 12} | numbers))


def test_suite_says_where_its_seeds_begin() -> None:
    suite = replace(
        tiny.SUITE,
        first_seed=5000,
        n_seeds=3,
        first_tuning_seed=9000,
        n_tuning_seeds=2,
        n_confirmation_seeds=4,
    )
    assert list(suite.seeds) == [5000, 5001, 5002]
    assert list(suite.tuning_seeds) == [9000, 9001]
    assert list(suite.confirmation_seeds) == [9002, 9003, 9004, 9005]
    below = replace(suite, first_tuning_seed=4994)  # up to 4999
    assert below.confirmation_seeds.stop == below.seeds.start
    wrong: dict[str, Any] = {"first_seed": -1, "first_tuning_seed": 2**31}
    for name, number in wrong.items():
        with pytest.raises(InputError, match=f"{name}: got .*, allowed: a whole number"):
            replace(suite, **{name: number})
