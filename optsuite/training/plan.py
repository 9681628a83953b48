"""How runs are trained: by which engine, and how many in one stack. Decided from the definitions, never by a stopwatch."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.errors import one_line
from optsuite.training import plain, stacked
from optsuite.training.plain import CHUNK, initial_model
from optsuite.training.run import Ended, Measurement, Run
from optsuite.training.stacked import MULTIPLE

Engine = Callable[..., Iterator[tuple[int, Measurement | Ended]]]
ENGINES: Mapping[str, Engine] = {"plain": plain.train, "stacked": stacked.train}
STACK_FLOPS = 10e6  # a step with more is as fast run by run on a CPU; measured with make speed
STACK_BYTES = 2**30  # what a stack may take on a CPU; the GPU's share is half of what is free
STACK_RUNS = 32  # on a CPU more are no faster, and slower where they overflow its caches
COPIES = 7  # of the parameters in a stack: values, gradients, those before the step, rates, optimizer state, and one to spare
AGREEMENT = 1e-7  # relative, in float64, between the engines after the trial steps


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The engine of a benchmark and an optimizer, the most runs of one stack, and why it is not stacked, if it is not.

    A run takes `run_bytes` while it is trained, on the device; measuring, one run at a time, takes `measuring_bytes` more.
    """

    engine: str
    max_stack: int = 1
    reason: str = ""
    run_bytes: int = 0
    measuring_bytes: int = 0

    def stack_bytes(self, n_runs: int) -> int:
        """Roughly what so many runs take that are trained together, or one after another by the plain engine."""
        n = -(-n_runs // MULTIPLE) * MULTIPLE if self.engine == "stacked" else 1
        return self.measuring_bytes + n * self.run_bytes


def plan(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, device: str, engine: str = "auto") -> Plan:
    """Choose the engine: `plain` if asked for; else stacked where it is possible and, for `auto`, where it pays."""
    run_bytes, measuring_bytes = needed_bytes(benchmark, splits)
    plain_plan = partial(Plan, engine="plain", run_bytes=run_bytes, measuring_bytes=measuring_bytes)
    if engine == "plain":
        return plain_plan(reason="as asked")
    if engine == "auto" and torch.device(device).type == "cpu":
        flops = step_flops(benchmark, splits)
        if flops > STACK_FLOPS:
            return plain_plan(reason=f"a step of {flops / 1e6:.0f} MFLOP gains nothing from stacking on a CPU")
    reason = "its step calls the loss itself" if spec.closure else why_not_stacked(benchmark, spec, splits)
    if reason:
        return plain_plan(reason=reason)
    most = max_stack(run_bytes, measuring_bytes, device)
    return Plan(engine="stacked", max_stack=most, run_bytes=run_bytes, measuring_bytes=measuring_bytes)


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


def why_not_stacked(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> str:
    """Train two steps both ways and say what stands against stacking in one line; empty where nothing does."""
    if len({parameter.dtype for parameter in initial_model(benchmark, 0).parameters()}) > 1:
        return "its parameters have more than one dtype"
    short = replace(benchmark, max_steps=2, eval_every=1, model=lambda: benchmark.model().double())
    lr = spec.default_lr or math.sqrt(spec.lr.low * spec.lr.high)
    runs = [Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr * 2**-i, seed=i, kind="trial") for i in range(2)]
    few = _first(splits.to("cpu", torch.float64), benchmark.batch_size, n_batches=len(runs))
    try:
        reference, stack = (list(train(short, spec, runs, few)) for train in (plain.train, stacked.train))
    except Exception as error:
        return one_line(error).partition(". ")[0][:200]
    expected, received = (
        {(i, f.step): f.values for i, f in facts if isinstance(f, Measurement)} for facts in (reference, stack)
    )
    same = expected.keys() == received.keys() and all(
        math.isclose(value, received[key].get(name, math.nan), rel_tol=AGREEMENT, abs_tol=1e-12)
        for key, values in expected.items()
        for name, value in values.items()
    )
    return "" if same else "its stacked runs do not equal plain ones"


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
    if torch.device(device).type == "cuda":
        return max(1, int((torch.cuda.mem_get_info(device)[0] / 2 - measuring_bytes) / run_bytes))
    return max(1, min(STACK_RUNS, int((STACK_BYTES - measuring_bytes) / run_bytes)))


def _backward(benchmark: Benchmark, splits: Splits) -> int:
    """Run one step's forward and backward pass of the plain model; return the bytes of its parameters."""
    model = initial_model(benchmark, 0)
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    benchmark.loss(model(x), y).backward()  # type: ignore[no-untyped-call]
    return sum(parameter.nbytes for parameter in model.parameters())


def _first(splits: Splits, n: int, *, n_batches: int) -> Splits:
    """The first examples of each split: several batches in training, since the same again would not show all that differs."""
    x, y = splits.train
    return Splits(
        train=(x[: n_batches * n], y[: n_batches * n]),
        validation=(splits.validation[0][:n], splits.validation[1][:n]),
        test=(splits.test[0][:n], splits.test[1][:n]),
    )
