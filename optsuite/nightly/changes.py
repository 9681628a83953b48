"""What changed between two campaigns: pure functions of their runs.

A change counts when a paired test over the seeds says so, of all optimizers and benchmarks together, and it exceeds a
tolerance: chaos makes single runs differ by percents after a change in the last bits, but not all in one direction.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optsuite.report.tables import tolerance
from optsuite.statistics.differences import ALPHA, relative_gap, sign_flip
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.reading import RELATIVE_TIME
from optsuite.training.run import penalty

EARLY_TOLERANCE = 0.001  # a step 10 % too small costs 0.2 to 6 % there, another order of additions 0.005 %
STEPS_TOLERANCE = 0.1  # of the steps to the target, which are only known to the next measurement
SLOWER = 1.3  # two quiet measurements of one step differ by less
PAIR = ["benchmark", "optimizer"]
ENVIRONMENT = ("commit", "optsuite_version", "torch_version", "mlflow_version", "optuna_version", "machine", "device")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number of one optimizer on one benchmark, before and after; `verdict` is worse or better."""

    benchmark: str
    optimizer: str
    what: str
    before: str
    after: str
    verdict: str


def changes(before: pd.DataFrame, after: pd.DataFrame) -> list[Change]:
    """Everything that changed from one campaign to another, from the rows that `read_runs` gives, worse ones first."""
    pairs = _paired(_tuned(before), _tuned(after))
    limit = max(tolerance(frame[frame["kind"] == "study"]) for frame in (before, after))
    found = [
        *_missing(before, after),
        *_diverged(pairs),
        *_tested(pairs, "score", _penalised, limit),
        *_tested(pairs, "early training loss", _early, EARLY_TOLERANCE),
        *_tested(pairs, "steps to target", _steps, STEPS_TOLERANCE),
        *_slower(before, after),
    ]
    return sorted(found, key=lambda change: (change.verdict != "worse", change.benchmark, change.optimizer, change.what))


def environment(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """What the two campaigns were made with, where it differs: name, before, after."""
    for name in ENVIRONMENT:
        old, new = (", ".join(sorted(set(frame[name].dropna()))) for frame in (before, after))
        if old != new:
            yield name.removesuffix("_version"), old, new


Seeds = tuple[pd.DataFrame, pd.DataFrame]  # the evaluations of one optimizer before and after, of the same seeds in order


def _tuned(runs: pd.DataFrame) -> pd.DataFrame:
    rows = runs[(runs["kind"] == "evaluation") & (runs["arm"] == "tuned") & (runs["outcome"] != "failed")]
    return rows.sort_values([*PAIR, "seed"])


def _paired(before: pd.DataFrame, after: pd.DataFrame) -> dict[tuple[str, str], Seeds]:
    """The evaluations of what both campaigns have, at the seeds that both have."""
    found = {}
    new: dict[Any, pd.DataFrame] = dict(list(after.groupby(PAIR)))
    for key, group in before.groupby(PAIR):
        if key in new:
            seeds = set(group["seed"]) & set(new[key]["seed"])
            found[key] = (group[group["seed"].isin(seeds)], new[key][new[key]["seed"].isin(seeds)])
    return {key: value for key, value in found.items() if len(value[0])}  # type: ignore[misc]


def _missing(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Optimizers that have fewer sound evaluations than before."""
    old, new = (_tuned(frame).groupby(PAIR).size().to_dict() for frame in (before, after))
    for key, n in old.items():
        benchmark, optimizer = str(key[0]), str(key[1])  # type: ignore[index]
        left = new.get(key, 0)
        if left < n:
            yield Change(
                benchmark=benchmark, optimizer=optimizer, what="evaluations", before=str(n), after=str(left), verdict="worse"
            )


def _diverged(pairs: Mapping[tuple[str, str], Seeds]) -> Iterator[Change]:
    for (benchmark, optimizer), seeds in pairs.items():
        old, new = (int((frame["outcome"] == "diverged").sum()) for frame in seeds)
        if old != new:
            texts = [f"{n} of {len(seeds[0])}" for n in (old, new)]
            verdict = "worse" if new > old else "better"
            yield Change(
                benchmark=benchmark, optimizer=optimizer, what="diverged", before=texts[0], after=texts[1], verdict=verdict
            )


Values = Callable[[Seeds], tuple[NDArray[np.float64], NDArray[np.float64]]]  # one number a seed, before and after


def _tested(pairs: Mapping[tuple[str, str], Seeds], what: str, values: Values, limit: float) -> Iterator[Change]:
    """Differences of a number, of which less is better, that are certain and larger than the limit."""
    numbers = {key: values(seeds) for key, seeds in pairs.items()}
    usable = {key: pair for key, pair in numbers.items() if np.isfinite(pair).all()}
    for n in sorted({len(old) for old, _ in usable.values()}):
        own = {key: pair for key, pair in usable.items() if len(pair[0]) == n}
        p = sign_flip(np.stack([new - old for old, new in own.values()]))
        for ((benchmark, optimizer), (old, new)), certainty in zip(own.items(), p, strict=True):
            middles = [float(interquartile_mean(values)) for values in (old, new)]
            means = [float(np.mean(values)) for values in (old, new)]
            gap = max((float(relative_gap(new, old)) for old, new in (middles, means)), key=abs)
            if certainty <= ALPHA and abs(gap) > limit:
                texts = [f"{middle:.4g}" for middle in middles]
                verdict = "worse" if gap > 0 else "better"
                yield Change(
                    benchmark=benchmark,
                    optimizer=optimizer,
                    what=what,
                    before=texts[0],
                    after=f"{texts[1]} ({gap:+.1%})",
                    verdict=verdict,
                )


def _penalised(seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = pd.concat(seeds)
    worst = penalty(both["initial/validation_loss"], both.loc[both["outcome"] == "finished", "score"])
    old, new = (frame["score"].where(frame["outcome"] == "finished", worst).to_numpy(float) for frame in seeds)
    return old, new


def _early(seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    old, new = (frame["early/train_loss"].to_numpy(float) for frame in seeds)
    both = np.isfinite(old) & np.isfinite(new)
    return np.where(both, old, 0.0), np.where(both, new, 0.0)


def _steps(seeds: Seeds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A target that was missed counts as twice the budget."""

    def steps(frame: pd.DataFrame) -> NDArray[np.float64]:
        missed = 2 * frame["max_steps"]
        return frame["steps_to_target"].fillna(missed).where(frame["target"].notna()).to_numpy(float)

    return steps(seeds[0]), steps(seeds[1])


def _slower(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Steps that take longer or shorter, in units of the reference of their minutes, on the same machine."""

    def ratios(runs: pd.DataFrame) -> dict[Any, float]:
        studies = runs[(runs["kind"] == "study") & runs[RELATIVE_TIME].notna()]
        keys = zip(studies["benchmark"], studies["optimizer"], studies["machine"], studies["device"], strict=True)
        return dict(zip(keys, studies[RELATIVE_TIME], strict=True))

    old, new = ratios(before), ratios(after)
    for key in sorted(old.keys() & new.keys(), key=str):
        factor = new[key] / old[key]
        if not math.isfinite(factor) or 1 / SLOWER <= factor <= SLOWER:
            continue
        benchmark, optimizer, *_ = key
        verdict = "worse" if factor > 1 else "better"
        texts = [f"{value:.3g} x reference" for value in (old[key], new[key])]
        yield Change(
            benchmark=benchmark,
            optimizer=optimizer,
            what="time of a step",
            before=texts[0],
            after=f"{texts[1]} ({factor - 1:+.0%})",
            verdict=verdict,
        )
