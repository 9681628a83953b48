"""What a study trains: generators that yield runs and are sent their scores."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.training.results import Arm, Run, RunScore
from optsuite.training.stack import PAD_TO
from optsuite.tuning.confirmation import confirm
from optsuite.tuning.search import Proposals, Tuned, tune

Requests = Generator[list[Run], list[RunScore], Tuned | None]


def tune_and_evaluate(
    benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals
) -> Requests:
    """The whole protocol of a pair: search, confirm, then evaluate on fresh seeds.

    Evaluations at the default rate need no tuned rate, so they fill up the stacks of the rounds.
    """
    tuning = _tune_and_confirm(benchmark, spec, suite, proposals)
    remaining = default_runs(benchmark, spec, suite)
    requested = next(tuning)
    while True:
        n_filler = -len(requested) % PAD_TO
        filler = remaining[:n_filler]
        remaining = remaining[n_filler:]
        scores = yield requested + filler
        try:
            requested = tuning.send(scores[: len(requested)])
        except StopIteration as stop:
            tuned: Tuned = stop.value
            yield tuned_runs(benchmark, spec, suite, tuned.lr) + remaining
            return tuned


def _tune_and_confirm(
    benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals
) -> Generator[list[Run], list[RunScore], Tuned]:
    searched = yield from tune(benchmark, spec, suite, proposals)
    return (yield from confirm(benchmark, spec, suite, searched))


def train_at(benchmark: str, spec: OptimizerSpec, lr: float, seeds: Iterable[int]) -> Requests:
    """Evaluations at a rate given by the user, without tuning."""
    yield _evaluations(benchmark, spec, lr, seeds, "manual")
    return None


def evaluate_at(benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float) -> Requests:
    """The evaluations at a rate that was tuned before."""
    yield tuned_runs(benchmark, spec, suite, lr)
    return Tuned(lr=lr, interval=spec.lr, at_edge=False, trials=())


def tuned_runs(benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float) -> list[Run]:
    """The evaluations on fresh seeds at the tuned rate."""
    return _evaluations(benchmark, spec, lr, suite.seeds, "tuned")


def more_runs(tuned: Sequence[Run], n_seeds: int) -> list[Run]:
    """The evaluations that follow those at a tuned rate, up to this number of seeds."""
    last = tuned[-1]
    n_more = n_seeds - len(tuned)
    return [replace(last, seed=last.seed + i) for i in range(1, n_more + 1)]


def default_runs(benchmark: str, spec: OptimizerSpec, suite: Suite) -> list[Run]:
    """The evaluations on fresh seeds at the default rate; none if the optimizer has no default."""
    if spec.default_lr is None:
        return []
    return _evaluations(benchmark, spec, spec.default_lr, suite.seeds, "default")


def _evaluations(
    benchmark: str, spec: OptimizerSpec, lr: float, seeds: Iterable[int], arm: Arm
) -> list[Run]:
    return [
        Run(benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="evaluation", arm=arm)
        for seed in seeds
    ]
