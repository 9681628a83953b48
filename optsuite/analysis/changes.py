"""What changed between two campaigns: pure functions of their runs.

A change counts when a paired test over the seeds says so, of all optimizers and benchmarks together, and it exceeds a
tolerance: chaos makes single runs differ by percents after a change in the last bits, but not all in one direction.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optsuite.analysis.leaderboard import tolerance
from optsuite.statistics.differences import ALPHA, relative_gap, sign_flip
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.schema import RELATIVE_TIME
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.results import penalty

EARLY_TOLERANCE = (
    0.001  # a step 10 % too small costs 0.2 to 6 % there, another order of additions 0.005 %
)
STEPS_TOLERANCE = 0.1  # of the steps to the target, which are only known to the next measurement
SLOWER = 1.3  # two quiet measurements of one step differ by less
Quantity = Literal[
    "evaluations", "diverged", "score", "early_train_loss", "steps_to_target", "step_time"
]
PAIR = ["benchmark", "optimizer"]
WHEN = (
    " before",
    " after",
)  # behind the names of columns of a frame with a row for each seed that two campaigns share
OF_SEED = [  # what is compared of an evaluation; a frame of all columns takes twice as long
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
EXPLAINING = ("torch_version", "device")  # the rest of an environment has no column
ENVIRONMENT = (
    "commit",
    "optsuite_version",
    "torch_version",
    "mlflow_version",
    "optuna_version",
    "machine",
    "device",
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One quantity of one optimizer on one benchmark, before and after.

    `gap` is its relative change, nan for counts, of which each is of `n_seeds` evaluations.
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
    """What changed from one campaign to another, and what they were made with where that differs: name, before, after."""

    changes: tuple[Change, ...]
    environment: tuple[tuple[str, str, str], ...]

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse."""
        return any(change.kind == "worse" for change in self.changes)


def compare_campaigns(before: pd.DataFrame, after: pd.DataFrame) -> CampaignChanges:
    """What changed from one campaign to another, from the rows that `read_runs` gives."""
    return CampaignChanges(
        changes=tuple(changes(before, after)), environment=tuple(environment(before, after))
    )


def changes(before: pd.DataFrame, after: pd.DataFrame) -> list[Change]:
    """Everything that changed from one campaign to another, from the rows that `read_runs` gives, worse ones first."""
    old, new = tuned(before), tuned(after)
    pairs = old.merge(new, on=[*PAIR, "seed"], suffixes=WHEN).sort_values(
        [*PAIR, "seed"], ignore_index=True
    )
    limit = max(tolerance(frame[frame["kind"] == "study"]) for frame in (before, after))
    found = [
        *_missing(old, new),
        *_diverged(pairs),
        *_tested(pairs, "score", _penalized(pairs), limit),
        *_tested(pairs, "early_train_loss", _early(pairs), EARLY_TOLERANCE),
        *_tested(pairs, "steps_to_target", _steps(pairs), STEPS_TOLERANCE),
        *_slower(before, after),
    ]
    return sorted(
        found,
        key=lambda change: (
            change.kind != "worse",
            change.benchmark,
            change.optimizer,
            change.quantity,
        ),
    )


def environment(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """What the two campaigns were made with, where it differs: name, before, after."""
    for name in ENVIRONMENT:
        old, new = (", ".join(sorted(set(frame[name].dropna()))) for frame in (before, after))
        if old != new:
            yield name.removesuffix("_version"), old, new
    yield from _definitions(before, after)


def _definitions(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Which definitions changed, and which environments, unless torch or the device explains it."""
    explained = any(set(before[n].dropna()) != set(after[n].dropna()) for n in EXPLAINING)
    for column in ("benchmark", "optimizer"):
        first, last = _fingerprints(before, column), _fingerprints(after, column)
        for name in sorted(first.keys() & last.keys()):
            tasks = [str(getattr(own[name], column))[:8] for own in (first, last)]
            places = [str(getattr(own[name].environment, column))[:8] for own in (first, last)]
            if tasks[0] != tasks[1]:
                yield f"definition of {name}", tasks[0], tasks[1]
            elif places[0] != places[1] and not explained:
                yield f"packages or settings of {name}", places[0], places[1]


def _fingerprints(runs: pd.DataFrame, column: str) -> dict[str, Fingerprint]:
    """The fingerprint of one study of each benchmark or optimizer, by name."""
    studies = runs[runs["kind"] == "study"]
    found: dict[str, Fingerprint] = {}
    for name, text in zip(studies[column], studies["fingerprint"], strict=True):
        own = Fingerprint.parse(text)
        if own is not None:
            found[str(name)] = own
    return found


def tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The evaluations at tuned rates that did not fail, sorted by seed within each optimizer."""
    rows = runs[
        (runs["kind"] == "evaluation") & (runs["arm"] == "tuned") & (runs["outcome"] != "failed")
    ]
    return rows[OF_SEED].sort_values([*PAIR, "seed"])


def _missing(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Optimizers that have fewer sound evaluations of the seeds from before."""
    of_its_seeds = after.merge(before[[*PAIR, "seed"]], on=[*PAIR, "seed"])
    sizes, left_of = (frame.groupby(PAIR).size().to_dict() for frame in (before, of_its_seeds))
    for key, n in sizes.items():
        benchmark, optimizer = str(key[0]), str(key[1])  # type: ignore[index]
        left = left_of.get(key, 0)
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
        old, new = (int((own[f"outcome{when}"] == "diverged").sum()) for when in WHEN)
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
    """Differences of a number, of which less is better, that are certain and larger than the limit.

    `values` (2, rows of `pairs`) are the numbers before and after.
    """
    numbers: dict[Any, NDArray[np.float64]] = {
        key: values[:, own] for key, own in pairs.groupby(PAIR).indices.items()
    }
    usable = {key: pair for key, pair in numbers.items() if np.isfinite(pair).all()}
    for n in sorted({pair.shape[1] for pair in usable.values()}):
        own = {key: pair for key, pair in usable.items() if pair.shape[1] == n}
        p = sign_flip(np.stack([new - old for old, new in own.values()]))
        certain = [
            (key, pair) for (key, pair), one in zip(own.items(), p, strict=True) if one <= ALPHA
        ]
        for (benchmark, optimizer), pair in certain:
            middles = [float(interquartile_mean(seeds)) for seeds in pair]
            means = [float(np.mean(seeds)) for seeds in pair]
            gap = max((float(relative_gap(new, old)) for old, new in (middles, means)), key=abs)
            if abs(gap) > limit:
                yield Change(
                    benchmark=benchmark,
                    optimizer=optimizer,
                    quantity=quantity,
                    before=middles[0],
                    after=middles[1],
                    kind="worse" if gap > 0 else "better",
                    gap=gap,
                    n_seeds=n,
                )


def _penalized(pairs: pd.DataFrame) -> NDArray[np.float64]:
    """The scores (2, rows of `pairs`), before and after; a diverged run counts its `penalty`."""
    finished = np.stack([pairs[f"outcome{when}"] == "finished" for when in WHEN])
    scores = np.stack([pairs[f"score{when}"] for when in WHEN]).astype(float)
    initial = np.stack([pairs[f"initial/validation_loss{when}"] for when in WHEN]).astype(float)
    for own in pairs.groupby(PAIR).indices.values():
        healthy = scores[:, own][finished[:, own]]
        worst = penalty(initial[:, own].ravel(), healthy)
        scores[:, own] = np.where(finished[:, own], scores[:, own], worst)
    return scores


def _early(pairs: pd.DataFrame) -> NDArray[np.float64]:
    losses = np.stack([pairs[f"early/train_loss{when}"] for when in WHEN]).astype(float)
    return np.where(np.isfinite(losses).all(axis=0), losses, 0.0)


def _steps(pairs: pd.DataFrame) -> NDArray[np.float64]:
    """A target that was missed counts as twice the budget."""

    def steps(when: str) -> pd.Series:
        missed = 2 * pairs[f"max_steps{when}"]
        return pairs[f"steps_to_target{when}"].fillna(missed).where(pairs[f"target{when}"].notna())

    return np.stack([steps(when) for when in WHEN]).astype(float)


def _slower(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Change]:
    """Steps that take longer or shorter, in units of the reference of their minutes, on the same machine."""

    def ratios(runs: pd.DataFrame) -> dict[Any, float]:
        studies = runs[(runs["kind"] == "study") & runs[RELATIVE_TIME].notna()]
        keys = zip(
            studies["benchmark"],
            studies["optimizer"],
            studies["machine"],
            studies["device"],
            strict=True,
        )
        return dict(zip(keys, studies[RELATIVE_TIME], strict=True))

    old, new = ratios(before), ratios(after)
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
