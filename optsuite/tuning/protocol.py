"""What a study asks for: generators that yield runs and are sent their scores."""

from collections.abc import Generator, Iterable

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.training.results import Run, Score
from optsuite.training.stack import PAD_TO
from optsuite.tuning.search import Proposals, Tuned, default_runs, tune, tuned_runs

Asks = Generator[list[Run], list[Score], Tuned | None]


def tune_and_evaluate(benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals) -> Asks:
    """The whole protocol for one optimizer on one benchmark: tune on tuning seeds, then evaluate on fresh ones.

    Evaluations at the default rate, which wait for nothing, fill up the stacks of the rounds.
    """
    tuning = tune(benchmark, spec, suite, proposals)
    spare = default_runs(benchmark, spec, suite)
    asked = next(tuning)
    while True:
        fill, spare = spare[: -len(asked) % PAD_TO], spare[-len(asked) % PAD_TO :]
        scores = yield asked + fill
        try:
            asked = tuning.send(scores[: len(asked)])
        except StopIteration as stop:
            tuned: Tuned = stop.value
            yield tuned_runs(benchmark, spec, suite, tuned.lr) + spare
            return tuned


def given(benchmark: str, spec: OptimizerSpec, lr: float, seeds: Iterable[int]) -> Asks:
    """Evaluations at a rate given by hand; nothing is tuned."""
    yield [Run(benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="evaluation", arm="given") for seed in seeds]
    return None


def at_rate(benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float) -> Asks:
    """The evaluations at a rate that was tuned before."""
    yield tuned_runs(benchmark, spec, suite, lr)
    return Tuned(lr=lr, interval=spec.lr, at_edge=False, trials=())
