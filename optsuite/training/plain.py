"""The reference loop: one run after another, as everyone would write it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from optsuite.definition import Benchmark, OptimizerSpec, Split, Splits
from optsuite.errors import location, one_line
from optsuite.training.checkpoint import Checkpoint, State
from optsuite.training.identity import derived_seed
from optsuite.training.run import Ended, Measurement, Run
from optsuite.training.step import build, has_overflown, is_out_of_memory, judged, seed_generators, set_rate, take_step

CHUNK = 2_000  # examples measured at once: bounds memory, and is large enough to lose no speed


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    runs: Sequence[Run],
    splits: Splits,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    checkpoint_of: Callable[[Run], Checkpoint] | None = None,
) -> Iterator[tuple[int, Measurement | Ended]]:
    """Train the runs and yield (index of the run, what it measured or how it ended).

    The splits lie on the device in the dtype already. An exception ends its run as failed and leaves the others alone. A run
    with a checkpoint goes on from there, and first yields what it had measured before. Sets torch's global generator.
    """
    for index, run in enumerate(runs):
        try:
            checkpoint = checkpoint_of(run) if checkpoint_of else None
            state = _begin(benchmark, spec, run, checkpoint, device, dtype)
            for fact in _train_one(benchmark, spec, run, splits, state, checkpoint):
                yield index, fact
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise  # it says nothing about the run
            yield index, Ended(outcome="failed", error=one_line(error) + location(error))


def _begin(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, checkpoint: Checkpoint | None, device: str, dtype: torch.dtype
) -> State:
    """The state in which the run starts, or goes on."""

    def fresh() -> State:
        model = initial_model(benchmark, run.seed).to(device, dtype)
        return State(model=model, optimizer=build(spec, model, run.lr), total=torch.zeros((), device=device, dtype=dtype))

    return checkpoint.begin(fresh) if checkpoint else fresh()


def _train_one(
    benchmark: Benchmark, spec: OptimizerSpec, run: Run, splits: Splits, state: State, checkpoint: Checkpoint | None
) -> Iterator[Measurement | Ended]:
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
        fraction = spec.fraction(step, benchmark.max_steps)
        advance = partial(_advance, benchmark, spec, x[batch], y[batch], fraction, derived_seed(run.seed, step))
        try:
            state.total += advance(state)
        except Exception:
            if not has_overflown(model):
                raise
            yield Ended(outcome="diverged")
            return
        state.step, state.since = step, state.since + 1
        if step % benchmark.eval_every == 0 or step == benchmark.max_steps:
            with judged([optimizer]):
                measured = measure(benchmark, model, splits, run.seed)
            measured |= {"train/loss": state.total.item() / state.since, "train/lr": run.lr * fraction}
            state.measurements.append(measurement(step, measured))
            yield state.measurements[-1]
            if not is_finite(measured):
                yield Ended(outcome="diverged")
                return
            state.total.zero_()
            state.since = 0
        if checkpoint and step < benchmark.max_steps:
            checkpoint.save(state, advance)
    yield Ended(outcome="finished")


def _advance(
    benchmark: Benchmark, spec: OptimizerSpec, x: Tensor, y: Tensor, fraction: float, seed: int, state: State
) -> Tensor:
    """Take one step and return the loss before it."""
    set_rate(state.optimizer, fraction)
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
    """Loss and metrics on the whole validation and test splits, by curve name; leaves the model in training mode.

    A model that draws random numbers even here, as a variational autoencoder does, draws the same at every step of a run.
    """
    seed_generators(derived_seed("measurement", seed), str(splits.test[0].device))
    model.eval()
    values = {}
    for name, split in (("validation", splits.validation), ("test", splits.test)):
        for metric, mean in mean_values(benchmark, model, split).items():
            values[f"{name}/{metric}"] = mean
    model.train()
    return values


@torch.no_grad()
def mean_values(benchmark: Benchmark, model: nn.Module, split: Split) -> dict[str, float]:
    """The mean over all examples of the loss and each metric, which are means over the examples they are given."""
    functions = {"loss": benchmark.loss, **benchmark.metrics}
    totals = dict.fromkeys(functions, 0.0)
    for x, y in zip(*(torch.split(part, CHUNK) for part in split), strict=True):
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
    return all(math.isfinite(value) for name, value in values.items() if name in ("train/loss", "validation/loss"))
