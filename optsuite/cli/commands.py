"""The commands and their options. Each imports what it needs when it is called."""

import math
from datetime import UTC, datetime
from pathlib import Path

import click

from optsuite.cli.options import CAMPAIGN, OUT, SCHEDULE, SUITE, Training, parse_seeds, show_schedule, training


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="optsuite", message="optsuite %(version)s")
def cli() -> None:
    """Which optimizer is best at its best learning rate, and how sure is that?"""


@cli.command()
@SUITE
@click.option(
    "-b", "--benchmark", "benchmarks", multiple=True, help="Only this benchmark; repeats. NAME@STEPS changes its budget."
)
@click.option("-o", "--optimizer", "optimizers", multiple=True, help="Only this optimizer, or all; repeats. NAME+SCHEDULE.")
@SCHEDULE
@click.option("--trials", type=click.IntRange(1, 1_000), help="Learning rates tried for each optimizer.")
@click.option("--seeds", type=click.IntRange(1, 1_000), help="Fresh seeds that the table uses.")
@CAMPAIGN
@training
@click.option("--dry-run", is_flag=True, help="Say what there is to train, and train nothing.")
def run(
    suite: str,
    benchmarks: tuple[str, ...],
    optimizers: tuple[str, ...],
    schedule: str | None,
    trials: int | None,
    seeds: int | None,
    campaign: str,
    how: Training,
    dry_run: bool,
) -> int:
    """Tune every optimizer on every benchmark, evaluate it on fresh seeds, and report."""
    if not dry_run:
        how.start()
    from optsuite.campaign.drive import studies_of
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.session import Session
    from optsuite.suites import load_suite, select, unavailable
    from optsuite.tracking.legacy_rows import has_former_rows
    from optsuite.tracking.location import tracking_uri
    from optsuite.tracking.plans import read_plans

    check_campaign_name(campaign)
    chosen = select(
        load_suite(suite), benchmarks=benchmarks, optimizers=optimizers, schedule=schedule, n_trials=trials, n_seeds=seeds
    )
    absent = unavailable(chosen, optimizers)
    if absent:
        click.echo(f"Not installed: {', '.join(absent)}; pip install 'optsuite[optimizers]' adds them.")
    bare = [spec.name for spec in chosen.optimizers if schedule and spec.schedule is None]
    if bare:
        click.echo(f"Without a schedule, which they must not be given: {', '.join(bare)}")
    named = benchmarks or [b.name for b in chosen.benchmarks if len(chosen.benchmarks) == 1]
    with how.open_pool(suite) as pool:
        known = read_plans(tracking_uri(), campaign)
        is_former = has_former_rows(tracking_uri(), campaign)
        problems, skipped = prepare(
            chosen,
            device=how.device,
            engine=how.engine,
            named=named,
            known=known,
            is_former=is_former,
        )
        session = Session(chosen.name, campaign, pool, problems, trust_store=how.trust_store)
        studies = studies_of(chosen, problems, device=how.device)
        return session.dry_run(studies, skipped) if dry_run else session.run(studies, skipped)


@cli.command()
@click.argument("benchmark")
@click.argument("optimizer")
@SUITE
@click.option("--lr", type=float, required=True, help="The learning rate.")
@SCHEDULE
@click.option("--seeds", default="0", show_default=True, help="Seeds, separated by commas.")
@CAMPAIGN
@training
def train(
    benchmark: str,
    optimizer: str,
    suite: str,
    lr: float,
    schedule: str | None,
    seeds: str,
    campaign: str,
    how: Training,
) -> int:
    """Train single runs at a given learning rate, tracked but never ranked."""
    if not (math.isfinite(lr) and lr > 0):
        raise click.BadParameter(f"got {lr:g}, allowed: a finite number above 0", param_hint="--lr")
    numbers = parse_seeds(seeds)
    how.start()
    from optsuite.campaign.drive import given_study
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.session import Session
    from optsuite.suites import load_suite, select
    from optsuite.tracking.legacy_rows import has_former_rows
    from optsuite.tracking.location import tracking_uri
    from optsuite.tracking.plans import read_plans

    check_campaign_name(campaign)
    chosen = select(load_suite(suite), benchmarks=[benchmark], optimizers=[optimizer], schedule=schedule)
    if len(chosen.optimizers) > 1:
        raise click.BadParameter(f"got {optimizer!r}, allowed: a single one", param_hint="OPTIMIZER")
    with how.open_pool(suite) as pool:
        known = read_plans(tracking_uri(), campaign)
        is_former = has_former_rows(tracking_uri(), campaign)
        problems, _ = prepare(
            chosen,
            device=how.device,
            engine=how.engine,
            named=[benchmark],
            known=known,
            is_former=is_former,
        )
        session = Session(chosen.name, campaign, pool, problems, trust_store=how.trust_store)
        return session.train(given_study(chosen, problems[0], lr=lr, seeds=numbers, device=how.device))


@cli.command()
@CAMPAIGN
@OUT
def report(campaign: str, out: Path) -> int:
    """Build the tables of a campaign again, and show them."""
    from optsuite.cli.session import report as build

    return build(campaign, out)


@cli.command(name="list")
@SUITE
def list_(suite: str) -> int:
    """Show the suite, its benchmarks and optimizers, and the campaigns there are."""
    from optsuite.cli.listing import show

    return show(suite)


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@CAMPAIGN
def ui(port: int, campaign: str) -> int:
    """Open MLflow's UI at the comparison; on this machine only, until Ctrl-C."""
    from optsuite.cli.ui import serve

    return serve(port, campaign)


@cli.command()
@click.argument("before")
@click.argument("after")
def compare(before: str, after: str) -> int:
    """Say what changed from one campaign to another; exit 1 when something got worse."""
    from optsuite.cli.night import compare as run

    return run(before, after)


@cli.command()
@SUITE
@click.option("--campaign", help="Name of this night.  [default: nightly-<UTC date>]")
@click.option("--retune", is_flag=True, help="Tune the rates anew, for this night and later ones.")
@click.option("--keep", type=click.IntRange(min=1), help="Delete older nights than so many, but for what is needed.")
@click.option("--print-schedule", type=click.Choice(["github", "systemd", "cron"]), help="Print what runs it every night.")
@training
def nightly(
    suite: str,
    campaign: str | None,
    retune: bool,
    keep: int | None,
    print_schedule: str | None,
    how: Training,
) -> int:
    """Train the suite again at the rates of the first night, and compare with the last good one; exit 1 on a regression."""
    if print_schedule:
        return show_schedule(print_schedule, suite)
    how.start()
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.night import nightly as run
    from optsuite.suites import load_suite, select
    from optsuite.tracking.legacy_rows import has_former_rows
    from optsuite.tracking.location import tracking_uri
    from optsuite.tracking.plans import read_plans

    name = campaign or f"nightly-{datetime.now(UTC):%Y-%m-%d}"
    check_campaign_name(name)
    chosen = select(load_suite(suite))
    with how.open_pool(suite) as pool:
        known = read_plans(tracking_uri(), name)
        is_former = has_former_rows(tracking_uri(), name)
        problems, skipped = prepare(
            chosen,
            device=how.device,
            engine=how.engine,
            known=known,
            is_former=is_former,
        )
        return run(
            chosen,
            problems,
            skipped,
            pool,
            campaign=name,
            device=how.device,
            retune=retune,
            keep=keep,
            trust_store=how.trust_store,
        )
