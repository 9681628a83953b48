"""Trains a few runs for a contract: their measurements, and how each run ended."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.checkpoint import Checkpoint
from optsuite.training.engines import ENGINES, PLAIN
from optsuite.training.numerics import fit
from optsuite.training.repeatable import make_repeatable
from optsuite.training.results import Measurement, Run, RunResult, RunScore, score_of
from optsuite.training.validation.definitions import load_splits

N_RATES = 5  # that represent the interval, including its ends
LEAST_GAIN = 0.01  # relative to the initial loss: less may be noise
Curve = dict[tuple[int, str], float]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run: its values by (step, curve name), its score, and the error of one that failed."""

    curve: Curve
    score: RunScore
    error: str

    @property
    def has_improved(self) -> bool:
        """Whether it finished with a validation loss that is clearly below its initial one."""
        if self.score.outcome != "finished":
            return False
        initial = self.score.initial_loss
        return self.score.value < initial - LEAST_GAIN * abs(initial)


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds, under `python -O` too."""
    if not condition:
        raise AssertionError(message)


def shortened(benchmark: Benchmark, n_steps: int) -> Benchmark:
    """The benchmark with a budget of at most `n_steps`, measured four times or more."""
    max_steps = min(benchmark.max_steps, n_steps)
    eval_every = min(benchmark.eval_every, math.ceil(max_steps / 4))
    return replace(benchmark, max_steps=max_steps, eval_every=eval_every)


def fitted_splits(benchmark: Benchmark) -> Splits:
    """The data of a benchmark in the dtype that its model is trained on."""
    return fit(benchmark, load_splits(benchmark), device="cpu").splits


def rates_of(spec: OptimizerSpec) -> list[float]:
    """The default rate, then rates from end to end of the interval, evenly spaced in log."""
    low, high = math.log10(spec.lr.low), math.log10(spec.lr.high)
    rates = torch.logspace(low, high, N_RATES, dtype=torch.float64).tolist()
    if spec.default_lr is not None:
        rates.insert(0, spec.default_lr)
    return rates


def train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    runs: Sequence[tuple[float, int]],
    *,
    engine: str = "plain",
) -> list[Trained]:
    """Train runs, each a rate and a seed, by an engine of `training.engines`.

    Leaves torch with one thread and deterministic algorithms, as in a worker.
    """
    own = [_run(benchmark, spec, lr, seed) for lr, seed in runs]
    measured: list[list[Measurement]] = [[] for _ in own]
    ended: dict[int, RunResult] = {}
    for index, update in _updates(lambda: ENGINES[engine].train(benchmark, spec, own, splits)):
        if isinstance(update, RunResult):
            ended[index] = update
        else:
            measured[index].append(update)
    return [_trained(curve, ended[index]) for index, curve in enumerate(measured)]


def train_one(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    *,
    checkpoint: Checkpoint,
    until: int | None = None,
) -> Curve:
    """The curve of a run, at the first of `rates_of`, that saves checkpoints.

    It is abandoned when it has measured step `until`.
    """
    run = _run(benchmark, spec, rates_of(spec)[0], 0)
    measured: list[Measurement] = []

    def engine() -> Iterator[tuple[int, Measurement | RunResult]]:
        return PLAIN.train(benchmark, spec, [run], splits, checkpoint_of=lambda run: checkpoint)

    for _, update in _updates(engine):
        if isinstance(update, RunResult):
            break
        measured.append(update)
        if update.step == until:
            break
    return _curve(measured)


def _updates(
    engine: Callable[[], Iterator[tuple[int, Measurement | RunResult]]],
) -> Iterator[tuple[int, Measurement | RunResult]]:
    make_repeatable()
    yield from engine()


def _run(benchmark: Benchmark, spec: OptimizerSpec, lr: float, seed: int) -> Run:
    return Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")


def _trained(measured: Sequence[Measurement], ended: RunResult) -> Trained:
    score = score_of(measured, ended.outcome)
    return Trained(curve=_curve(measured), score=score, error=ended.error or "")


def _curve(measured: Sequence[Measurement]) -> Curve:
    curve = {}
    for measurement in measured:
        for name, value in measurement.values.items():
            curve[measurement.step, name] = value
    return curve
