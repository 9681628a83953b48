"""What a campaign reports while it goes on, for whoever shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from optsuite.campaign.prepare import Skipped
from optsuite.training.results import Run, RunScore


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything has been tried out, and nothing has been written yet.

    By benchmark, `seconds_per_run` is the rough cost of a run and `n_runs` the number of runs.
    `skipped` is what cannot be trained here. `notes` are lines that a person should see.
    """

    seconds_per_run: Mapping[str, float]
    n_runs: Mapping[str, int]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NightStarted:
    """A nightly run begins: at the rates of an earlier night, or tuning them where that is None."""

    campaign: str
    rates_of: str | None


@dataclass(frozen=True)
class Interrupted:
    """The campaign has been asked to stop; what has ended is kept."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The store has been read: how many runs each benchmark still needs.

    `replaced` are the benchmarks whose finished studies, of another budget, will leave the report; `delivered` is how many
    runs the store has been given that an earlier start had to keep elsewhere.
    """

    missing: Mapping[str, int]
    replaced: tuple[str, ...] = ()
    delivered: int = 0


@dataclass(frozen=True, kw_only=True)
class RunMeasured:
    """A run that is being trained has come to a step of its `max_steps`; its validation loss there, nan if not finite."""

    run: Run
    step: int
    max_steps: int
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run has its score: trained just now, or `reused` from the store."""

    run: Run
    score: RunScore
    reused: bool


@dataclass(frozen=True, kw_only=True)
class StudyEnded:
    """A study is complete, its rate tuned and evaluated; or it had to stop, and `error` says why in one line.

    `score` is the interquartile mean of its evaluations, nan where there are none.
    """

    benchmark: str
    optimizer: str
    lr: float | None
    score: float
    reused: bool
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReuseChecked:
    """One stored run of each study that reuses some has been trained again.

    `n_same` studies gave the same bits. `findings` are the others, each in a line.
    """

    n_same: int
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudyRestarted:
    """The stacked runs of a study were not those of the plain loop: its `n_runs` runs are trained again, one by one."""

    benchmark: str
    optimizer: str
    n_runs: int
    reason: str


@dataclass(frozen=True)
class Heartbeat:
    """Some time has passed."""


Beginning = Prepared | NightStarted | Ready | ReuseChecked
Event = Beginning | Heartbeat | RunMeasured | RunEnded | StudyRestarted | StudyEnded | Interrupted
