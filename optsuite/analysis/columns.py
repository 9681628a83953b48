"""The columns of the leaderboard: how each is computed, named and shown."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optsuite.analysis import statements
from optsuite.statistics.seeds import bootstrap_interval, interquartile_mean, is_bimodal

Row = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The evaluations of one optimizer at one rate, sorted by seed.

    `runs` are all of them, `trained` those that did not fail. The arrays are of the trained ones on
    the seeds that all optimizers share, and hold a penalty for each diverged run.
    """

    runs: pd.DataFrame
    trained: pd.DataFrame
    scores: NDArray[np.float64]
    test_losses: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the leaderboard.

    `of` computes it from the seeds of a row; if it is None, the comparison of all rows fills it in.
    `header` is what people read; columns without one are in files only. `show` gives the text of a
    row. A narrow terminal drops the columns with the highest `drop` first, and never those with 0.
    """

    name: str
    of: Callable[[Seeds], object] | None = None
    header: str = ""
    show: Callable[[Row], str] = lambda row: ""
    drop: int = 0
    is_count: bool = False
    in_papers: bool = False


def _number(name: str, form: str = ".4g") -> Callable[[Row], str]:
    """A function that shows a number of the row, or nothing if it is missing."""

    def show(row: Row) -> str:
        return "" if pd.isna(row[name]) else f"{row[name]:{form}}"

    return show


def _interval(row: Row) -> str:
    if not math.isfinite(row["ci_low"]):
        return ""
    return f"{row['ci_low']:.4g} to {row['ci_high']:.4g}"


def _rate(row: Row) -> str:
    """The rate, with an exclamation mark if it lies at the edge of its interval."""
    if pd.isna(row["lr"]):
        return ""
    mark = "!" if row["at_edge"] else ""
    return f"{row['lr']:.3g}{mark}"


def _accuracy(row: Row) -> str:
    """A fraction as a percentage; some metrics give percents already."""
    accuracy = row["test_accuracy"]
    if math.isnan(accuracy):
        return ""
    if row["in_percent"]:
        return f"{accuracy:.4g}"
    return f"{accuracy:.1%}"


def _metric(metric: str) -> Column:
    """The column of a metric on test data."""
    name = f"test_{metric}"
    header, show = f"test {metric}", _number(name)
    if metric == "accuracy":
        header, show = "test acc.", _accuracy
    return Column(
        name=name,
        of=lambda seeds: interquartile_mean(seeds.metrics[metric]),
        header=header,
        show=show,
        drop=6,
        in_papers=True,
    )


def _seeds(row: Row) -> str:
    """The number of seeds, if not all of them count in the score."""
    return "" if row["seeds"] == row["shared_seeds"] else str(row["seeds"])


def _steps(row: Row) -> str:
    steps = row["steps_to_target"]
    if math.isnan(steps):
        return ""
    if math.isinf(steps):
        return "never"
    return f"{steps:.0f}"


def _median_steps(seeds: Seeds) -> float:
    """The median over the seeds, with infinity for a miss; nan without a target."""
    has_target = seeds.trained["target"].notna()
    steps = seeds.trained["steps_to_target"].fillna(math.inf).where(has_target)
    return float(steps.median())


COLUMNS = (
    Column(name="benchmark", of=lambda seeds: seeds.runs["benchmark"].iloc[0]),
    Column(name="rank", header="rank", show=_number("rank", ""), is_count=True, in_papers=True),
    Column(
        name="optimizer",
        of=lambda seeds: seeds.runs["optimizer"].iloc[0],
        header="optimizer",
        show=lambda row: str(row["optimizer"]),
        in_papers=True,
    ),
    Column(name="arm", of=lambda seeds: seeds.runs["arm"].iloc[0]),
    Column(name="verdict", header="verdict", show=statements.verdict, in_papers=True),
    Column(name="gap"),
    Column(name="p"),
    Column(name="seeds_needed", is_count=True),
    Column(
        name="score",
        of=lambda seeds: interquartile_mean(seeds.scores),
        header="score",
        show=_number("score"),
        in_papers=True,
    ),
    Column(
        name="ci_low",
        of=lambda seeds: bootstrap_interval(seeds.scores)[0],
        header="95 % interval",
        show=_interval,
        drop=2,
        in_papers=True,
    ),
    Column(name="ci_high", of=lambda seeds: bootstrap_interval(seeds.scores)[1]),
    Column(
        name="lr",
        of=lambda seeds: seeds.runs["lr"].iloc[0],
        header="lr",
        show=_rate,
        in_papers=True,
    ),
    Column(name="default_lr", header="default lr (score)", show=statements.default_rate, drop=3),
    Column(name="default_verdict"),
    Column(name="default_gap"),
    Column(
        name="test_loss",
        of=lambda seeds: interquartile_mean(seeds.test_losses),
        header="test loss",
        show=_number("test_loss"),
        drop=5,
        in_papers=True,
    ),
    Column(
        name="steps_to_target",
        of=_median_steps,
        header="steps",
        show=_steps,
        drop=4,
        in_papers=True,
    ),
    Column(
        name="seeds",
        of=lambda seeds: len(seeds.trained),
        header="seeds",
        show=_seeds,
        drop=7,
        is_count=True,
    ),
    Column(name="shared_seeds", of=lambda seeds: len(seeds.scores), is_count=True),
    Column(name="trials", is_count=True),
    Column(name="tuning_seeds", is_count=True),
    Column(name="confirmation_seeds", is_count=True),
    Column(
        name="diverged",
        of=lambda seeds: (seeds.trained["outcome"] == "diverged").sum(),
        is_count=True,
    ),
    Column(
        name="never_improved",
        of=lambda seeds: (seeds.trained["best/step"] == 0).sum(),
        is_count=True,
    ),
    Column(name="failed", of=lambda seeds: len(seeds.runs) - len(seeds.trained), is_count=True),
    Column(name="at_edge"),
    Column(name="bimodal", of=lambda seeds: is_bimodal(seeds.scores)),
    Column(name="tied_rates", is_count=True),
    Column(name="optimism"),
    Column(name="beaten_by"),
    Column(name="beaten_on_test"),
    Column(name="reuse"),
    Column(name="prob_improvement"),
    Column(name="code"),
    Column(name="warnings", header="warnings", show=statements.warnings, drop=1),
)
AFTER = [column.name for column in COLUMNS].index("test_loss") + 1  # where metrics are inserted


def columns_for(metrics: Iterable[str]) -> tuple[Column, ...]:
    """The columns of a leaderboard whose benchmarks have these metrics."""
    return (*COLUMNS[:AFTER], *map(_metric, sorted(metrics)), *COLUMNS[AFTER:])


def columns_of(table: pd.DataFrame) -> tuple[Column, ...]:
    """The columns of a leaderboard."""
    known = {column.name for column in COLUMNS}
    return columns_for(str(name).removeprefix("test_") for name in table if name not in known)
