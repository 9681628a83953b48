"""The reference loop: one run after another, as everyone would write it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
    checkpoint_of: Callable[[Run], Checkpoint] | None = None,
) -> Iterator[tuple[int, Measurement | RunResult]]:
    """Train the runs and yield (index of the run, what it measured or how it ended).

    The splits lie on the device already; models train in the dtypes that their function gave them. An exception ends its
    run as failed and leaves the others alone. A run with a checkpoint resumes from there, and first yields what it had
    measured before. Sets torch's global generator.
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
                raise  # it says nothing about the run
            yield index, RunResult(outcome="failed", error=one_line(error) + location(error))


def _begin(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, checkpoint: Checkpoint | None, device: str
) -> State:
    """The state in which the run starts, or goes on."""

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
    """Train from the state on, which is kept up to date."""
    model, optimizer = state.model, state.optimizer
    x, y = splits.train
    batches = islice(batch_indices(len(x), benchmark, run.seed), state.step, None)
    if not state.measurements:
        measured = measure(benchmark, model, splits, run.seed)
        if not is_finite(measured):
            raise ValueError(f"a loss is not finite before training: {measured}")
        state.measurements.append(measurement(0, measured))
    yield from list(state.measurements)
    for step in range(state.step + 1, benchmark.max_steps + 1):
        batch = next(batches).to(x.device)
        lr_multiplier = spec.lr_multiplier(step, benchmark.max_steps)
        advance = partial(
            _advance,
            benchmark,
            spec,
            x[batch],
            y[batch],
            lr_multiplier,
            derived_seed(run.seed, step),
        )
        try:
            state.total = state.total + advance(
                state
            )  # of float64 losses in float64, of all others in float32
        except Exception:
            if not has_overflowed(model):
                raise
            yield RunResult(outcome="diverged")
            return
        state.step, state.since = step, state.since + 1
        if step % benchmark.eval_every == 0 or step == benchmark.max_steps:
            with eval_mode([optimizer]):
                measured = measure(benchmark, model, splits, run.seed)
            measured |= {
                "train/loss": state.total.item() / state.since,
                "train/lr": run.lr * lr_multiplier,
            }
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


def ended_early(
    benchmark: Benchmark, run: Run, splits: Splits, step: int, measured: Mapping[str, float]
) -> RunResult:
    """How a run ended whose loss at this step is not finite: it has failed where a batch has no loss whatever the weights."""
    if math.isnan(measured["train/loss"]):
        x = splits.train[0]
        first = (step - 1) // benchmark.eval_every * benchmark.eval_every + 1
        batches = islice(batch_indices(len(x), benchmark, run.seed), first - 1, step)
        model = initial_model(benchmark, run.seed).to(x.device)
        reason = batch_without_loss(
            benchmark, model, splits, enumerate(batches, start=first), run.seed
        )
        if reason:
            return RunResult(outcome="failed", error=reason)
    return RunResult(outcome="diverged")


def _advance(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    x: Tensor,
    y: Tensor,
    lr_multiplier: float,
    seed: int,
    state: State,
) -> Tensor:
    """Take one step and return the loss before it."""
    set_lr(state.optimizer, lr_multiplier)
    return take_step(benchmark, spec, state.model, state.optimizer, x, y, seed)


def initial_model(benchmark: Benchmark, seed: int) -> nn.Module:
    """The module with the initial weights of this seed, on the CPU: the same for every optimizer and device."""
    seed_generators(derived_seed("initial weights", seed), "cpu")
    return benchmark.model()


def batch_indices(n: int, benchmark: Benchmark, seed: int) -> Iterator[Tensor]:
    """Endless batches of example indices (batch_size,), the same for every optimizer; the end of each epoch is dropped."""
    generator = torch.Generator().manual_seed(derived_seed("batch order", seed))
    order = torch.randperm(n, generator=generator)
    while True:
        yield from torch.split(order, benchmark.batch_size)[: n // benchmark.batch_size]
        if benchmark.shuffle == "epoch":
            order = torch.randperm(n, generator=generator)


@torch.no_grad()
def measure(benchmark: Benchmark, model: nn.Module, splits: Splits, seed: int) -> dict[str, float]:
    """Loss and metrics on the whole validation and test splits in eval mode, by curve name.

    A model that draws random numbers even here, as a variational autoencoder does, draws the same at every step of a run.
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
    """The loss and each metric on a split: means over the examples, or with `whole_split` computed on all outputs at once."""
    functions = {"loss": benchmark.loss, **benchmark.metrics}
    chunks = zip(*(torch.split(part, CHUNK) for part in split), strict=True)
    if benchmark.whole_split:
        parts = [(len(x), model(x)) for x, _ in chunks]
        outputs = joined([part for _, part in parts], [n for n, _ in parts])
        return {name: function(outputs, split[1]).item() for name, function in functions.items()}
    totals = dict.fromkeys(functions, 0.0)
    for x, y in chunks:
        outputs = model(x)
        for name, function in functions.items():
            totals[name] += function(outputs, y).item() * len(y)
    return {name: total / len(split[0]) for name, total in totals.items()}


def measurement(step: int, values: Mapping[str, float]) -> Measurement:
    """What was measured just now, less what is not finite."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return Measurement(step=step, values=finite, time=time.time())


def is_finite(values: Mapping[str, float]) -> bool:
    """Whether the losses that may decide over a run are finite: those on test data may not."""
    return all(
        math.isfinite(value)
        for name, value in values.items()
        if name in ("train/loss", "validation/loss")
    )
