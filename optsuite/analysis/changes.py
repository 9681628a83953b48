"""What changed between two campaigns: pure functions of their runs.

A change counts when a paired test over the seeds, corrected for all optimizers and benchmarks,
detects it, and when it exceeds a tolerance. After a change in the last bits, chaos makes single
runs differ by percents, but not all in one direction.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optsuite.analysis.provenance import environment
from optsuite.analysis.studies import tolerance
from optsuite.statistics.differences import relative_gap
from optsuite.statistics.seeds import interquartile_mean
from optsuite.statistics.sign_flip import ALPHA, sign_flip
from optsuite.tracking.schema import RELATIVE_TIME
from optsuite.training.results import with_penalty

# A step that is 10 % too small costs 0.2 to 6 %, another order of additions 0.005 %.
EARLY_TOLERANCE = 0.001
STEPS_TOLERANCE = 0.1  # steps to the target are only known to the next measurement
SLOWER = 1.3  # two quiet measurements of one step differ by less
Quantity = Literal[
    "evaluations", "diverged", "score", "early_train_loss", "steps_to_target", "step_time"
]
PAIR = ["benchmark", "optimizer"]
# The suffixes of columns in a frame with a row for each seed that two campaigns share.
WHEN = (" before", " after")
# What is compared of an evaluation; a frame of all columns takes twice as long.
OF_SEED = [
    *PAIR,
    "seed",
    "outcome",
    "score",
    "initial/validation_loss",
    "early/train_loss",
    "steps_to_target",
    "max_steps",
    "target",
]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One quantity of one optimizer on one benchmark, before and after.

    `gap` is the relative change, nan for counts. A count is out of `n_seeds` evaluations.
    """

    benchmark: str
    optimizer: str
    quantity: Quantity
    before: float
    after: float
    kind: Literal["worse", "better"]
    gap: float = math.nan
    n_seeds: int = 0


@dataclass(frozen=True, kw_only=True)
class CampaignChanges:
    """What changed from one campaign to another.

    `environment` is what they were made with, where that differs: name, before, after.
    """

    changes: tuple[Change, ...]
    environment: tuple[tuple[str, str, str], ...]

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse."""
        return any(change.kind == "worse" for change in self.changes)


def compare_campaigns(before: pd.DataFrame, after: pd.DataFrame) -> CampaignChanges:
    """What changed from one campaign to another, from the rows that `read_runs` gives."""
    found = tuple(changes(before, after))
    return CampaignChanges(changes=found, environment=tuple(environment(before, after)))


def changes(before: pd.DataFrame, after: pd.DataFrame) -> list[Change]:
    """Everything that changed between two campaigns, from the rows of `read_runs`, worse first."""
    old, new = tuned(before), tuned(after)
    pairs = old.merge(new, on=[*PAIR, "seed"], suffixes=WHEN)
    pairs = pairs.sort_values([*PAIR, "seed"], ignore_index=True)
    limits = [tolerance(runs[runs["kind"] == "study"]) for runs in (before, after)]
    found = [
        *_missing(old, new),
        *_diverged(pairs),
        *_tested(pairs, "score", _penalized(pairs), max(limits)),
        *_tested(pairs, "early_train_loss", _early(pairs), EARLY_TOLERANCE),
        *_tested(pairs, "steps_to_target", _steps(pairs), STEPS_TOLERANCE),
        *_slower(before, after),
    ]
    return sorted(found, key=_order)


def _order(change: Change) -> tuple[bool, str, str, str]:
    return change.kind != "worse", change.benchmark, change.optimizer, change.quantity


def tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The evaluations at tuned rates that did not fail, sorted by seed within each optimizer."""
    is_tuned = (runs["kind"] == "evaluation") & (runs["arm"] == "tuned")
    rows = runs[is_tuned & (runs["outcome"] != "failed")]
    return rows[OF_SEED].sort_values([*PAIR, "seed"])


def evaluated_seeds(runs: pd.DataFrame) -> set[float]:
    """The seeds of all evaluations among the rows of `read_runs`."""
    return set(runs.loc[runs["kind"] == "evaluation", "seed"])


def _missing(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Optimizers that have fewer sound evaluations of the seeds from before."""
    kept = after.merge(before[[*PAIR, "seed"]], on=[*PAIR, "seed"])
    n_kept = kept.groupby(PAIR).size().to_dict()
    for key, n in before.groupby(PAIR).size().to_dict().items():
        benchmark, optimizer = str(key[0]), str(key[1])  # type: ignore[index]
        left = n_kept.get(key, 0)
        if left < n:
            yield Change(
                benchmark=benchmark,
                optimizer=optimizer,
                quantity="evaluations",
                before=n,
                after=left,
                kind="worse",
                n_seeds=n,
            )


def _diverged(pairs: pd.DataFrame) -> Iterator[Change]:
    groups: Iterator[tuple[Any, pd.DataFrame]] = iter(pairs.groupby(PAIR))
    for (benchmark, optimizer), own in groups:
        n_diverged = [int((own[f"outcome{when}"] == "diverged").sum()) for when in WHEN]
        old, new = n_diverged
        if old != new:
            yield Change(
                benchmark=benchmark,
                optimizer=optimizer,
                quantity="diverged",
                before=old,
                after=new,
                kind="worse" if new > old else "better",
                n_seeds=len(own),
            )


def _tested(
    pairs: pd.DataFrame, quantity: Quantity, values: NDArray[np.float64], limit: float
) -> Iterator[Change]:
    """Differences that are certain and larger than the limit, for a number of which less is better.

    `values` (2, rows of `pairs`) are the numbers before and after.
    """
    numbers: dict[Any, NDArray[np.float64]] = {}
    for key, own in pairs.groupby(PAIR).indices.items():
        if np.isfinite(values[:, own]).all():
            numbers[key] = values[:, own]
    for n_seeds in sorted({pair.shape[1] for pair in numbers.values()}):
        alike = {key: pair for key, pair in numbers.items() if pair.shape[1] == n_seeds}
        p_values = sign_flip(np.stack([new - old for old, new in alike.values()]))
        for ((benchmark, optimizer), pair), p in zip(alike.items(), p_values, strict=True):
            if p > ALPHA:
                continue
            gap = _gap(pair)
            if abs(gap) > limit:
                yield Change(
                    benchmark=benchmark,
                    optimizer=optimizer,
                    quantity=quantity,
                    before=float(interquartile_mean(pair[0])),
                    after=float(interquartile_mean(pair[1])),
                    kind="worse" if gap > 0 else "better",
                    gap=gap,
                    n_seeds=n_seeds,
                )


def _gap(pair: NDArray[np.float64]) -> float:
    """The relative change of numbers (2, seeds): of interquartile means or means, the larger."""
    old, new = pair
    of_middles = float(relative_gap(interquartile_mean(new), interquartile_mean(old)))
    of_means = float(relative_gap(float(np.mean(new)), float(np.mean(old))))
    return max(of_middles, of_means, key=abs)


def _stacked(pairs: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column before and after, (2, rows of `pairs`)."""
    return np.stack([pairs[f"{column}{when}"] for when in WHEN]).astype(float)


def _penalized(pairs: pd.DataFrame) -> NDArray[np.float64]:
    """The scores (2, rows of `pairs`), before and after, with the penalty for diverged runs."""
    finished = np.stack([pairs[f"outcome{when}"] == "finished" for when in WHEN])
    scores = _stacked(pairs, "score")
    initial = _stacked(pairs, "initial/validation_loss")
    for own in pairs.groupby(PAIR).indices.values():
        values, healthy = scores[:, own], finished[:, own]
        filled = with_penalty(values.ravel(), initial[:, own].ravel(), healthy.ravel())
        scores[:, own] = np.reshape(filled, values.shape)
    return scores


def _early(pairs: pd.DataFrame) -> NDArray[np.float64]:
    losses = _stacked(pairs, "early/train_loss")
    return np.where(np.isfinite(losses).all(axis=0), losses, 0.0)


def _steps(pairs: pd.DataFrame) -> NDArray[np.float64]:
    """A target that was missed counts as twice the budget."""
    steps = []
    for when in WHEN:
        reached = pairs[f"steps_to_target{when}"].fillna(2 * pairs[f"max_steps{when}"])
        steps.append(reached.where(pairs[f"target{when}"].notna()))
    return np.stack(steps).astype(float)


def _step_times(runs: pd.DataFrame) -> dict[Any, float]:
    """The time of a step in units of the reference, by benchmark, optimizer, machine and device."""
    studies = runs[(runs["kind"] == "study") & runs[RELATIVE_TIME].notna()]
    keys = zip(*(studies[name] for name in (*PAIR, "machine", "device")), strict=True)
    return dict(zip(keys, studies[RELATIVE_TIME], strict=True))


def _slower(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Steps that became slower or faster relative to the reference, on the same machine."""
    old, new = _step_times(before), _step_times(after)
    for key in sorted(old.keys() & new.keys(), key=str):
        factor = new[key] / old[key]
        if not math.isfinite(factor) or 1 / SLOWER <= factor <= SLOWER:
            continue
        benchmark, optimizer, *_ = key
        yield Change(
            benchmark=benchmark,
            optimizer=optimizer,
            quantity="step_time",
            before=old[key],
            after=new[key],
            kind="worse" if factor > 1 else "better",
            gap=factor - 1,
        )
