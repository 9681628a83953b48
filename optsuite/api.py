"""Everything that optsuite does, as functions: for the commands, for notebooks and for scripts.

They work on the store at MLFLOW_TRACKING_URI, by default mlruns/mlflow.db in the current folder,
and raise InputError, a ValueError, for invalid arguments.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from optsuite.analysis.changes import CampaignChanges, compare_campaigns, evaluated_seeds
from optsuite.analysis.leaderboard import leaderboard as leaderboard_of
from optsuite.campaign.housekeeping.cleaning import clean_store
from optsuite.campaign.housekeeping.deletion import delete_campaign
from optsuite.campaign.housekeeping.removal import Removal
from optsuite.campaign.runner import manual_study, studies_of
from optsuite.campaign.selection import select_from
from optsuite.campaign.session import Listener, ignore, notes_of, open_session, runs_by_benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError
from optsuite.execution.options import ExecutionOptions
from optsuite.nights.night import NightResult, run_night
from optsuite.reporting.publish import Report, publish
from optsuite.reporting.result import Preview, Result
from optsuite.tracking.campaigns import require_campaign
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.query import read_curves, read_runs
from optsuite.tracking.store import open_store

REPORT = Path("mlruns/report")
DEFAULT_SUITE = "default"
DEFAULT_OPTIONS = ExecutionOptions()


def run(
    suite: str | Suite = DEFAULT_SUITE,
    *,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str | OptimizerSpec] = (),
    n_trials: int | None = None,
    n_seeds: int | None = None,
    max_seeds: int | None = None,
    first_seed: int | None = None,
    first_tuning_seed: int | None = None,
    campaign: str = "default",
    options: ExecutionOptions = DEFAULT_OPTIONS,
    report_folder: Path = REPORT,
    listener: Listener = ignore,
) -> Result:
    """Tune every optimizer on every benchmark, evaluate it on fresh seeds, and write a report.

    `suite` is a Suite, or the name, file or module of one. `benchmarks` and `optimizers` select
    from it by name; an OptimizerSpec is added to it. Numbers replace those of the suite; `n_seeds`
    without `max_seeds` is a fixed number. Results that the campaign already holds are reused.
    `listener` is called with each event of `optsuite.campaign.events`.
    """
    chosen = select_from(
        suite,
        benchmarks,
        optimizers,
        n_trials=n_trials,
        n_seeds=n_seeds,
        max_seeds=max_seeds,
        first_seed=first_seed,
        first_tuning_seed=first_tuning_seed,
    )
    with open_session(chosen, campaign=campaign, options=options, listener=listener) as session:
        studies = studies_of(chosen.suite, session.problems, device=options.device)
        outcome = session.run(studies, notes=chosen.notes())
        written = publish(session.uri, campaign, report_folder, session.skipped)
    return Result(
        uri=session.uri,
        campaign=campaign,
        outcome=outcome,
        leaderboard=written.table({study.name[0] for study in studies}),
        skipped=tuple(session.skipped),
        report=written,
    )


def preview(
    suite: str | Suite = DEFAULT_SUITE,
    *,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str | OptimizerSpec] = (),
    n_trials: int | None = None,
    n_seeds: int | None = None,
    max_seeds: int | None = None,
    first_seed: int | None = None,
    first_tuning_seed: int | None = None,
    campaign: str = "default",
    options: ExecutionOptions = DEFAULT_OPTIONS,
) -> Preview:
    """Show what `run` would train with these arguments, without training or writing anything."""
    chosen = select_from(
        suite,
        benchmarks,
        optimizers,
        n_trials=n_trials,
        n_seeds=n_seeds,
        max_seeds=max_seeds,
        first_seed=first_seed,
        first_tuning_seed=first_tuning_seed,
    )
    with open_session(chosen, campaign=campaign, options=options) as session:
        studies = studies_of(chosen.suite, session.problems, device=options.device)
        missing = session.missing(studies)
        n_workers = session.pool.n_workers
    minutes = {}
    for name, n in missing.items():
        minutes[name] = n * session.seconds_per_run[name] / n_workers / 60
    return Preview(
        n_runs=runs_by_benchmark(studies),
        n_missing=missing,
        minutes=minutes,
        n_workers=n_workers,
        notes=tuple(notes_of(studies)),
        skipped=tuple(session.skipped),
    )


def train(
    benchmark: str,
    optimizer: str | OptimizerSpec,
    *,
    lr: float,
    seeds: Sequence[int] = (0,),
    suite: str | Suite = DEFAULT_SUITE,
    campaign: str = "default",
    options: ExecutionOptions = DEFAULT_OPTIONS,
    listener: Listener = ignore,
) -> Result:
    """Train at a learning rate chosen by hand; the runs are tracked but never ranked."""
    chosen = select_from(suite, [benchmark], [optimizer])
    if len(chosen.suite.optimizers) > 1:
        raise InputError(f"optimizer: got {optimizer!r}, allowed: a single one")
    with open_session(chosen, campaign=campaign, options=options, listener=listener) as session:
        problem = session.problems[0]
        study = manual_study(chosen.suite, problem, lr=lr, seeds=seeds, device=options.device)
        outcome = session.run([study])
    found = read_runs(open_store(session.uri), campaign)
    benchmark_name, optimizer_name = study.name
    own = (found["benchmark"] == benchmark_name) & (found["optimizer"] == optimizer_name)
    own &= (found["arm"] == "manual") & (found["lr"] == study.lr)
    return Result(
        uri=session.uri,
        campaign=campaign,
        outcome=outcome,
        leaderboard=leaderboard_of(found[own]),
        skipped=tuple(session.skipped),
    )


def report(campaign: str = "default", *, report_folder: Path = REPORT) -> Report:
    """Write the report of a campaign again from the store."""
    uri = tracking_uri()
    require_campaign(uri, campaign)
    return publish(uri, campaign, report_folder)


def compare(before: str, after: str) -> CampaignChanges:
    """Compare two campaigns. Raises InputError if they have no benchmark or seed in common."""
    uri = tracking_uri()
    for campaign in (before, after):
        require_campaign(uri, campaign)
    store = open_store(uri)
    runs = [read_runs(store, campaign) for campaign in (before, after)]
    benchmarks = [set(own["benchmark"]) for own in runs]
    if all(benchmarks) and not benchmarks[0] & benchmarks[1]:
        raise InputError(f"campaigns {before} and {after} have no benchmark in common")
    old, new = map(evaluated_seeds, runs)
    if old and new and not old & new:
        raise InputError(
            f"campaigns {before} and {after} evaluated no seed in common, so their runs are not "
            "paired; run one of them with the --first-seed of the other"
        )
    return compare_campaigns(*runs)


def nightly(
    suite: str | Suite = DEFAULT_SUITE,
    *,
    campaign: str | None = None,
    retune: bool = False,
    keep: int | None = None,
    options: ExecutionOptions = DEFAULT_OPTIONS,
    report_folder: Path = REPORT,
    listener: Listener = ignore,
) -> NightResult:
    """Train the suite at the rates that were tuned last, and compare with the last that passed.

    By default the campaign is named after the date in UTC. `retune` tunes the rates again, for this
    and later nights. All but the last `keep` nights are deleted, except those still needed.
    """
    name = campaign or f"nightly-{datetime.now(UTC):%Y-%m-%d}"
    chosen = select_from(suite, max_seeds=0)  # a night has the seeds of the one before it
    with open_session(chosen, campaign=name, options=options, listener=listener) as session:
        return run_night(session, retune=retune, keep=keep, folder=report_folder)


def delete(campaign: str, *, dry_run: bool = False, force: bool = False) -> Removal:
    """Delete everything of a campaign. If later nights need it, `force` is required."""
    return delete_campaign(tracking_uri(), campaign, dry_run=dry_run, force=force)


def clean(campaign: str | None = None, *, dry_run: bool = False, rejected: bool = False) -> Removal:
    """Remove what no report, night or later start needs, from one campaign or from all.

    `rejected` includes runs in the outbox that the store did not accept.
    """
    return clean_store(tracking_uri(), campaign, dry_run=dry_run, rejected=rejected)


def runs(campaign: str = "default") -> pd.DataFrame:
    """The ended runs of a campaign, one row each: definition, outcome, summaries and MLflow ids."""
    uri = tracking_uri()
    require_campaign(uri, campaign)
    return read_runs(open_store(uri), campaign)


def curves(campaign: str = "default", names: Iterable[str] = ("validation/loss",)) -> pd.DataFrame:
    """Curves of the runs of a campaign, with columns run_id, curve, step and value."""
    found = runs(campaign)
    return read_curves(open_store(tracking_uri()), found["run_id"], names)


def leaderboard(runs: pd.DataFrame | str = "default") -> pd.DataFrame:
    """The leaderboard of a campaign, or of rows returned by `runs`."""
    if isinstance(runs, str):
        uri = tracking_uri()
        require_campaign(uri, runs)
        runs = read_runs(open_store(uri), runs)
    return leaderboard_of(runs)
