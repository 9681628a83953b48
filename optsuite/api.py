"""What the commands call, for notebooks and scripts too: everything that optsuite does, as functions of values.

All of them work on the store of MLFLOW_TRACKING_URI, else on mlruns/mlflow.db in the current
folder, and raise InputError, a ValueError, for what they cannot use.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from optsuite.analysis.changes import CampaignChanges, compare_campaigns
from optsuite.analysis.leaderboard import leaderboard as leaderboard_of
from optsuite.campaign.housekeeping.cleaning import clean_store
from optsuite.campaign.housekeeping.deletion import delete_campaign
from optsuite.campaign.housekeeping.removal import Removal
from optsuite.campaign.runner import manual_study, studies_of
from optsuite.campaign.session import Listener, ignore, notes_of, open_session, runs_by_benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError
from optsuite.execution.options import ExecutionOptions
from optsuite.nights.night import NightResult, run_night
from optsuite.registry import load_suite, select, unavailable
from optsuite.reporting.publish import Report, publish
from optsuite.reporting.result import Preview, Result
from optsuite.tracking.location import require_campaign, tracking_uri
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
    campaign: str = "default",
    options: ExecutionOptions = DEFAULT_OPTIONS,
    report_folder: Path = REPORT,
    listener: Listener = ignore,
) -> Result:
    """Tune every optimizer on every benchmark, evaluate it on fresh seeds, and report.

    `suite` is a Suite, or the name, file or module of one. `benchmarks` and `optimizers` select from
    it, by name; an OptimizerSpec may stand for itself. What the campaign holds already is not
    trained again. `listener` is called with each event of `optsuite.campaign.events`.
    """
    chosen, source = _chosen(suite, benchmarks, optimizers, n_trials, n_seeds)
    with open_session(
        chosen,
        source=source,
        campaign=campaign,
        options=options,
        named=_named(chosen, benchmarks),
        listener=listener,
    ) as session:
        studies = studies_of(chosen, session.problems, device=options.device)
        outcome = session.run(studies, notes=_not_installed(chosen, optimizers))
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
    campaign: str = "default",
    options: ExecutionOptions = DEFAULT_OPTIONS,
) -> Preview:
    """What `run` with these arguments would train. Trains and writes nothing."""
    chosen, source = _chosen(suite, benchmarks, optimizers, n_trials, n_seeds)
    with open_session(
        chosen,
        source=source,
        campaign=campaign,
        options=options,
        named=_named(chosen, benchmarks),
    ) as session:
        studies = studies_of(chosen, session.problems, device=options.device)
        missing = session.missing(studies)
        n_workers = session.pool.n_workers
    seconds = session.seconds_per_run
    return Preview(
        n_runs=runs_by_benchmark(studies),
        n_missing=missing,
        minutes={name: n * seconds[name] / n_workers / 60 for name, n in missing.items()},
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
    """Train runs at a learning rate given by hand, tracked but never ranked."""
    chosen, source = _chosen(suite, [benchmark], [optimizer])
    if len(chosen.optimizers) > 1:
        raise InputError(f"optimizer: got {optimizer!r}, allowed: a single one")
    with open_session(
        chosen,
        source=source,
        campaign=campaign,
        options=options,
        named=[benchmark],
        listener=listener,
    ) as session:
        problem = session.problems[0]
        study = manual_study(chosen, problem, lr=lr, seeds=seeds, device=options.device)
        outcome = session.run([study])
    found = read_runs(open_store(session.uri), campaign)
    own = (found["benchmark"] == study.name[0]) & (found["optimizer"] == study.name[1])
    own &= (found["arm"] == "manual") & (found["lr"] == study.lr)
    return Result(
        uri=session.uri,
        campaign=campaign,
        outcome=outcome,
        leaderboard=leaderboard_of(found[own]),
        skipped=tuple(session.skipped),
    )


def report(campaign: str = "default", *, report_folder: Path = REPORT) -> Report:
    """Write the report of a campaign again, from the store."""
    uri = tracking_uri()
    require_campaign(uri, campaign)
    return publish(uri, campaign, report_folder)


def compare(before: str, after: str) -> CampaignChanges:
    """What changed from one campaign to another."""
    uri = tracking_uri()
    for campaign in (before, after):
        require_campaign(uri, campaign)
    store = open_store(uri)
    return compare_campaigns(read_runs(store, before), read_runs(store, after))


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
    """Train the suite at the rates of the first night, and compare with the last good one.

    The campaign is named after the date in UTC where it has no name. `retune` tunes the rates anew,
    for later nights too. All but the last `keep` nights are deleted, except those still needed.
    """
    name = campaign or f"nightly-{datetime.now(UTC):%Y-%m-%d}"
    chosen, source = _chosen(suite)
    with open_session(
        chosen, source=source, campaign=name, options=options, listener=listener
    ) as session:
        return run_night(session, retune=retune, keep=keep, folder=report_folder)


def delete(campaign: str, *, dry_run: bool = False, force: bool = False) -> Removal:
    """Delete all that is kept of a campaign; one that later nights need only with `force`."""
    return delete_campaign(tracking_uri(), campaign, dry_run=dry_run, force=force)


def clean(campaign: str | None = None, *, dry_run: bool = False, rejected: bool = False) -> Removal:
    """Remove what no report, night or later start needs, from a campaign or from all of them.

    With `rejected`, runs in the spool that the store did not take, too.
    """
    return clean_store(tracking_uri(), campaign, dry_run=dry_run, rejected=rejected)


def runs(campaign: str = "default") -> pd.DataFrame:
    """The ended runs of a campaign, one row each: what they are, their outcome and summaries, their ids in MLflow."""
    uri = tracking_uri()
    require_campaign(uri, campaign)
    return read_runs(open_store(uri), campaign)


def curves(campaign: str = "default", names: Iterable[str] = ("validation/loss",)) -> pd.DataFrame:
    """Curves of the runs of a campaign, with columns run_id, curve, step and value."""
    found = runs(campaign)
    return read_curves(open_store(tracking_uri()), found["run_id"], names)


def leaderboard(runs: pd.DataFrame | str = "default") -> pd.DataFrame:
    """The leaderboard of a campaign, or of the rows that `runs` gives."""
    if isinstance(runs, str):
        uri = tracking_uri()
        require_campaign(uri, runs)
        runs = read_runs(open_store(uri), runs)
    return leaderboard_of(runs)


def _chosen(
    suite: str | Suite,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str | OptimizerSpec] = (),
    n_trials: int | None = None,
    n_seeds: int | None = None,
) -> tuple[Suite, str | Suite]:
    """The part of the suite that was asked for, and what workers load: the suite's name where that is enough."""
    whole = load_suite(suite) if isinstance(suite, str) else suite
    own = [spec for spec in optimizers if isinstance(spec, OptimizerSpec)]
    if own:
        known = [spec for spec in whole.optimizers if spec.name not in {one.name for one in own}]
        whole = replace(whole, optimizers=(*known, *own))
    names = [spec.name if isinstance(spec, OptimizerSpec) else spec for spec in optimizers]
    chosen = select(
        whole, benchmarks=benchmarks, optimizers=names, n_trials=n_trials, n_seeds=n_seeds
    )
    return chosen, whole if own or not isinstance(suite, str) else suite


def _named(suite: Suite, benchmarks: Sequence[str]) -> Sequence[str]:
    """The benchmarks that must be trainable: those that were named, and one that stands alone."""
    return benchmarks or [b.name for b in suite.benchmarks if len(suite.benchmarks) == 1]


def _not_installed(suite: Suite, optimizers: Sequence[str | OptimizerSpec]) -> Iterator[str]:
    """Which optimizers "all" leaves out, in a line."""
    absent = unavailable(suite, [name for name in optimizers if isinstance(name, str)])
    if absent:
        yield f"Not installed: {', '.join(absent)}; pip install 'optsuite[optimizers]' adds them."
