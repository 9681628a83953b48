"""Judges two tunings of one optimizer as a pair of a table is judged, looks included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.cells import Tuning
from optsuite.statistics.differences import compare, relative_gap, to_continue
from optsuite.statistics.seeds import bootstrap_interval, interquartile_mean
from optsuite.statistics.sign_flip import Matrix
from optsuite.training.results import penalized

NEXT = 4  # tunings with which each is judged; a verdict takes half a second


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How one cell fares over its tunings.

    `alarms` has one flag for each pair of `pairs_judged`: whether they were called better or worse.
    `regrets` are the tuned points' excess over the best of them on reference seeds, as fractions;
    the best is the one of the evaluation seeds, so that a regret may be below 0 by chance.
    `covered` tells for each tuning whether its interval holds the mean score over tunings.
    """

    alarms: Mapping[tuple[int, int], bool]
    regrets: Sequence[float]
    covered: Sequence[bool]


def judge(
    tunings: Mapping[str, Sequence[Tuning]],
    optimizer: str,
    *,
    tolerance: float,
    looks: Sequence[int],
) -> Judged:
    """One cell of a benchmark, whose tunings are given by optimizer, the same number of each."""
    own = tunings[optimizer]
    others = {name: found for name, found in tunings.items() if name != optimizer}
    alarms = {}
    for one, other in pairs_judged(len(own)):
        columns = [own[one], own[other], *(found[one] for found in others.values())]
        scores = looked(_penalized(columns), tolerance, looks)
        verdict = compare(scores, tolerance, looks)[0, 1]
        alarms[one, other] = verdict.kind in ("better", "worse")
    reference = [float(interquartile_mean(penalized(tuning.reference))) for tuning in own]
    n_first = looks[0]
    means = [float(interquartile_mean(penalized(tuning.scores))) for tuning in own]
    best = reference[int(np.argmin(means))]  # found on other seeds, or luck would make it better
    covered = []
    for tuning in own:
        low, high = bootstrap_interval(penalized(tuning.scores[:n_first]))
        covered.append(low <= float(np.mean(means)) <= high)
    regrets = [float(relative_gap(score, best)) for score in reference]
    return Judged(alarms=alarms, regrets=regrets, covered=covered)


def pairs_judged(n_tunings: int) -> list[tuple[int, int]]:
    """Each tuning with the next few, around the circle; all pairs would take hours."""
    pairs = set()
    for one in range(n_tunings):
        for apart in range(1, min(NEXT, n_tunings - 1) + 1):
            other = (one + apart) % n_tunings
            pairs.add((min(one, other), max(one, other)))
    return sorted(pairs)


def looked(scores: Matrix, tolerance: float, looks: Sequence[int]) -> Matrix:
    """What a campaign evaluates of these scores, nan where an optimizer has stopped."""
    seen = np.full_like(scores, np.nan)
    going_on = set(range(scores.shape[1]))
    for look in looks:
        columns = sorted(going_on)
        seen[:look, columns] = scores[:look, columns]
        if look == looks[-1]:
            break
        going_on = to_continue(seen[:look], tolerance, looks)
        if not going_on:
            break
    return seen[: max(1, int((~np.isnan(seen)).any(axis=1).sum()))]


def _penalized(columns: Sequence[Tuning]) -> Matrix:
    """The scores (seeds, tunings) with penalties for diverged runs; dead columns are left out."""
    alive = [t for t in columns if any(s.outcome == "finished" for s in t.scores)]
    if len(alive) < 2 or alive[:2] != list(columns[:2]):
        alive = list(columns[:2])
    every = [score for tuning in alive for score in tuning.scores]
    return np.array(penalized(every)).reshape(len(alive), -1).T


def bootstrap_alarms(judged: Sequence[Judged], n_tunings: int) -> tuple[float, float, float]:
    """The mean share of alarms over cells, and its 95 % interval over resampled tunings."""
    rng = np.random.default_rng(0)
    tables = np.full((len(judged), n_tunings, n_tunings), np.nan)
    for table, own in zip(tables, judged, strict=True):
        for (one, other), alarm in own.alarms.items():
            table[one, other] = table[other, one] = alarm
    pairs = np.triu_indices(n_tunings, 1)
    mean = float(np.nanmean(tables))
    drawn = []
    for _ in range(2_000):
        chosen = rng.integers(n_tunings, size=n_tunings)
        differ = chosen[pairs[0]] != chosen[pairs[1]]
        found = tables[:, chosen[pairs[0]][differ], chosen[pairs[1]][differ]]
        if not np.isnan(found).all():
            drawn.append(np.nanmean(found))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return mean, float(low), float(high)
