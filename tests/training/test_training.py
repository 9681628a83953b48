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

from optsuite import OPTIMIZERS, Benchmark, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.optimizers.packaged import is_available
from optsuite.training.device import check_device
from optsuite.training.plain import batch_indices, initial_model, train
from optsuite.training.results import Measurement, Run, RunResult
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


def test_run_measures_at_the_start_every_eval_every_steps_and_at_the_end() -> None:
    benchmark = replace(tiny.BENCHMARK, max_steps=25, eval_every=10)
    measured, ended = curve(benchmark, SGD, [run()], SPLITS)
    assert [step for _, step, _ in measured] == [0, 10, 20, 25]
    assert set(measured[0][2]) == {"validation/loss", "test/loss"}
    assert set(measured[1][2]) == {"train/loss", "train/lr", "validation/loss", "test/loss"}
    assert ended == [RunResult(outcome="finished")]


def test_run_depends_on_its_identity_alone() -> None:
    together, _ = curve(tiny.BENCHMARK, SGD, [run(seed=3), run(seed=4)], SPLITS)
    torch.manual_seed(99)
    exclusive, _ = curve(tiny.BENCHMARK, SGD, [run(seed=4)], SPLITS)
    assert [m[1:] for m in together if m[0] == 1] == [m[1:] for m in exclusive]
    assert [m[1:] for m in together if m[0] == 0] != [m[1:] for m in exclusive]


def test_training_equals_the_loop_written_by_hand() -> None:
    benchmark = replace(tiny.BENCHMARK, max_steps=4, eval_every=2)
    measured, _ = curve(benchmark, SGD, [run(lr=0.1)], SPLITS)
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


def test_batches_are_full_and_their_order_depends_on_the_seed() -> None:
    def epochs(seed: int, shuffle: str) -> list[list[int]]:
        benchmark = replace(tiny.BENCHMARK, batch_size=4, shuffle=shuffle)  # type: ignore[arg-type]
        batches = batch_indices(10, benchmark, seed)
        return [torch.cat([next(batches), next(batches)]).tolist() for _ in range(2)]

    first, second = epochs(0, "epoch")
    assert len(set(first)) == 8
    assert first != second
    assert epochs(0, "epoch") == [first, second] != epochs(1, "epoch")
    assert epochs(0, "once") == [first, first]


def test_too_large_rate_ends_as_diverged() -> None:
    measured, ended = curve(tiny.BENCHMARK, SGD, [run(lr=1e6), run()], SPLITS)
    assert ended == [RunResult(outcome="diverged"), RunResult(outcome="finished")]
    assert max(step for i, step, _ in measured if i == 0) < tiny.BENCHMARK.max_steps
    assert all(math.isfinite(value) for _, _, values in measured for value in values.values())


def test_error_in_a_loss_fails_its_run_alone() -> None:
    calls = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("broken at\ncall six")
        return F.mse_loss(outputs, targets)

    _, ended = curve(replace(tiny.BENCHMARK, loss=loss), SGD, [run(), run()], SPLITS)
    assert [e.outcome for e in ended] == ["failed", "finished"]
    message = r"RuntimeError: broken at call six \(test_training.py, line \d+\)"
    assert re.fullmatch(message, str(ended[0].error))


def test_initial_loss_that_is_not_finite_fails_the_run() -> None:
    benchmark = replace(tiny.BENCHMARK, loss=lambda o, t: F.mse_loss(o, t) * math.nan)
    _, ended = curve(benchmark, SGD, [run()], SPLITS)
    assert ended[0].outcome == "failed"
    assert "before training" in str(ended[0].error)


def test_random_forwards_are_paired_by_seed() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))

    benchmark = replace(tiny.BENCHMARK, model=model)
    first, _ = curve(benchmark, SGD, [run(seed=1), run(seed=2)], SPLITS)
    torch.rand(17)
    again, _ = curve(benchmark, SGD, [run(seed=2)], SPLITS)
    assert [m[1:] for m in first if m[0] == 1] == [m[1:] for m in again]


def test_infinite_test_loss_does_not_affect_the_outcome() -> None:
    splits = replace(SPLITS, test=(SPLITS.test[0] * math.inf, SPLITS.test[1]))
    measured, ended = curve(tiny.BENCHMARK, SGD, [run()], splits)
    assert ended == [RunResult(outcome="finished")]
    assert not any("test/loss" in values for _, _, values in measured)


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
def test_definition_that_cannot_train_is_named(change: dict[str, Any], message: str) -> None:
    benchmark = replace(tiny.BENCHMARK, **change)
    with pytest.raises(InputError, match=message):
        check_benchmark(benchmark, load_splits(benchmark))


def test_optimizer_that_cannot_be_built_is_named() -> None:
    def nothing(model: nn.Module, lr: float, **fixed: object) -> Any:
        return None

    message = "optimizer sgd on benchmark tiny_line: its build raised TypeError"
    with pytest.raises(InputError, match=message):
        check_pair(tiny.BENCHMARK, replace(SGD, fixed={"nesterov_": True}), SPLITS)
    message = r"its build returned NoneType; it must return a torch.optim.Optimizer"
    with pytest.raises(InputError, match=message):
        check_pair(tiny.BENCHMARK, replace(SGD, build=nothing), SPLITS)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "meta", "cpu:5"])
def test_unknown_device_is_refused_with_the_available_ones(device: str) -> None:
    with pytest.raises(InputError, match=f"device: got '{device}', allowed on this machine: cpu"):
        check_device(device)


def test_measured_costs_have_times_and_the_size_of_states() -> None:
    specs = [OPTIMIZERS[name] for name in ("sgd", "momentum", "adam")]
    costs = measure_costs(tiny.BENCHMARK, specs, tiny.line(), device="cpu")
    assert all(cost.milliseconds_per_step > 0 for cost in costs.values())
    assert [costs[spec.name].state_bytes_per_parameter for spec in specs] == [0, 4, 8]


@pytest.mark.parametrize(
    ("name", "least"),
    [("soap", 8 + 2 * 4), ("shampoo", 4 + 2 * 4), ("adafactor", 0.1), ("muon", 3.9)],
)
def test_state_in_lists_and_objects_is_counted(name: str, least: float) -> None:
    """For a square layer, SOAP keeps two products and two matrices of eigenvectors of its size."""
    if not is_available(OPTIMIZERS[name]):
        pytest.skip("needs the extra optsuite[optimizers]")
    x = torch.randn(64, 48)
    square = replace(tiny.BENCHMARK, model=partial(nn.Linear, 48, 48, bias=False), loss=F.mse_loss)
    splits = Splits(train=(x, x), validation=(x, x), test=(x, x))
    cost = measure_costs(square, [OPTIMIZERS[name]], splits, device="cpu")[name]
    assert least <= cost.state_bytes_per_parameter < least + 16
