"""The values of training: a run, its measurements, its outcome, and its score."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from optsuite.definitions.target import Target
from optsuite.errors import require_count, require_rate

Kind = Literal["trial", "confirmation", "evaluation"]
Arm = Literal["tuned", "default", "manual"]
Outcome = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, named by what determines it. Only evaluations have an arm."""

    benchmark: str
    optimizer: str
    lr: float
    seed: int
    kind: Kind
    arm: Arm | None = None

    def __post_init__(self) -> None:
        require_rate("learning rate", self.lr)
        require_count("seed", self.seed, low=0, high=2**31 - 1)

    @property
    def label(self) -> str:
        """Its rate and seed, for messages about the runs of one study."""
        return f"lr={self.lr:.3g} seed={self.seed}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Losses and metrics after `step` updates, by curve name (`validation/loss`, ...).

    All values are finite. `time` is in Unix seconds.
    """

    step: int
    values: Mapping[str, float]
    time: float


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended; `error` is one line, and only a failed run has it."""

    outcome: Outcome
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunScore:
    """What a study and a table need of one run.

    `value` is its score, `initial_loss` its validation loss at step 0; nan where there is none.
    """

    outcome: Outcome
    value: float
    initial_loss: float


def score(measurements: Iterable[Measurement]) -> float:
    """The lowest validation loss among the measurements; nan when there is none."""
    losses = [m.values["validation/loss"] for m in measurements if "validation/loss" in m.values]
    return min(losses, default=math.nan)


def summarize(
    measurements: Sequence[Measurement], outcome: Outcome, target: Target | None
) -> dict[str, float]:
    """The summaries of a run, read at the step of its score.

    A run that did not finish has no score, because its last finite losses look healthy.
    """
    summary: dict[str, float] = {}
    if measurements:
        for name, value in measurements[0].values.items():
            if name.endswith("/loss"):
                summary[f"initial/{name.replace('/', '_')}"] = value
    if len(measurements) > 1 and "train/loss" in measurements[1].values:
        summary["early/train_loss"] = measurements[1].values["train/loss"]
    if outcome != "finished":
        return summary

    best = min(measurements, key=lambda m: m.values["validation/loss"])
    summary["score"] = score(measurements)
    summary["best/step"] = best.step
    for name, value in best.values.items():
        if name.startswith("test/"):
            summary[f"best/{name.replace('/', '_')}"] = value
    summary["final/train_loss"] = measurements[-1].values["train/loss"]

    if target is not None:
        reached = [m.step for m in measurements if target.reached(m.values)]
        if reached:
            summary["steps_to_target"] = reached[0]
    return summary


def score_of(measurements: Sequence[Measurement], outcome: Outcome) -> RunScore:
    """The score of a run with these measurements and this outcome."""
    value, initial_loss = math.nan, math.nan
    if measurements:
        initial_loss = measurements[0].values.get("validation/loss", math.nan)
    if outcome == "finished":
        value = score(measurements)
    return RunScore(outcome=outcome, value=value, initial_loss=initial_loss)


def penalty(initial_losses: Iterable[float], healthy_scores: Iterable[float]) -> float:
    """The score given to a diverged run: the worst initial loss or healthy score; nan without any.

    Infinity would spoil a study's model and a table's mean. A finite value no better than
    untrained does not.
    """
    finite = [value for value in (*initial_losses, *healthy_scores) if math.isfinite(value)]
    return max(finite, default=math.nan)


def with_penalty(
    values: Iterable[float], initial_losses: Iterable[float], healthy: Iterable[bool]
) -> list[float]:
    """The values of runs, with the `penalty` of these runs in place of each that is not healthy."""
    pairs = list(zip(values, healthy, strict=True))
    worst = penalty(initial_losses, [value for value, is_healthy in pairs if is_healthy])
    return [value if is_healthy else worst for value, is_healthy in pairs]


def penalized(scores: Sequence[RunScore]) -> list[float]:
    """The scores as numbers, with the penalty for each run that did not finish."""
    values = [score.value for score in scores]
    initial_losses = [score.initial_loss for score in scores]
    finished = [score.outcome == "finished" for score in scores]
    return with_penalty(values, initial_losses, finished)
