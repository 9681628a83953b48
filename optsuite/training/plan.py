"""How runs are trained: by which engine, and how many in one stack. Decided from the definitions, never by a stopwatch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.device import is_host, stack_limits
from optsuite.training.engines import ENGINES
from optsuite.training.equivalence.trial import check_repeats, choose
from optsuite.training.plain import CHUNK, initial_model
from optsuite.training.results import Run

STACK_FLOPS = 10e6  # a step with more is as fast run by run on a CPU; measured with make speed
COPIES = 7  # of the parameters in a stack: values, gradients, those before the step, rates, optimizer state, and one to spare
REPEATED_FLOPS = (
    1e9  # what training a run twice may take to see whether it repeats: a second at the most
)
REPEATED_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The engine of a benchmark and an optimizer, the most runs of one stack, and why no faster engine, if there is one.

    A run takes `run_bytes` while it is trained, on the device; measuring, one run at a time, takes `measuring_bytes` more.
    """

    engine: str
    max_stack: int = 1
    reason: str = ""
    run_bytes: int = 0
    measuring_bytes: int = 0

    @property
    def smallest_stack(self) -> int:
        """How many runs one run costs: a stack is filled up to a multiple."""
        return ENGINES[self.engine].pad_to

    @property
    def stacks(self) -> bool:
        """Whether several runs are trained as one."""
        return ENGINES[self.engine].stacks

    def stack_bytes(self, n_runs: int) -> int:
        """Roughly what so many runs take that are trained together, or one after another by the plain engine."""
        pad_to = ENGINES[self.engine].pad_to
        n = -(-n_runs // pad_to) * pad_to if self.stacks else 1
        return self.measuring_bytes + n * self.run_bytes


def plan(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    *,
    device: str,
    engine: str = "auto",
    known: tuple[str, str] | None = None,
) -> Plan:
    """Choose the engine: `plain` if asked for; else stacked where a trial shows it equal and, for `auto`, where it pays.

    `known` is an engine and a reason that were decided earlier, by a trial or by what came of one; then none is made.
    Raises InputError where runs depend on what was trained before them.
    """
    run_bytes, measuring_bytes = needed_bytes(benchmark, splits)
    sizes = {"run_bytes": run_bytes, "measuring_bytes": measuring_bytes}
    if reason := _why_plain(benchmark, spec, splits, device, engine):
        if known is None and not _is_compiled(benchmark):
            n_steps = int(REPEATED_FLOPS / max(step_flops(benchmark, splits), 1.0))
            if n_steps >= 2:
                check_repeats(
                    benchmark, spec, splits, n_steps=min(n_steps, REPEATED_STEPS), device="cpu"
                )
        return Plan(engine="plain", reason=reason, **sizes)
    chosen, reason = known or choose(benchmark, spec, splits, device=device)
    if chosen == "plain":
        return Plan(engine="plain", reason=reason, **sizes)
    most = max_stack(run_bytes, measuring_bytes, device)
    return Plan(engine=chosen, max_stack=most, reason=reason, **sizes)


def _why_plain(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, device: str, engine: str
) -> str:
    """Why runs are trained plainly whatever a trial might show; empty where it decides."""
    if engine == "plain":
        return "as asked"
    if engine == "auto" and is_host(device):
        flops = step_flops(benchmark, splits)
        if flops > STACK_FLOPS:
            return f"a step of {flops / 1e6:.0f} MFLOP gains nothing from stacking on a CPU"
    if _is_compiled(benchmark):
        return "its model is compiled"
    return "its step calls the loss itself" if spec.closure else ""


def _is_compiled(benchmark: Benchmark) -> bool:
    return any(
        type(module).__name__ == "OptimizedModule"
        for module in initial_model(benchmark, 0).modules()
    )


def group(runs: Sequence[Run], max_stack: int) -> list[tuple[Run, ...]]:
    """The runs in stacks as large as allowed and of about the same size."""
    n = math.ceil(len(runs) / max_stack)
    bounds = [len(runs) * i // n for i in range(n + 1)] if n else [0]
    return [tuple(runs[low:high]) for low, high in pairwise(bounds)]


def step_flops(benchmark: Benchmark, splits: Splits) -> float:
    """The floating-point operations of one step of the plain model, forward and backward; under vmap they count wrong."""
    with FlopCounterMode(display=False) as counter:
        _backward(benchmark, splits)
    return float(counter.get_total_flops())


def needed_bytes(benchmark: Benchmark, splits: Splits) -> tuple[int, int]:
    """What a run takes, its parameters in all their copies and what a forward pass keeps; and what measuring it does."""
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
    """How many runs make a stack: as many as fit into its memory, on a CPU no more than pay."""
    most_bytes, most_runs = stack_limits(device)
    fitting = (most_bytes - measuring_bytes) // run_bytes
    return max(1, fitting if most_runs is None else min(most_runs, fitting))


def _backward(benchmark: Benchmark, splits: Splits) -> int:
    """Run one step's forward and backward pass of the plain model; return the bytes of its parameters."""
    model = initial_model(benchmark, 0)
    x, y = (part[: benchmark.batch_size].clone() for part in splits.train)
    benchmark.loss(model(x), y).backward()  # type: ignore[no-untyped-call]
    return sum(parameter.nbytes for parameter in model.parameters())
