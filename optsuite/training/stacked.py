"""K runs of one benchmark and one optimizer trained in lockstep as one stacked model: rates, seeds, or both differ.

The parameters of all runs lie in one flat tensor, block by block, each block (K, ...); `vmap` runs the model over the
first dimension, and one backward pass gives all gradients. An optimizer whose step is elementwise and proportional to
its rate steps the flat tensor as a whole with rate 1, and each run's step is then scaled by its own rate; of any other
optimizer, each run has an instance over its views. `plain` is the reference: a contract test holds the two together.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.training.losses import placed
from optsuite.training.plain import batch_indices, ended_early, initial_model, is_finite, measure, measurement
from optsuite.training.run import Ended, Measurement, Run
from optsuite.training.step import build, has_overflown, judged, set_rate, without_draws

# Vectorised kernels treat the end of an array differently, which would show in the bits of the last runs:
MULTIPLE = 8  # so stacks are padded to a multiple of this many runs,
ALIGNMENT = 64  # and flat tensors to one of this many elements, four of the widest vectors


class Stack:
    """The parameters and buffers of K models, of which `base` lends its structure."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.base = models[0]
        self.size = len(models)
        named = [dict(model.named_parameters()) for model in models]
        if len({parameter.dtype for parameter in named[0].values()}) > 1:
            raise RuntimeError("its parameters have more than one dtype")
        n = sum(parameter.numel() for parameter in named[0].values())
        first = next(iter(named[0].values()))
        self.flat = torch.zeros(-(-n * self.size // ALIGNMENT) * ALIGNMENT, dtype=first.dtype, device=first.device)
        self.grad = torch.zeros_like(self.flat)
        self.parameters: dict[str, Tensor] = {}
        start = 0
        for name, parameter in named[0].items():
            block = slice(start, start := start + parameter.numel() * self.size)
            shape = (self.size, *parameter.shape)
            self.flat[block].view(shape).copy_(torch.stack([parameters[name].detach() for parameters in named]))
            self.parameters[name] = self.flat[block].view(shape).detach().requires_grad_()
            self.parameters[name].grad = self.grad[block].view(shape)  # backward adds to it in place
        buffers = [dict(model.named_buffers()) for model in models]
        self.buffers = {name: torch.stack([own[name] for own in buffers]) for name in buffers[0]}

    def rates(self, rates: Sequence[float]) -> Tensor:
        """The rate of each element's run, in the layout of `flat`."""
        lr = torch.tensor(rates, dtype=self.flat.dtype, device=self.flat.device)
        blocks = [lr.repeat_interleave(parameter[0].numel()) for parameter in self.parameters.values()]
        used = torch.cat(blocks)
        return F.pad(used, (0, len(self.flat) - len(used)))

    def view(self, position: int) -> nn.Module:
        """The module of one run, its parameters, their gradients and its buffers views of the stack's."""
        model = copy.deepcopy(self.base)
        for name, parameter in model.named_parameters():
            parameter.data = self.parameters[name].detach()[position]
            gradient = self.parameters[name].grad
            assert gradient is not None
            parameter.grad = gradient[position]
        for name, buffer in model.named_buffers():
            buffer.data = self.buffers[name][position]
        return model


class _Flat(nn.Module):
    """A module whose only parameter is the flat tensor of a stack."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.flat = nn.Parameter(stack.flat)
        self.flat.grad = stack.grad


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
) -> Iterator[tuple[int, Measurement | Ended]]:
    """Train the runs as one stack, with the meaning of `plain.train`. An exception ends all of them.

    Raises RuntimeError where the model draws random numbers or has an operation that cannot be stacked.
    """
    benchmark = placed(benchmark, device)
    padded = [*runs, *[runs[0]] * (-len(runs) % MULTIPLE)]
    stack = Stack([initial_model(benchmark, run.seed).to(device) for run in padded])
    views = [stack.view(position) for position in range(stack.size)]
    stepper = _Stepper(spec, stack, views, padded)
    live = set(range(len(runs)))

    def measured() -> dict[int, dict[str, float]]:
        return {index: measure(benchmark, views[index], splits, runs[index].seed) for index in sorted(live)}

    yield from _start(measured(), live)
    total, since = torch.zeros(stack.size, device=device, dtype=torch.float32), 0
    for step, losses in enumerate(_losses(benchmark, stack, padded, splits, device), start=1):
        fraction = spec.fraction(step, benchmark.max_steps)
        for index in live & stepper.step(fraction):
            live.discard(index)
            yield index, Ended(outcome="diverged")
        total = total + losses
        since += 1
        if step % benchmark.eval_every and step != benchmark.max_steps:
            continue
        with judged(stepper.optimizers):
            rows = measured()
        for index, mean in enumerate((total / since).tolist()[: len(runs)]):
            rows.get(index, {}).update({"train/loss": mean, "train/lr": runs[index].lr * fraction})
        for index, fact in _facts(step, rows, live):
            yield index, ended_early(benchmark, runs[index], splits, step, rows[index]) if isinstance(fact, Ended) else fact
        if not live:
            return
        total.zero_()
        since = 0
    for index in sorted(live):
        yield index, Ended(outcome="finished")


def _losses(benchmark: Benchmark, stack: Stack, runs: Sequence[Run], splits: Splits, device: str) -> Iterator[Tensor]:
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


def _start(rows: Mapping[int, Mapping[str, float]], live: set[int]) -> Iterator[tuple[int, Measurement | Ended]]:
    """What was measured before training. Runs without a finite loss there have failed, and leave `live`."""
    for index, values in rows.items():
        if is_finite(values):
            yield index, measurement(0, values)
        else:
            live.discard(index)
            yield index, Ended(outcome="failed", error=f"ValueError: a loss is not finite before training: {values}")


def _facts(step: int, rows: Mapping[int, Mapping[str, float]], live: set[int]) -> Iterator[tuple[int, Measurement | Ended]]:
    """What the live runs measured at a step. Those that have diverged end, and leave `live`."""
    for index in sorted(live):
        yield index, measurement(step, rows[index])
        if not is_finite(rows[index]):
            live.discard(index)
            yield index, Ended(outcome="diverged")


def _loss(benchmark: Benchmark, base: nn.Module) -> Callable[..., Tensor]:
    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return benchmark.loss(functional_call(base, (parameters, buffers), (x,)), y)

    return loss


class _Stepper:
    """Makes one step of every run from the gradients that lie in the stack."""

    def __init__(self, spec: OptimizerSpec, stack: Stack, views: Sequence[nn.Module], runs: Sequence[Run]) -> None:
        self._stack, self._views = stack, views
        self._rates: Tensor | None = None
        if spec.proportional:
            self.optimizers = [build(spec, _Flat(stack), 1.0)]
            self._rates, self._before = stack.rates([run.lr for run in runs]), torch.empty_like(stack.flat)
        else:
            self.optimizers = [build(spec, view, run.lr, run.seed) for view, run in zip(views, runs, strict=True)]

    def step(self, fraction: float) -> set[int]:
        """Step every run with this fraction of its rate. Returns the runs whose optimizer could not, as they had diverged."""
        if self._rates is None:
            return {index for index in range(self._stack.size) if not self._step_one(index, fraction)}
        self._before.copy_(self._stack.flat)
        self.optimizers[0].step()
        rates = self._rates if fraction == 1.0 else self._rates * fraction
        torch.lerp(self._before, self._stack.flat, rates, out=self._stack.flat)
        return set()

    def _step_one(self, index: int, fraction: float) -> bool:
        set_rate(self.optimizers[index], fraction)
        try:
            self.optimizers[index].step()
        except Exception:
            if not has_overflown(self._views[index]):
                raise
            return False
        return True


def _batches(n: int, benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[Tensor]:
    """Endless batches of example indices (K, batch_size), each row in the order of its run's seed."""
    own = {run.seed: batch_indices(n, benchmark, run.seed) for run in runs}
    while True:
        batch = {seed: next(batches) for seed, batches in own.items()}
        yield torch.stack([batch[run.seed] for run in runs])
