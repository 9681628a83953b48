"""K runs of one benchmark and one optimizer trained in lockstep as one stacked model: rates, seeds, or both differ.

`vmap` runs the model over the first dimension of the stacked tensors, and one backward pass gives all gradients. An
optimizer whose step is elementwise and proportional to its rate steps the flat tensor as a whole; of any other optimizer,
each run has an instance over its views. `plain` is the reference: a trial before training, and a contract test, hold the
two together.
"""

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


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
    flat: bool = True,
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """Train the runs as one stack, with the meaning of `plain.train`. An exception ends all of them.

    Without `flat`, each run has an optimizer of its own even where the spec calls its step proportional. Raises RuntimeError
    where the model draws random numbers or has an operation that cannot be stacked, or the optimizer cannot step the flat
    tensor.
    """
    benchmark = placed(benchmark, device)
    padded = [*runs, *[runs[0]] * (-len(runs) % PAD_TO)]
    stack = Stack([initial_model(benchmark, run.seed).to(device) for run in padded])
    rates = [run.lr for run in padded]
    stepper: Stepper
    if flat and spec.lr_linear:
        stepper = FlatStepper(spec, stack, rates)
    else:
        stepper = ViewsStepper(spec, stack, rates, [run.seed for run in padded])
    live = set(range(len(runs)))

    def measured() -> dict[int, dict[str, float]]:
        return {
            index: measure(benchmark, stack.views[index], splits, runs[index].seed)
            for index in sorted(live)
        }

    yield from _start(measured(), live)
    total, since = torch.zeros(stack.size, device=device, dtype=torch.float32), 0
    for step, losses in enumerate(_losses(benchmark, stack, padded, splits, device), start=1):
        lr_multiplier = spec.lr_multiplier(step, benchmark.max_steps)
        for index in live & stepper.step(lr_multiplier):
            live.discard(index)
            yield index, RunResult(outcome="diverged")
        total = total + losses
        since += 1
        if step % benchmark.eval_every and step != benchmark.max_steps:
            continue
        with eval_mode(stepper.optimizers):
            rows = measured()
        for index, mean in enumerate((total / since).tolist()[: len(runs)]):
            rows.get(index, {}).update(
                {"train/loss": mean, "train/lr": runs[index].lr * lr_multiplier}
            )
        for index, update in _updates(step, rows, live):
            yield (
                index,
                ended_early(benchmark, runs[index], splits, step, rows[index])
                if isinstance(update, RunResult)
                else update,
            )
        if not live:
            return
        total.zero_()
        since = 0
    for index in sorted(live):
        yield index, RunResult(outcome="finished")


train_views = partial(train, flat=False)


def _losses(
    benchmark: Benchmark, stack: Stack, runs: Sequence[Run], splits: Splits, device: str
) -> Iterator[Tensor]:
    """The losses (K,) of one batch after another, `max_steps` of them; their gradients lie in the stack meanwhile."""
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
    """What was measured before training. Runs without a finite loss there have failed, and leave `live`."""
    for index, values in rows.items():
        if is_finite(values):
            yield index, measurement(0, values)
        else:
            live.discard(index)
            yield (
                index,
                RunResult(
                    outcome="failed",
                    error=f"ValueError: a loss is not finite before training: {values}",
                ),
            )


def _updates(
    step: int, rows: Mapping[int, Mapping[str, float]], live: set[int]
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """What the live runs measured at a step. Those that have diverged end, and leave `live`."""
    for index in sorted(live):
        yield index, measurement(step, rows[index])
        if not is_finite(rows[index]):
            live.discard(index)
            yield index, RunResult(outcome="diverged")


def _loss(benchmark: Benchmark, base: nn.Module) -> Callable[..., Tensor]:
    def loss(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> Tensor:
        return benchmark.loss(functional_call(base, (parameters, buffers), (x,)), y)

    return loss


def _batches(n: int, benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[Tensor]:
    """Endless batches of example indices (K, batch_size), each row in the order of its run's seed."""
    own = {run.seed: batch_indices(n, benchmark, run.seed) for run in runs}
    while True:
        batch = {seed: next(batches) for seed, batches in own.items()}
        yield torch.stack([batch[run.seed] for run in runs])
