"""Trains K runs of one benchmark and one optimizer in lockstep as one stacked model.

The runs differ in rates, seeds, or both. `vmap` runs the model over the first dimension of the
stacked tensors, and one backward pass gives all gradients. An optimizer whose step is elementwise
and proportional to its rate steps the flat tensor as a whole; any other optimizer has an instance
for each run. `plain` is the reference, with which a check before training and a contract test
compare this engine.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.losses import placed
from optsuite.training.plain import (
    batch_indices,
    ended_early,
    initial_model,
    is_finite,
    measure,
    measurement,
)
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.stack import PAD_TO, Stack
from optsuite.training.stepper import FlatStepper, Stepper, ViewsStepper
from optsuite.training.train_step import eval_mode, without_draws

# A warning of torch that users cannot act on.
SLOW_VMAP = "There is a performance drop because we have not yet implemented the batching rule"


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
    flat: bool = True,
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """Train the runs as one stack; yields the same as `plain.train`. An exception ends all runs.

    Without `flat`, each run has its own optimizer even if the spec declares its step proportional.
    Raises RuntimeError if the model draws random numbers or has an operation that cannot be
    stacked, or if the optimizer cannot step the flat tensor.
    """
    benchmark = placed(benchmark, device)
    padded = [*runs, *[runs[0]] * (-len(runs) % PAD_TO)]
    stack = Stack([initial_model(benchmark, run.seed).to(device) for run in padded])
    stepper = _stepper(spec, stack, padded, flat=flat)
    live = set(range(len(runs)))
    yield from _start(_measured(benchmark, stack, splits, runs, live), live)
    total, since = torch.zeros(stack.size, device=device, dtype=torch.float32), 0
    for step, losses in enumerate(_losses(benchmark, stack, padded, splits, device), start=1):
        lr_multiplier = spec.lr_multiplier(step, benchmark.max_steps)
        yield from _diverged(stepper.step(lr_multiplier), live)
        total = total + losses
        since += 1
        if step % benchmark.eval_every and step != benchmark.max_steps:
            continue
        with eval_mode(stepper.optimizers):
            rows = _measured(benchmark, stack, splits, runs, live)
        means = (total / since).tolist()
        for index, values in rows.items():
            values["train/loss"] = means[index]
            values["train/lr"] = runs[index].lr * lr_multiplier
            yield index, measurement(step, values)
            if not is_finite(values):
                live.discard(index)
                yield index, ended_early(benchmark, runs[index], splits, step, values)
        if not live:
            return
        total.zero_()
        since = 0
    for index in sorted(live):
        yield index, RunResult(outcome="finished")


train_views = partial(train, flat=False)


def _stepper(spec: OptimizerSpec, stack: Stack, runs: Sequence[Run], *, flat: bool) -> Stepper:
    rates = [run.lr for run in runs]
    if flat and spec.lr_linear:
        return FlatStepper(spec, stack, rates)
    return ViewsStepper(spec, stack, rates, [run.seed for run in runs])


def _measured(
    benchmark: Benchmark, stack: Stack, splits: Splits, runs: Sequence[Run], live: set[int]
) -> dict[int, dict[str, float]]:
    """The losses and metrics of the live runs, by index in ascending order."""
    rows: dict[int, dict[str, float]] = {}
    for index in sorted(live):
        rows[index] = measure(benchmark, stack.views[index], splits, runs[index].seed)
    return rows


def _losses(
    benchmark: Benchmark, stack: Stack, runs: Sequence[Run], splits: Splits, device: str
) -> Iterator[Tensor]:
    """The losses (K,) of `max_steps` batches, one after another.

    When losses are yielded, the stack holds their gradients.
    """
    warnings.filterwarnings("ignore", SLOW_VMAP)
    losses_of = vmap(_loss(benchmark, stack.base), randomness="error")
    x, y = splits.train
    for batch in islice(_batches(len(x), benchmark, runs), benchmark.max_steps):
        rows = batch.to(device)
        stack.grad.zero_()
        with without_draws(device):
            losses = losses_of(stack.parameters, stack.buffers, x[rows], y[rows])
        losses.sum().backward()  # type: ignore[no-untyped-call]
        yield losses.detach()


def _start(
    rows: Mapping[int, Mapping[str, float]], live: set[int]
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """The measurements before training. Runs without a finite loss fail and leave `live`."""
    for index, values in rows.items():
        if is_finite(values):
            yield index, measurement(0, values)
        else:
            live.discard(index)
            error = f"ValueError: a loss is not finite before training: {values}"
            yield index, RunResult(outcome="failed", error=error)


def _diverged(indices: set[int], live: set[int]) -> Iterator[tuple[int, RunResult]]:
    """The results of live runs that diverged in a step. They leave `live`."""
    for index in live & indices:
        live.discard(index)
        yield index, RunResult(outcome="diverged")


def _loss(benchmark: Benchmark, base: nn.Module) -> Callable[..., Tensor]:
    def loss(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> Tensor:
        return benchmark.loss(functional_call(base, (parameters, buffers), (x,)), y)

    return loss


def _batches(n: int, benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[Tensor]:
    """Endless batches of example indices (K, batch_size), each row in the order of its seed."""
    own = {run.seed: batch_indices(n, benchmark, run.seed) for run in runs}
    while True:
        batch = {seed: next(batches) for seed, batches in own.items()}
        yield torch.stack([batch[run.seed] for run in runs])
