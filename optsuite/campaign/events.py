"""What a campaign reports while it runs, for progress displays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from optsuite.campaign.outdated import Outdated
from optsuite.campaign.prepare import Skipped
from optsuite.training.results import Run, RunScore


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Every definition has been tried out; nothing has been written yet.

    `seconds_per_run`, a rough cost, and `n_runs` are by benchmark. `skipped` lists what cannot be
    trained here. `notes` are lines for people.
    """

    seconds_per_run: Mapping[str, float]
    n_runs: Mapping[str, int]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NightStarted:
    """A nightly run begins at the rates of the night `rates_of`, or tunes them if that is None."""

    campaign: str
    rates_of: str | None


@dataclass(frozen=True)
class Interrupted:
    """The campaign was asked to stop; ended runs are kept."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The store has been read: `missing` is how many runs each benchmark still needs.

    The finished studies of the benchmarks `replaced` leave the report, because they had another
    `budget` or `engine`, as the runs of definitions that are `outdated` do.
    `delivered` is how many runs an earlier start had to keep outside the store.
    """

    missing: Mapping[str, int]
    replaced: Mapping[str, str] = field(default_factory=dict)
    outdated: tuple[Outdated, ...] = ()
    delivered: int = 0


@dataclass(frozen=True, kw_only=True)
class RunMeasured:
    """A run has reached a step of its `max_steps`. The validation loss is nan if not finite."""

    run: Run
    step: int
    max_steps: int
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run has its score: newly trained, or `reused` from the store."""

    run: Run
    score: RunScore
    reused: bool


@dataclass(frozen=True, kw_only=True)
class StudyEnded:
    """A study is tuned and evaluated, or had to stop; then `error` is the reason in one line.

    `score` is the interquartile mean of its evaluations, nan without any. `n_unneeded` is how many
    of its expected runs it did without: fewer rates than usual were worth a confirmation.
    """

    benchmark: str
    optimizer: str
    lr: float | None
    score: float
    reused: bool
    n_unneeded: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReuseChecked:
    """One stored run of each study that reuses results has been trained again.

    `n_same` studies gave the same bits. `findings` has a line for each of the rest.
    """

    n_same: int
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudyRestarted:
    """A study's stacked runs disagree with the plain loop; its `n_runs` are trained one by one."""

    benchmark: str
    optimizer: str
    n_runs: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class SeedsAdded:
    """Verdicts are open: `optimizers` are evaluated up to `n_seeds`, by `n_runs` more runs."""

    benchmark: str
    optimizers: tuple[str, ...]
    n_seeds: int
    n_runs: int


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life while nothing else is reported."""


Beginning = Prepared | NightStarted | Ready | ReuseChecked
OfRuns = RunMeasured | RunEnded
OfStudies = StudyRestarted | SeedsAdded | StudyEnded
Event = Beginning | Heartbeat | OfRuns | OfStudies | Interrupted
