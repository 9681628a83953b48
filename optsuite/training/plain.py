"""The reference loop: trains one run after another."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import location, one_line
from optsuite.training.checkpoint import Checkpoint, State
from optsuite.training.explain import batch_without_loss
from optsuite.training.identity import derived_seed
from optsuite.training.losses import placed
from optsuite.training.outputs import joined
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.train_step import (
    build,
    eval_mode,
    evaluating,
    has_overflowed,
    is_out_of_memory,
    seed_generators,
    set_lr,
    take_step,
)

CHUNK = 2_000  # examples measured at once: bounds memory, and is large enough to lose no speed


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One step of a run, which can be taken on any state of that run."""

    benchmark: Benchmark
    spec: OptimizerSpec
    batch: tuple[Tensor, Tensor]
    lr_multiplier: float
    seed: int

    def __call__(self, state: State) -> Tensor:
        """Take the step and return the loss before it."""
        model, optimizer = state.model, state.optimizer
        set_lr(optimizer, self.lr_multiplier)
        return take_step(self.benchmark, self.spec, model, optimizer, *self.batch, self.seed)


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
    checkpoint_of: Callable[[Run], Checkpoint] | None = None,
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """Train the runs and yield pairs of a run's index and its next measurement or its result.

    The splits lie on the device already; models train in the dtypes that their function gave them.
    An exception ends its run as failed and leaves the others alone. A run with a checkpoint resumes
    from there, and first yields its earlier measurements. Seeds the global generators.
    """
    benchmark = placed(benchmark, device)
    for index, run in enumerate(runs):
        try:
            checkpoint = checkpoint_of(run) if checkpoint_of else None
            state = _begin(benchmark, spec, run, checkpoint, device)
            for update in _train_one(benchmark, spec, run, splits, state, checkpoint):
                yield index, update
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise  # a fault of the machine, not of the run
            yield index, RunResult(outcome="failed", error=one_line(error) + location(error))


def _begin(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, checkpoint: Checkpoint | None, device: str
) -> State:
    """The state in which the run starts or resumes."""

    def fresh() -> State:
        model = initial_model(benchmark, run.seed).to(device)
        return State(
            model=model,
            optimizer=build(spec, model, run.lr, run.seed),
            total=torch.zeros((), device=device, dtype=torch.float32),
        )

    return checkpoint.begin(fresh) if checkpoint else fresh()


def _train_one(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    run: Run,
    splits: Splits,
    state: State,
    checkpoint: Checkpoint | None,
) -> Iterator[Measurement | RunResult]:
    """Train on from the state, which is kept up to date."""
    if not state.measurements:
        state.measurements.append(_start(benchmark, state.model, splits, run.seed))
    yield from list(state.measurements)
    for step, advance in _steps(benchmark, spec, run, splits.train, after=state.step):
        try:
            # The sum of float64 losses is in float64, of all others in float32.
            state.total = state.total + advance(state)
        except Exception:
            if not has_overflowed(state.model):
                raise
            yield RunResult(outcome="diverged")
            return
        state.step = step
        state.since += 1
        if step % benchmark.eval_every == 0 or step == benchmark.max_steps:
            measured = _measure_step(benchmark, run, splits, state, advance.lr_multiplier)
            state.measurements.append(measurement(step, measured))
            yield state.measurements[-1]
            if not is_finite(measured):
                yield ended_early(benchmark, run, splits, step, measured)
                return
            state.total.zero_()
            state.since = 0
        if checkpoint and step < benchmark.max_steps:
            checkpoint.save(state, advance)
    yield RunResult(outcome="finished")


def _steps(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, split: Split, *, after: int
) -> Iterator[tuple[int, _Step]]:
    """The numbers and the steps of a run that follow the step `after`."""
    x, y = split
    batches = islice(batch_indices(len(x), benchmark, run.seed), after, None)
    for step in range(after + 1, benchmark.max_steps + 1):
        rows = next(batches).to(x.device)
        advance = _Step(
            benchmark=benchmark,
            spec=spec,
            batch=(x[rows], y[rows]),
            lr_multiplier=spec.lr_multiplier(step, benchmark.max_steps),
            seed=derived_seed(run.seed, step),
        )
        yield step, advance


def _start(benchmark: Benchmark, model: nn.Module, splits: Splits, seed: int) -> Measurement:
    """The measurement at step 0. Raises ValueError if a loss is not finite."""
    measured = measure(benchmark, model, splits, seed)
    if not is_finite(measured):
        raise ValueError(f"a loss is not finite before training: {measured}")
    return measurement(0, measured)


def _measure_step(
    benchmark: Benchmark, run: Run, splits: Splits, state: State, lr_multiplier: float
) -> dict[str, float]:
    """The losses and metrics after a step, with the mean training loss since the last ones."""
    with eval_mode([state.optimizer]):
        measured = measure(benchmark, state.model, splits, run.seed)
    measured["train/loss"] = state.total.item() / state.since
    measured["train/lr"] = run.lr * lr_multiplier
    return measured


def ended_early(
    benchmark: Benchmark, run: Run, splits: Splits, step: int, measured: Mapping[str, float]
) -> RunResult:
    """The result of a run with a measured loss that is not finite.

    Failed if a batch since the last measurement has no finite loss whatever the weights.
    """
    if math.isnan(measured["train/loss"]):
        x = splits.train[0]
        first = (step - 1) // benchmark.eval_every * benchmark.eval_every + 1
        batches = islice(batch_indices(len(x), benchmark, run.seed), first - 1, step)
        numbered = enumerate(batches, start=first)
        model = initial_model(benchmark, run.seed).to(x.device)
        reason = batch_without_loss(benchmark, model, splits, numbered, run.seed)
        if reason:
            return RunResult(outcome="failed", error=reason)
    return RunResult(outcome="diverged")


def initial_model(benchmark: Benchmark, seed: int) -> nn.Module:
    """The model with this seed's initial weights, on the CPU: the same for all optimizers."""
    seed_generators(derived_seed("initial weights", seed), "cpu")
    return benchmark.model()


def batch_indices(n: int, benchmark: Benchmark, seed: int) -> Iterator[Tensor]:
    """Endless batches of indices of the `n` examples (batch_size,), the same for all optimizers.

    Examples at the end of an epoch that fill no batch are dropped.
    """
    generator = torch.Generator().manual_seed(derived_seed("batch order", seed))
    order = torch.randperm(n, generator=generator)
    while True:
        yield from torch.split(order, benchmark.batch_size)[: n // benchmark.batch_size]
        if benchmark.shuffle == "epoch":
            order = torch.randperm(n, generator=generator)


@torch.no_grad()
def measure(benchmark: Benchmark, model: nn.Module, splits: Splits, seed: int) -> dict[str, float]:
    """Loss and metrics on the whole validation and test splits in eval mode, by curve name.

    A model that draws random numbers even here, such as a variational autoencoder, draws the same
    ones at every step of a run.
    """
    seed_generators(derived_seed("measurement", seed), str(splits.test[0].device))
    values = {}
    with evaluating(model):
        for name, split in (("validation", splits.validation), ("test", splits.test)):
            for metric, value in values_of(benchmark, model, split).items():
                values[f"{name}/{metric}"] = value
    return values


@torch.no_grad()
def values_of(benchmark: Benchmark, model: nn.Module, split: Split) -> dict[str, float]:
    """Loss and metrics on a split: means over examples, or of all at once with `whole_split`."""
    functions = {"loss": benchmark.loss, **benchmark.metrics}
    inputs, targets = split
    chunks = torch.split(inputs, CHUNK)
    if benchmark.whole_split:
        outputs = joined([model(x) for x in chunks], list(map(len, chunks)))
        return {name: function(outputs, targets).item() for name, function in functions.items()}
    totals = dict.fromkeys(functions, 0.0)
    for x, y in zip(chunks, torch.split(targets, CHUNK), strict=True):
        outputs = model(x)
        for name, function in functions.items():
            totals[name] += function(outputs, y).item() * len(y)
    return {name: total / len(inputs) for name, total in totals.items()}


def measurement(step: int, values: Mapping[str, float]) -> Measurement:
    """A measurement made just now, without values that are not finite."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return Measurement(step=step, values=finite, time=time.time())


def is_finite(values: Mapping[str, float]) -> bool:
    """Whether the training and validation losses are finite. The test loss must decide nothing."""
    losses = [values[name] for name in ("train/loss", "validation/loss") if name in values]
    return all(map(math.isfinite, losses))
