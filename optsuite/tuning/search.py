"""One study: a generator that yields the runs it needs and is sent their scores. It knows no worker and no store."""

import json
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import GPSampler

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.space import LogUniform
from optsuite.definitions.suite import Suite
from optsuite.training.identity import derived_seed, digest
from optsuite.training.results import Arm, Run, RunScore, penalized

SEARCH = f"1, optuna {optuna.__version__}"  # what proposes the rates: raise the number when it is changed here
N_INITIAL = 8  # log-spaced rates of the first round: 8 + 2 rounds of 4 had the least regret of the searches we tried
N_PER_ROUND = 4
LONGEST = 4_000  # characters of what was proposed that a store keeps: some take 5,000 of a tag
EDGE = 0.1  # a best rate this near to an end of the interval, as a fraction of its decades, lies at the edge


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One learning rate and its score: the mean over the tuning seeds, nan where one of them diverged."""

    lr: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a study found: the best rate, the interval it ended with, whether the best lies at its edge.

    `n_tied` trials have its score, itself among them.
    """

    lr: float
    interval: LogUniform
    at_edge: bool
    trials: tuple[Trial, ...]
    n_tied: int = 1


class Proposals(dict[str, list[float]]):
    """The rates that a search has proposed, by all that they follow from, so that a replay need not compute them again."""

    def text(self) -> str:
        """All of them, as the store keeps them; empty where there are none, or too many for it."""
        own = json.dumps(self)
        return f"{digest('proposals', own)} {own}" if self and len(own) <= LONGEST else ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Those of a text; none where anything of it has been changed."""
        said, _, own = text.partition(" ")
        return cls(json.loads(own)) if said == digest("proposals", own) else cls()


def tune(
    benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals
) -> Generator[list[Run], list[RunScore], Tuned]:
    """Search the learning rate in `suite.n_trials` trials: a log-spaced round, then rounds that a Gaussian process proposes.

    When the best rate lies at the edge of the interval, the remaining rounds search one decade further out. The rates
    depend on nothing but the scores received, so that a replay asks for the same runs again; what is in `proposals` is not
    computed anew, and what is proposed is added.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    interval, trials, received = spec.lr, list[Trial](), list[RunScore]()
    first, *later = round_sizes(suite.n_trials)
    rates = initial_rates(interval, first, spec.default_lr)
    seeds = suite.tuning_seeds
    for round_number, next_size in enumerate([*later, 0], start=1):
        runs = [
            Run(benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
            for lr in rates
            for seed in seeds
        ]
        scores = yield runs
        received += scores
        for position, lr in enumerate(rates):
            own = scores[position * len(seeds) : (position + 1) * len(seeds)]
            healthy = all(score.outcome == "finished" for score in own)
            trials.append(
                Trial(lr=lr, score=float(np.mean([s.value for s in own])) if healthy else math.nan)
            )
        if not next_size:
            break
        interval = widen(interval, best_rate(trials))
        seed = derived_seed("round", benchmark, round_number) % 2**32
        worst = max(penalized(received))
        key = digest(
            SEARCH,
            [(t.lr, t.score) for t in trials],
            worst,
            interval.low,
            interval.high,
            next_size,
            seed,
        )
        if key not in proposals:
            proposals[key] = propose(trials, worst, interval, next_size, seed)
        rates = proposals[key]
    best = best_rate(trials)
    return Tuned(
        lr=best,
        interval=interval,
        at_edge=edge(interval, best) != 0,
        trials=tuple(trials),
        n_tied=max(1, len(tied(trials))),
    )


def round_sizes(n_trials: int) -> list[int]:
    """How many trials each round of a study has."""
    rest = max(0, n_trials - N_INITIAL)
    whole, last = divmod(rest, N_PER_ROUND)
    return [min(N_INITIAL, n_trials), *[N_PER_ROUND] * whole, *([last] if last else [])]


def tuned_runs(benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float) -> list[Run]:
    """The evaluations on fresh seeds at the tuned rate."""
    return _evaluations(benchmark, spec, suite, lr, "tuned")


def default_runs(benchmark: str, spec: OptimizerSpec, suite: Suite) -> list[Run]:
    """The evaluations on fresh seeds at the default rate, where the optimizer has one."""
    return (
        []
        if spec.default_lr is None
        else _evaluations(benchmark, spec, suite, spec.default_lr, "default")
    )


def _evaluations(
    benchmark: str, spec: OptimizerSpec, suite: Suite, lr: float, arm: Arm
) -> list[Run]:
    return [
        Run(benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="evaluation", arm=arm)
        for seed in suite.seeds
    ]


def initial_rates(interval: LogUniform, n: int, default: float | None) -> list[float]:
    """`n` log-spaced rates from end to end, the one nearest to the default replaced by it; a single one is the default."""
    middle = math.sqrt(interval.low * interval.high)
    rates = list(np.geomspace(interval.low, interval.high, n)) if n > 1 else [default or middle]
    if default is not None and interval.low <= default <= interval.high:
        nearest = min(range(len(rates)), key=lambda i: abs(math.log(rates[i] / default)))
        rates[nearest] = default
    return distinct(rates, taken=())


def distinct(rates: Sequence[float], taken: Sequence[float]) -> list[float]:
    """The rates to three significant digits, each moved up by the last digit until no earlier one equals it."""
    chosen: list[float] = []
    for rate in rates:
        rounded = float(f"{rate:.2e}")
        while rounded in chosen or rounded in taken:
            rounded = float(f"{rounded * (1 + 0.01):.2e}")
        chosen.append(rounded)
    return chosen


def best_rate(trials: Sequence[Trial]) -> float:
    """The rate of the lowest score; where all diverged, the smallest.

    Among equals it is the middle of the widest plateau, on a log scale: its ends are where other seeds do worse first.
    """
    equal = set(tied(trials))
    if not equal:
        return min(trial.lr for trial in trials)
    plateaus: list[list[float]] = [[]]
    for lr in sorted(trial.lr for trial in trials):
        if lr in equal:
            plateaus[-1].append(lr)
        elif plateaus[-1]:
            plateaus.append([])
    widest = max(
        filter(None, plateaus),
        key=lambda rates: (round(math.log(rates[-1] / rates[0]), 6), len(rates)),
    )
    middle = math.sqrt(widest[0] * widest[-1])
    return min(widest, key=lambda lr: (round(abs(math.log(lr / middle)), 6), lr))


def tied(trials: Sequence[Trial]) -> list[float]:
    """The rates whose score equals the lowest; none where all diverged."""
    lowest = min((trial.score for trial in trials if not math.isnan(trial.score)), default=math.nan)
    return [trial.lr for trial in trials if trial.score == lowest]


def edge(interval: LogUniform, lr: float) -> int:
    """-1 where the rate lies at the low edge of the interval, 1 at the high edge, else 0."""
    position = math.log(lr / interval.low) / math.log(interval.high / interval.low)
    return -1 if position < EDGE else int(position > 1 - EDGE)


def widen(interval: LogUniform, best: float) -> LogUniform:
    """The interval, one decade further out on the side at whose edge the best rate lies."""
    match edge(interval, best):
        case -1:
            return LogUniform(low=float(f"{interval.low / 10:.6g}"), high=interval.high)
        case 1:
            return LogUniform(low=interval.low, high=float(f"{interval.high * 10:.6g}"))
    return interval


def propose(
    trials: Sequence[Trial], worst: float, interval: LogUniform, n: int, seed: int
) -> list[float]:
    """`n` rates from a fresh sampler that is given the earlier trials, under the interval as it is now."""
    distribution = FloatDistribution(interval.low, interval.high, log=True)
    sampler = GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        value = worst if math.isnan(trial.score) else trial.score
        lr = min(
            max(trial.lr, interval.low), interval.high
        )  # rounding may have moved it over an end
        study.add_trial(
            optuna.trial.create_trial(
                params={"lr": lr}, distributions={"lr": distribution}, value=value
            )
        )
    asked = [study.ask({"lr": distribution}).params["lr"] for _ in range(n)]
    return distinct(asked, taken=[trial.lr for trial in trials])
