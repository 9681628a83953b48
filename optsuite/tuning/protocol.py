"""What a study asks for: generators that yield runs and are sent their scores."""

from collections.abc import Generator, Iterable

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.training.results import Run, RunScore
from optsuite.training.stack import PAD_TO
from optsuite.tuning.search import Proposals, Tuned, default_runs, tune, tuned_runs

Requests = Generator[list[Run], list[RunScore], Tuned | None]


def tune_and_evaluate(
    benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals
) -> Requests:
    """The whole protocol for one optimizer on one benchmark: tune on tuning seeds, then evaluate on fresh ones.

    Evaluations at the default rate, which wait for nothing, fill up the stacks of the rounds.
    """
    tuning = tune(benchmark, spec, suite, proposals)
    remaining = default_runs(benchmark, spec, suite)
    requested = next(tuning)
    while True:
        filler, remaining = (
            remaining[: -len(requested) % PAD_TO],
            remaining[-len(requested) % PAD_TO :],
        )
        scores = yield requested + filler
        try:
            requested = tuning.send(scores[: len(requested)])
        except StopIteration as stop:
            tuned: Tuned = stop.value
            yield tuned_runs(benchmark, spec, suite, tuned.lr) + remaining
            return tuned


def train_at(benchmark: str, spec: OptimizerSpec, lr: float, seeds: Iterable[int]) -> Requests:
    """Evaluations at a rate given by hand; nothing is tuned."""
    yield [
        Run(
            benchmark=benchmark,
            optimizer=spec.name,
            lr=lr,
            seed=seed,
            kind="evaluation",
            arm="manual",
        )
        for seed in seeds
    ]
    return None


def evaluate_at(benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float) -> Requests:
    """The evaluations at a rate that was tuned before."""
    yield tuned_runs(benchmark, spec, suite, lr)
    return Tuned(lr=lr, interval=spec.lr, at_edge=False, trials=())
