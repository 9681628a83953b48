"""The values of training: a run, its measurements, how it ended, and the one score that everybody uses."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from optsuite.definitions.target import Target
from optsuite.errors import require_count, require_rate

Kind = Literal["trial", "evaluation"]
Arm = Literal["tuned", "default", "manual"]
Outcome = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, named by what determines it. Trials have no arm."""

    benchmark: str
    optimizer: str
    lr: float
    seed: int
    kind: Kind
    arm: Arm | None = None

    def __post_init__(self) -> None:
        require_rate("learning rate", self.lr)
        require_count("seed", self.seed, low=0, high=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Losses and metrics after `step` updates, by curve name (`validation/loss`, ...); all finite. Time in Unix seconds."""

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
    """What a study and a table need of one run: its outcome, score, and validation loss at step 0 (nan where there is none)."""

    outcome: Outcome
    value: float
    initial_loss: float


def score(measurements: Iterable[Measurement]) -> float:
    """The lowest validation loss among the measurements; nan when there is none."""
    return min(
        (m.values["validation/loss"] for m in measurements if "validation/loss" in m.values),
        default=math.nan,
    )


def summarize(
    measurements: Sequence[Measurement], outcome: Outcome, target: Target | None
) -> dict[str, float]:
    """The summaries of a run, read at the step of its score. A run that did not finish has no score: it would look healthy."""
    first = measurements[0].values if measurements else {}
    summary = {
        f"initial/{name.replace('/', '_')}": value
        for name, value in first.items()
        if name.endswith("/loss")
    }
    if len(measurements) > 1 and "train/loss" in measurements[1].values:
        summary["early/train_loss"] = measurements[1].values["train/loss"]
    if outcome != "finished":
        return summary
    best = min(measurements, key=lambda m: m.values["validation/loss"])
    summary |= {"score": score(measurements), "best/step": best.step}
    summary |= {
        f"best/{name.replace('/', '_')}": v
        for name, v in best.values.items()
        if name.startswith("test/")
    }
    summary["final/train_loss"] = measurements[-1].values["train/loss"]
    if target is not None:
        reached = [m.step for m in measurements if target.reached(m.values)]
        summary |= {"steps_to_target": reached[0]} if reached else {}
    return summary


def score_of(measurements: Sequence[Measurement], outcome: Outcome) -> RunScore:
    """The score of a run that ended so after these measurements."""
    initial = measurements[0].values.get("validation/loss", math.nan) if measurements else math.nan
    return RunScore(
        outcome=outcome,
        value=score(measurements) if outcome == "finished" else math.nan,
        initial_loss=initial,
    )


def penalty(initial_losses: Iterable[float], healthy_scores: Iterable[float]) -> float:
    """What a diverged run counts: the worst of the losses at step 0 and the healthy scores beside it; nan without any.

    Infinity would blind the model of a study and a mean in a table; a finite value no better than untrained does not.
    """
    return max(
        (v for values in (initial_losses, healthy_scores) for v in values if math.isfinite(v)),
        default=math.nan,
    )


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
