import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from torch import nn

from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec, Splits, Target
from optsuite.errors import InputError
from optsuite.optimizers.packaged import is_available
from optsuite.training.device import check_device
from optsuite.training.plain import batch_indices, train
from optsuite.training.results import (
    Measurement,
    Run,
    RunResult,
    RunScore,
    penalized,
    penalty,
    summarize,
)
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import check_benchmark, check_pair, load_splits

SGD = OPTIMIZERS["sgd"]
SPLITS = tiny.line()


def run(lr: float = 0.05, seed: int = 0, benchmark: Benchmark = tiny.BENCHMARK) -> Run:
    return Run(
        benchmark=benchmark.name, optimizer="sgd", lr=lr, seed=seed, kind="evaluation", arm="tuned"
    )


def curve(
    benchmark: Benchmark, spec: OptimizerSpec, runs: Sequence[Run], splits: Splits
) -> tuple[list[Any], list[RunResult]]:
    """The measured (index, step, values) of the runs, without their times, and how each ended."""
    updates = list(train(benchmark, spec, runs, splits))
    measured = [(i, f.step, dict(f.values)) for i, f in updates if isinstance(f, Measurement)]
    return measured, [f for _, f in updates if isinstance(f, RunResult)]


def test_measures_at_the_start_every_so_often_and_at_the_end() -> None:
    benchmark = replace(tiny.BENCHMARK, max_steps=25, eval_every=10)
    measured, ended = curve(benchmark, SGD, [run()], SPLITS)
    assert [step for _, step, _ in measured] == [0, 10, 20, 25]
    assert set(measured[0][2]) == {"validation/loss", "test/loss"}
    assert set(measured[1][2]) == {"train/loss", "train/lr", "validation/loss", "test/loss"}
    assert ended == [RunResult(outcome="finished")]


def test_a_run_is_a_function_of_its_identity_alone() -> None:
    together, _ = curve(tiny.BENCHMARK, SGD, [run(seed=3), run(seed=4)], SPLITS)
    torch.manual_seed(99)
    exclusive, _ = curve(tiny.BENCHMARK, SGD, [run(seed=4)], SPLITS)
    assert [m[1:] for m in together if m[0] == 1] == [m[1:] for m in exclusive]
    assert [m[1:] for m in together if m[0] == 0] != [m[1:] for m in exclusive]


def test_training_equals_the_loop_written_by_hand() -> None:
    measured, _ = curve(
        replace(tiny.BENCHMARK, max_steps=4, eval_every=2), SGD, [run(lr=0.1)], SPLITS
    )
    from optsuite.training.plain import initial_model

    model = initial_model(tiny.BENCHMARK, 0)
    batches = batch_indices(64, tiny.BENCHMARK, 0)
    losses = []
    for batch in [next(batches) for _ in range(4)]:
        x, y = SPLITS.train[0][batch], SPLITS.train[1][batch]
        loss = F.mse_loss(model(x), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient)
        losses.append(loss.item())
    assert measured[-1][2]["train/loss"] == pytest.approx(sum(losses[2:]) / 2)
    x, y = SPLITS.validation
    assert measured[-1][2]["validation/loss"] == pytest.approx(F.mse_loss(model(x), y).item())


def test_batches_are_full_and_cover_the_epoch_in_an_order_of_the_seed() -> None:
    def epochs(seed: int, shuffle: str) -> list[list[int]]:
        batches = batch_indices(10, replace(tiny.BENCHMARK, batch_size=4, shuffle=shuffle), seed)  # type: ignore[arg-type]
        return [torch.cat([next(batches), next(batches)]).tolist() for _ in range(2)]

    first, second = epochs(0, "epoch")
    assert len(set(first)) == 8
    assert first != second
    assert epochs(0, "epoch") == [first, second] != epochs(1, "epoch")
    assert epochs(0, "once") == [first, first]


def test_a_rate_that_diverges_is_an_outcome() -> None:
    measured, ended = curve(tiny.BENCHMARK, SGD, [run(lr=1e6), run()], SPLITS)
    assert ended == [RunResult(outcome="diverged"), RunResult(outcome="finished")]
    assert max(step for i, step, _ in measured if i == 0) < tiny.BENCHMARK.max_steps
    assert all(math.isfinite(value) for _, _, values in measured for value in values.values())


def test_an_error_fails_its_run_and_no_other() -> None:
    calls = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("broken at\ncall six")
        return F.mse_loss(outputs, targets)

    _, ended = curve(replace(tiny.BENCHMARK, loss=loss), SGD, [run(), run()], SPLITS)
    assert [e.outcome for e in ended] == ["failed", "finished"]
    assert re.fullmatch(
        r"RuntimeError: broken at call six \(test_training.py, line \d+\)", str(ended[0].error)
    )


def test_a_loss_that_is_not_finite_before_training_is_no_divergence() -> None:
    _, ended = curve(
        replace(tiny.BENCHMARK, loss=lambda o, t: F.mse_loss(o, t) * math.nan), SGD, [run()], SPLITS
    )
    assert ended[0].outcome == "failed"
    assert "before training" in str(ended[0].error)


def test_random_forwards_are_paired_by_seed() -> None:
    benchmark = replace(
        tiny.BENCHMARK, model=lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))
    )
    first, _ = curve(benchmark, SGD, [run(seed=1), run(seed=2)], SPLITS)
    torch.rand(17)
    again, _ = curve(benchmark, SGD, [run(seed=2)], SPLITS)
    assert [m[1:] for m in first if m[0] == 1] == [m[1:] for m in again]


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


def test_a_diverged_run_has_no_score_that_looks_healthy() -> None:
    assert summarize([measured(0, 3.0), measured(10, 0.5)], "diverged", None) == {
        "initial/validation_loss": 3.0
    }


def test_the_penalty_is_the_worst_of_initial_losses_and_healthy_scores() -> None:
    nan = math.nan
    scores = [
        RunScore(outcome="finished", value=1.0, initial_loss=3.0),
        RunScore(outcome="diverged", value=nan, initial_loss=4.0),
        RunScore(outcome="diverged", value=nan, initial_loss=nan),
    ]
    assert penalized(scores) == [1.0, 4.0, 4.0]
    assert penalty([3.0, nan], [5.0]) == 5.0
    assert math.isnan(penalty([], []))


def test_test_data_decide_nothing() -> None:
    splits = replace(SPLITS, test=(SPLITS.test[0] * math.inf, SPLITS.test[1]))
    measured, ended = curve(tiny.BENCHMARK, SGD, [run()], splits)
    assert ended == [RunResult(outcome="finished")]
    assert not any("test/loss" in values for _, _, values in measured)


@pytest.mark.parametrize(
    "change", [{"lr": -1.0}, {"lr": math.nan}, {"lr": 0.0}, {"seed": -1}, {"seed": 2**31}]
)
def test_runs_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="got"):
        replace(run(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": partial(nn.Linear, 4, 1)},
            r"benchmark tiny_line: its model, given inputs \(16, 3\), raised",
        ),
        (
            {"model": partial(nn.Linear, 3, 2)},
            r"its loss, given outputs \(16, 2\) and targets \(16, 1\), raised",
        ),
        ({"loss": partial(F.mse_loss, reduction="none")}, r"its loss.*returned shape \(16, 1\)"),
        ({"metrics": {"bad": lambda o, t: 3}}, r"its bad.*returned int"),
        ({"batch_size": 65}, "batch_size 65, allowed: at most 64"),
        ({"dataset": lambda: 5}, "its dataset returned int; it must return Splits"),
        ({"dataset": lambda: 1 / 0}, "its dataset raised ZeroDivisionError"),
    ],
)
def test_a_definition_that_cannot_be_trained_is_named(change: dict[str, Any], message: str) -> None:
    benchmark = replace(tiny.BENCHMARK, **change)
    with pytest.raises(InputError, match=message):
        check_benchmark(benchmark, load_splits(benchmark))


def test_an_optimizer_that_cannot_be_built_is_named() -> None:
    def nothing(model: nn.Module, lr: float, **fixed: object) -> Any:
        return None

    with pytest.raises(
        InputError, match="optimizer sgd on benchmark tiny_line: its build raised TypeError"
    ):
        check_pair(tiny.BENCHMARK, replace(SGD, fixed={"nesterov_": True}), SPLITS)
    with pytest.raises(
        InputError, match=r"its build returned NoneType; it must return a torch.optim.Optimizer"
    ):
        check_pair(tiny.BENCHMARK, replace(SGD, build=nothing), SPLITS)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "meta", "cpu:5"])
def test_devices_are_checked(device: str) -> None:
    with pytest.raises(InputError, match=f"device: got '{device}', allowed on this machine: cpu"):
        check_device(device)


def test_the_cost_of_a_step() -> None:
    specs = [OPTIMIZERS[name] for name in ("sgd", "momentum", "adam")]
    costs = measure_costs(tiny.BENCHMARK, specs, tiny.line(), device="cpu")
    assert all(cost.milliseconds_per_step > 0 for cost in costs.values())
    assert [costs[spec.name].state_bytes_per_parameter for spec in specs] == [0, 4, 8]


@pytest.mark.parametrize(
    ("name", "least"),
    [("soap", 8 + 2 * 4), ("shampoo", 4 + 2 * 4), ("adafactor", 0.1), ("muon", 3.9)],
)
def test_state_is_counted_wherever_an_optimizer_keeps_it(name: str, least: float) -> None:
    """Preconditioners of a square layer are two matrices of its size each for SOAP: products, and their eigenvectors."""
    if not is_available(OPTIMIZERS[name]):
        pytest.skip("needs the extra optsuite[optimizers]")
    x = torch.randn(64, 48)
    square = replace(tiny.BENCHMARK, model=partial(nn.Linear, 48, 48, bias=False), loss=F.mse_loss)
    cost = measure_costs(
        square,
        [OPTIMIZERS[name]],
        Splits(train=(x, x), validation=(x, x), test=(x, x)),
        device="cpu",
    )[name]
    assert least <= cost.state_bytes_per_parameter < least + 16
