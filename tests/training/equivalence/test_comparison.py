import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from suites import tiny
from support import odd_models
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor

from optsuite import Benchmark, LogUniform, OptimizerSpec
from optsuite.definitions.benchmark import Splits
from optsuite.training import stacked
from optsuite.training.equivalence import check
from optsuite.training.equivalence.check import LACKS, _why_not
from optsuite.training.equivalence.comparison import ALONE
from optsuite.training.equivalence.twin import Twin, twins
from optsuite.training.plan import plan
from optsuite.training.results import Measurement, Run, RunResult

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")
BENCHMARK = replace(tiny.BENCHMARK, max_steps=60, eval_every=20)
Updates = Iterator[tuple[int, Measurement | RunResult]]


class Strict(torch.optim.SGD):
    """Raises if a weight is not finite, which ends a run as diverged before it is measured."""

    def step(self, closure: Any = None) -> Any:
        super().step(closure)
        for group in self.param_groups:
            if not all(parameter.isfinite().all() for parameter in group["params"]):
                raise ValueError("not finite")


def spec(build: Any = torch.optim.SGD, *, high: float = 1e-1) -> OptimizerSpec:
    return OptimizerSpec(
        name="o", build=lambda m, lr: build(m.parameters(), lr), lr=LogUniform(low=1e-4, high=high)
    )


def a_twin(benchmark: Benchmark = BENCHMARK) -> Twin:
    return next(twins(benchmark, tiny.line(), max_steps=50, eval_every=7, device="cpu"))


def other_rate(
    benchmark: Benchmark, spec: OptimizerSpec, runs: Sequence[Run], splits: Splits, *, device: str
) -> Updates:
    """Stacks that never diverge because their rate is small."""
    tame = [replace(run, lr=min(run.lr, 1e-2)) for run in runs]
    return stacked.train(benchmark, spec, tame, splits, device=device)


def test_stack_that_stays_finite_where_plain_runs_diverge_is_refused() -> None:
    strict = replace(spec(Strict, high=1e60), lr_linear=False)
    assert _why_not(other_rate, a_twin(), strict) == ALONE
    assert _why_not(stacked.train, a_twin(), strict) == ""


def test_loss_that_is_infinite_in_plain_runs_only_is_refused() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        error: Tensor = tiny.BENCHMARK.loss(outputs, targets)
        is_later = outputs.square().mean() > 1  # than before training
        return error * math.inf if is_later and not outputs.requires_grad else error

    def finite(benchmark: Benchmark, *arguments: Any, **keywords: Any) -> Updates:
        return stacked.train(replace(benchmark, loss=tiny.BENCHMARK.loss), *arguments, **keywords)

    assert _why_not(finite, a_twin(replace(BENCHMARK, loss=loss)), spec()) == ALONE


class WithBuffer(nn.Module):
    """A model beside a buffer that is not trained, such as a mask."""

    def __init__(self, model: Callable[[], nn.Module], value: float) -> None:
        super().__init__()
        self.model = model()
        self.register_buffer("mask", torch.full((2,), value))

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


@pytest.mark.parametrize("value", [-math.inf, math.nan, -1e15, torch.finfo(torch.float32).min])
def test_difference_beside_a_large_buffer_is_still_found(value: float) -> None:
    unlike = replace(BENCHMARK, model=partial(WithBuffer, odd_models.OwnPermutation, value))
    chosen = plan(unlike, spec(), tiny.line(), device="cpu", engine="stacked")
    assert chosen.engine == "plain"
    assert chosen.reason.startswith("its stacked runs do not equal plain ones: mo")
    alike = replace(BENCHMARK, model=partial(WithBuffer, partial(nn.Linear, 3, 1), value))
    linear = replace(spec(), lr_linear=True)
    chosen = plan(alike, linear, tiny.line(), device="cpu", engine="stacked")
    assert (chosen.engine, chosen.reason) == ("stacked", "")


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (TimeoutError("it did not end within 600 seconds"), "time"),
    ],
)
def test_check_that_lacks_memory_or_time_trains_plainly(error: Exception, lack: str) -> None:
    class Large(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if is_batchedtensor(x):
                raise error
            return super().forward(x)

    large = replace(BENCHMARK, model=partial(Large, 3, 1))
    chosen = plan(large, spec(), tiny.line(), device="cpu", engine="stacked")
    assert (chosen.engine, chosen.reason) == ("plain", LACKS.format(lack))


def test_check_past_its_deadline_trains_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "CHECK_SECONDS", -1.0)
    chosen = plan(BENCHMARK, spec(), tiny.line(), device="cpu", engine="stacked")
    assert (chosen.engine, chosen.reason) == ("plain", LACKS.format("time"))
