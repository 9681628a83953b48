"""The plan of a study: its engine with a reason, and a stack that fits into memory."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from support.embedded import dataset
from torch import nn

from benchmarks import EMBEDDED, SUITE
from optsuite import OPTIMIZERS, models
from optsuite.registry import find_benchmark
from optsuite.training.equivalence.flat_check import NOT_AS_DECLARED
from optsuite.training.plan import max_stack, needed_bytes, plan, step_flops

ROOT = Path(__file__).parents[3]
SGD = OPTIMIZERS["sgd"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))}, "random"),
        ({"loss": lambda o, t: F.mse_loss(o, t) if o.sum().item() else o.mean()}, "item"),
    ],
    ids=["dropout", "loss"],
)
def test_definition_that_cannot_be_stacked_falls_back_with_a_reason(
    change: dict[str, Any], reason: str
) -> None:
    benchmark = replace(tiny.BENCHMARK, **change)
    chosen = plan(benchmark, SGD, tiny.line(), device="cpu", engine="stacked")
    assert (chosen.engine, chosen.max_stack) == ("plain", 1)
    assert reason in chosen.reason
    assert "\n" not in chosen.reason


def test_optimizer_wrongly_declared_lr_linear_falls_back() -> None:
    class Normalised(torch.optim.SGD):
        """Its step depends on the norm of all gradients, which in a stack are those of all runs."""

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], 0.1)
            super().step(closure)

    def build(model: nn.Module, lr: float, **fixed: Any) -> torch.optim.Optimizer:
        return Normalised(model.parameters(), lr=lr)

    spec = replace(SGD, build=build, fixed={})
    chosen = plan(tiny.BENCHMARK, spec, tiny.line(), device="cpu")
    assert (chosen.engine, chosen.reason) == ("stacked_views", NOT_AS_DECLARED)
    honest = plan(tiny.BENCHMARK, replace(spec, lr_linear=False), tiny.line(), device="cpu")
    assert (honest.engine, honest.reason) == ("stacked", "")


class Computing(nn.Sequential):
    """Computes in a dtype: its own, that of autocast, or that of its buffer."""

    def __init__(self, dtype: torch.dtype, where: str) -> None:
        super().__init__(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.dtype = torch.float32
        self.casts = where == "autocast"
        if where == "parameters":
            self.to(dtype)
            self.dtype = dtype
        elif where == "buffer":
            self.register_buffer("unused", torch.zeros(1, dtype=dtype))

    def forward(self, x: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.casts):
            return super().forward(x.to(self.dtype)).float()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("dtype", "where"),
    [
        (torch.float64, "parameters"),
        (torch.bfloat16, "parameters"),
        (torch.float16, "parameters"),
        (torch.bfloat16, "autocast"),
        (torch.float16, "buffer"),
        (torch.float64, "buffer"),
    ],
)
def test_benchmark_is_stacked_in_any_dtype_that_is_not_coarse(
    dtype: torch.dtype, where: str
) -> None:
    benchmark = replace(tiny.BENCHMARK, model=partial(Computing, dtype, where))
    known = ("stacked", "") if where == "autocast" else None  # of an optsuite before this rule
    chosen = plan(benchmark, SGD, tiny.line(), device="cpu", engine="stacked", known=known)
    if dtype == torch.float64:
        assert (chosen.engine, chosen.reason) == ("stacked", "")
    else:
        name = str(dtype).removeprefix("torch.")
        reason = f"it computes in {name}, in which engines differ"
        assert (chosen.engine, chosen.reason) == ("plain", reason)


def test_coarse_data_of_a_finer_model_are_stacked() -> None:
    splits = tiny.line()
    coarse = replace(splits, train=(splits.train[0].bfloat16(), splits.train[1]))
    model = partial(Computing, torch.float32, "parameters")
    chosen = plan(replace(tiny.BENCHMARK, model=model), SGD, coarse, device="cpu")
    assert chosen.engine == "stacked"


def test_plan_depends_on_the_definition_only() -> None:
    by_name = {b.name: b for b in EMBEDDED}
    for name in ("teacher_mlp", "quadratic_deep", "digits_cnn", "modular_transformer"):
        assert plan(by_name[name], SGD, dataset(name), device="cpu").engine == "stacked"
    wide = replace(by_name["digits_mlp"], model=partial(models.mlp, (64, 640, 10)))
    chosen = plan(wide, SGD, dataset("digits_mlp"), device="cpu")
    assert (chosen.engine, chosen.reason) == (
        "plain",
        "a step of 13 MFLOP gains nothing from stacking on a CPU",
    )
    assert (
        plan(wide, SGD, dataset("digits_mlp"), device="cpu", engine="stacked").engine == "stacked"
    )
    chosen = plan(by_name["digits_mlp"], SGD, dataset("digits_mlp"), device="cpu", engine="plain")
    assert (chosen.engine, chosen.reason) == ("plain", "as asked")


def test_step_flops_count_forward_and_backward() -> None:
    batch, weights = 64, 64 * 10
    benchmark = find_benchmark(SUITE, "digits_logreg")
    forward = 2 * batch * weights
    backward = forward  # to the weights
    assert step_flops(benchmark, dataset(benchmark.name)) == forward + backward


def test_stack_fits_into_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = dataset("tiny_line")
    assert max_stack(*needed_bytes(tiny.BENCHMARK, splits), "cpu") == 32
    monkeypatch.setattr("optsuite.training.device.CPU_STACK_RUNS", 2**30)
    whole = max_stack(*needed_bytes(tiny.BENCHMARK, splits), "cpu")
    assert whole > 2**10
    monkeypatch.setattr("optsuite.training.device.CPU_STACK_BYTES", 2**29)
    assert max_stack(*needed_bytes(tiny.BENCHMARK, splits), "cpu") == whole // 2
    monkeypatch.setattr("optsuite.training.device.CPU_STACK_BYTES", 1)
    assert plan(tiny.BENCHMARK, SGD, splits, device="cpu").max_stack == 1


MEMORY = """
import re
from dataclasses import replace
import torch
from benchmarks import mnist_mlp
from optsuite import OPTIMIZERS, Splits
from optsuite.training import stacked
from optsuite.training.results import Run, RunResult

def examples(n):  # as many and as large as MNIST's
    return torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8), torch.randint(10, (n,))

torch.set_num_threads(1)
splits = Splits(train=examples(50_000), validation=examples(10_000), test=examples(10_000))
benchmark = replace(mnist_mlp.BENCHMARK, max_steps=4, eval_every=2)
one = Run(benchmark="mnist_mlp", optimizer="adam", lr=0.001, seed=0, kind="trial")
runs = [replace(one, seed=seed) for seed in range(64)]
facts = list(stacked.train(benchmark, OPTIMIZERS["adam"], runs, splits))
assert sum(fact == RunResult(outcome="finished") for _, fact in facts) == 64
# ru_maxrss would count the peak of the process that started this one, too.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_stack_stays_below_two_gigabytes() -> None:
    out = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert int(out) * 1024 < 2 * 2**30
