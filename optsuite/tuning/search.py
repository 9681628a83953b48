"""The search of one study: a generator that yields trials and is sent their scores.

It knows no worker and no store.
"""

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
from optsuite.training.results import Run, RunScore, penalized

# What proposes the rates: raise the number when this module changes a proposal.
SEARCH = f"1, optuna {optuna.__version__}"
# Of the searches we tried, 8 log-spaced rates and 2 rounds of 4 had the least regret.
N_INITIAL = 8
N_PER_ROUND = 4
LONGEST = 4_000  # characters of stored proposals: some stores take tags of up to 5,000
EDGE = 0.1  # a rate this near to an end of the interval is at the edge: a fraction of its decades


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A learning rate and its score: the mean over the tuning seeds, nan if any diverged."""

    lr: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The result of a study: the best rate, the last interval, whether the rate is at its edge.

    `n_tied` rates have the best score, including the best one; `n_confirmed` are how many were
    confirmed on more seeds.
    """

    lr: float
    interval: LogUniform
    at_edge: bool
    trials: tuple[Trial, ...]
    n_tied: int = 1
    n_confirmed: int = 0


class Proposals(dict[str, list[float]]):
    """The proposed rates by the digest of everything they depend on: a cache for replays."""

    def text(self) -> str:
        """The proposals as text for the store; empty if there are none, or too many to store."""
        content = json.dumps(self)
        if not self or len(content) > LONGEST:
            return ""
        return f"{digest('proposals', content)} {content}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The proposals in a text; none if the text was altered."""
        checksum, _, content = text.partition(" ")
        if checksum != digest("proposals", content):
            return cls()
        return cls(json.loads(content))


def tune(
    benchmark: str, spec: OptimizerSpec, suite: Suite, proposals: Proposals
) -> Generator[list[Run], list[RunScore], Tuned]:
    """Search the learning rate in `suite.n_trials` trials.

    The first round is log-spaced; a Gaussian process proposes the later ones. When the best rate is
    at the edge of the interval, they search one decade beyond it. The rates depend on the scores
    alone, so a replay requests the same runs. Those in `proposals` are not computed again.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    interval = spec.lr
    trials: list[Trial] = []
    received: list[RunScore] = []
    first, *later = round_sizes(suite.n_trials)
    rates = initial_rates(interval, first, spec.default_lr)
    for round_number, next_size in enumerate([*later, 0], start=1):
        scores = yield _trial_runs(benchmark, spec, suite, rates)
        received += scores
        trials += _trials(rates, scores)
        if not next_size:
            break
        interval = widen(interval, best_rate(trials))
        seed = derived_seed("round", benchmark, round_number) % 2**32
        worst = max(penalized(received))
        known = [(trial.lr, trial.score) for trial in trials]
        key = digest(SEARCH, known, worst, interval.low, interval.high, next_size, seed)
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


def _trial_runs(
    benchmark: str, spec: OptimizerSpec, suite: Suite, rates: Sequence[float]
) -> list[Run]:
    """The runs of a round: for each rate, one per tuning seed."""
    runs = []
    for lr in rates:
        for seed in suite.tuning_seeds:
            run = Run(benchmark=benchmark, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
            runs.append(run)
    return runs


def _trials(rates: Sequence[float], scores: Sequence[RunScore]) -> list[Trial]:
    """The trials of a round, from the scores of its runs in the order of `_trial_runs`."""
    n_seeds = len(scores) // len(rates)
    trials = []
    for position, lr in enumerate(rates):
        own = scores[position * n_seeds : (position + 1) * n_seeds]
        mean = math.nan
        if all(score.outcome == "finished" for score in own):
            mean = float(np.mean([score.value for score in own]))
        trials.append(Trial(lr=lr, score=mean))
    return trials


def round_sizes(n_trials: int) -> list[int]:
    """How many trials each round of a study has."""
    sizes = [min(N_INITIAL, n_trials)]
    left = n_trials - sizes[0]
    while left > 0:
        sizes.append(min(N_PER_ROUND, left))
        left -= sizes[-1]
    return sizes


def initial_rates(interval: LogUniform, n: int, default: float | None) -> list[float]:
    """`n` log-spaced rates from end to end of the interval, to three significant digits.

    A default within the interval replaces the rate nearest to it. A single rate is the default,
    or the middle if there is none.
    """
    if n > 1:
        rates = list(np.geomspace(interval.low, interval.high, n))
    else:
        rates = [default or math.sqrt(interval.low * interval.high)]
    if default is not None and interval.low <= default <= interval.high:
        nearest = min(range(len(rates)), key=lambda i: abs(math.log(rates[i] / default)))
        rates[nearest] = default
    return distinct(rates, taken=())


def distinct(rates: Sequence[float], taken: Sequence[float], most: float = math.inf) -> list[float]:
    """The rates to three significant digits, different from each other and those `taken`.

    One is raised in its last digit until it is, or lowered where the most is reached.
    """
    chosen: list[float] = []
    for rate in rates:
        rounded, factor = float(f"{rate:.2e}"), 1.01
        while rounded in chosen or rounded in taken:
            factor = factor if rounded * 1.01 <= most else 1 / 1.01
            rounded = float(f"{rounded * factor:.2e}")
        chosen.append(rounded)
    return chosen


def best_rate(trials: Sequence[Trial]) -> float:
    """The rate of the lowest score; the smallest if all diverged.

    Among equals it is the middle of the widest plateau on a log scale: at the ends of a plateau,
    other seeds do worse first.
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
    widest = max(filter(None, plateaus), key=_width)
    middle = math.sqrt(widest[0] * widest[-1])
    return min(widest, key=lambda lr: (round(abs(math.log(lr / middle)), 6), lr))


def _width(plateau: Sequence[float]) -> tuple[float, int]:
    """The width of a plateau on a log scale, then its number of rates."""
    return round(math.log(plateau[-1] / plateau[0]), 6), len(plateau)


def tied(trials: Sequence[Trial]) -> list[float]:
    """The rates whose score equals the lowest; none if all diverged."""
    scores = [trial.score for trial in trials if not math.isnan(trial.score)]
    if not scores:
        return []
    lowest = min(scores)
    return [trial.lr for trial in trials if trial.score == lowest]


def edge(interval: LogUniform, lr: float) -> int:
    """-1 if the rate is at the low edge of the interval, 1 at the high edge, else 0."""
    position = math.log(lr / interval.low) / math.log(interval.high / interval.low)
    if position < EDGE:
        return -1
    return int(position > 1 - EDGE)


def widen(interval: LogUniform, best: float) -> LogUniform:
    """The interval, extended by a decade at the edge where the best rate is, if it is at one."""
    match edge(interval, best):
        case -1:
            return LogUniform(low=float(f"{interval.low / 10:.6g}"), high=interval.high)
        case 1:
            return LogUniform(low=interval.low, high=float(f"{interval.high * 10:.6g}"))
    return interval


def propose(
    trials: Sequence[Trial], worst: float, interval: LogUniform, n: int, seed: int
) -> list[float]:
    """`n` rates within the interval, from a fresh sampler that is given the earlier trials.

    Diverged trials count `worst`.
    """
    distribution = FloatDistribution(interval.low, interval.high, log=True)
    sampler = GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        value = worst if math.isnan(trial.score) else trial.score
        lr = min(max(trial.lr, interval.low), interval.high)  # rounding may have left the interval
        known = optuna.trial.create_trial(
            params={"lr": lr}, distributions={"lr": distribution}, value=value
        )
        study.add_trial(known)
    asked = [study.ask({"lr": distribution}).params["lr"] for _ in range(n)]
    return distinct(asked, taken=[trial.lr for trial in trials], most=interval.high)
