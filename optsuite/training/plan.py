"""Chooses the engine of runs and the size of stacks, from definitions and never from timings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.device import is_host, stack_limits
from optsuite.training.engines import ENGINES
from optsuite.training.equivalence.check import check_repeats, choose
from optsuite.training.equivalence.coarse import coarse_arithmetic
from optsuite.training.plain import CHUNK, initial_model
from optsuite.training.results import Run

# On a CPU, runs with more FLOP per step are as fast one by one; measured with make speed.
STACK_FLOPS = 10e6
# Copies of the parameters in a stack: values, gradients, values before the step, rates, two of
# optimizer state, and one to spare.
COPIES = 7
# The most FLOP and steps for training a run twice, to see whether it repeats: at most a second.
REPEATED_FLOPS = 1e9
REPEATED_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The engine for a benchmark and an optimizer, and the most runs in one stack.

    `reason` is why no faster engine was chosen, if there is one. On the device, each run that
    trains takes `run_bytes`, and measuring, one run at a time, takes `measuring_bytes` more.
    """

    engine: str
    max_stack: int = 1
    reason: str = ""
    run_bytes: int = 0
    measuring_bytes: int = 0

    @property
    def smallest_stack(self) -> int:
        """How many runs one run costs: stacks are filled up to a multiple of it."""
        return ENGINES[self.engine].pad_to

    @property
    def stacks(self) -> bool:
        """Whether several runs are trained as one."""
        return ENGINES[self.engine].stacks

    def stack_bytes(self, n_runs: int) -> int:
        """Roughly the memory of a task with this many runs, stacked or one after another."""
        n_at_once = 1
        if self.stacks:
            n_at_once = math.ceil(n_runs / self.smallest_stack) * self.smallest_stack
        return self.measuring_bytes + n_at_once * self.run_bytes


def plan(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    *,
    device: str,
    engine: str = "auto",
    known: tuple[str, str] | None = None,
) -> Plan:
    """Choose the plain engine if asked for, else a stacked one if a check shows that it is equal.

    With `auto`, stacking must also pay. `known` is an engine with its reason, decided earlier by a
    check or its result; then no check is made. Raises InputError if runs depend on what was trained
    before them.
    """
    run_bytes, measuring_bytes = needed_bytes(benchmark, splits)
    sizes = {"run_bytes": run_bytes, "measuring_bytes": measuring_bytes}
    reason = _why_plain(benchmark, spec, splits, device, engine)
    if reason:
        if known is None and not _is_compiled(benchmark):
            _check_repeats_briefly(benchmark, spec, splits)
        return Plan(engine="plain", reason=reason, **sizes)
    chosen, reason = known or choose(benchmark, spec, splits, device=device)
    if chosen == "plain":
        return Plan(engine="plain", reason=reason, **sizes)
    most = max_stack(run_bytes, measuring_bytes, device)
    return Plan(engine=chosen, max_stack=most, reason=reason, **sizes)


def _check_repeats_briefly(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Raise InputError if a short run differs when trained again. Skipped for expensive steps."""
    n_steps = int(REPEATED_FLOPS / max(step_flops(benchmark, splits), 1.0))
    if n_steps >= 2:
        n_steps = min(n_steps, REPEATED_STEPS)
        check_repeats(benchmark, spec, splits, n_steps=n_steps, device="cpu")


def _why_plain(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, device: str, engine: str
) -> str:
    """Why runs are not stacked, whatever a check would show; empty if a check decides."""
    if engine == "plain":
        return "as asked"
    if engine == "auto" and is_host(device):
        flops = step_flops(benchmark, splits)
        if flops > STACK_FLOPS:
            return f"a step of {flops / 1e6:.0f} MFLOP gains nothing from stacking on a CPU"
    if _is_compiled(benchmark):
        return "its model is compiled"
    if spec.closure:
        return "its step calls the loss itself"
    return coarse_arithmetic(benchmark, splits)


def _is_compiled(benchmark: Benchmark) -> bool:
    modules = initial_model(benchmark, 0).modules()
    return any(type(module).__name__ == "OptimizedModule" for module in modules)


def group(runs: Sequence[Run], max_stack: int) -> list[tuple[Run, ...]]:
    """The runs in as few stacks as allowed, all of about the same size."""
    n_stacks = math.ceil(len(runs) / max_stack)
    stacks: list[tuple[Run, ...]] = []
    for i in range(n_stacks):
        low, high = len(runs) * i // n_stacks, len(runs) * (i + 1) // n_stacks
        stacks.append(tuple(runs[low:high]))
    return stacks


def step_flops(benchmark: Benchmark, splits: Splits) -> float:
    """The FLOP of one step of the plain model, forward and backward.

    Not of the stacked model, because torch's counter is wrong under vmap.
    """
    with FlopCounterMode(display=False) as counter:
        _backward(benchmark, splits)
    return float(counter.get_total_flops())


def needed_bytes(benchmark: Benchmark, splits: Splits) -> tuple[int, int]:
    """The bytes for training a run and those for measuring it.

    Training needs all copies of the parameters, and twice the tensors that a forward pass keeps.
    """
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        parameters = _backward(benchmark, splits)
    measuring = kept * min(CHUNK, len(splits.validation[0])) // benchmark.batch_size
    return COPIES * parameters + 2 * kept, measuring


def max_stack(run_bytes: int, measuring_bytes: int, device: str) -> int:
    """The most runs in one stack: as many as fit into its memory, on a CPU as many as pay."""
    most_bytes, most_runs = stack_limits(device)
    n_runs = (most_bytes - measuring_bytes) // run_bytes
    if most_runs is not None:
        n_runs = min(n_runs, most_runs)
    return max(1, n_runs)


def _backward(benchmark: Benchmark, splits: Splits) -> int:
    """Run a forward and a backward pass of the plain model; return the bytes of its parameters."""
    model = initial_model(benchmark, 0)
    x, y = splits.train
    first = slice(benchmark.batch_size)
    outputs = model(x[first].clone())
    benchmark.loss(outputs, y[first].clone()).backward()  # type: ignore[no-untyped-call]
    return sum(parameter.nbytes for parameter in model.parameters())
