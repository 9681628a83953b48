"""The commands and their options. Each imports what it needs when it is called."""

import math
import os
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

SUITE = click.option(
    "--suite", default="benchmarks", show_default=True, help="File or module that defines SUITE, or a name that `list` shows."
)
SCHEDULE = click.option("--schedule", help="Schedule of the learning rate: constant, cosine, warmup_cosine, step, wsd.")
CAMPAIGN = click.option("--campaign", default="default", show_default=True, help="Name of the set of results.")
WORKERS = click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one a core]")
DEVICE = click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, cuda:1, mps.")
ENGINE = click.option("--engine", type=click.Choice(["auto", "plain", "stacked"]), default="auto", help="How runs are trained.")
CHECKPOINT = click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    help="Save runs trained one by one after every so many steps, to resume them.",
)
SCHEDULED = ("keep", "workers", "device", "engine", "checkpoint_every")  # the options that a schedule takes over
OUT = click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("mlruns/report"), show_default=True)


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
@click.option("--trials", type=click.IntRange(min=1), help="Learning rates tried for each optimizer.")
@click.option("--seeds", type=click.IntRange(min=1), help="Fresh seeds that the table uses.")
@CAMPAIGN
@WORKERS
@DEVICE
@ENGINE
@CHECKPOINT
@click.option("--dry-run", is_flag=True, help="Say what there is to train, and train nothing.")
def run(
    suite: str,
    benchmarks: tuple[str, ...],
    optimizers: tuple[str, ...],
    schedule: str | None,
    trials: int | None,
    seeds: int | None,
    campaign: str,
    workers: int | None,
    device: str,
    engine: str,
    checkpoint_every: int | None,
    dry_run: bool,
) -> int:
    """Tune every optimizer on every benchmark, evaluate it on fresh seeds, and report."""
    from optsuite.execution.processes import start_server

    if not dry_run:
        start_server()
    from optsuite.campaign.drive import studies_of
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.session import Session, checkpoints
    from optsuite.execution.local import LocalPool
    from optsuite.suites import load_suite, select, unavailable

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
    with LocalPool(workers or n_cores(), suite=suite, device=device, checkpoints=checkpoints(checkpoint_every)) as pool:
        problems, skipped = prepare(chosen, device=device, engine=engine, named=named)
        session = Session(chosen.name, campaign, pool, problems)
        studies = studies_of(chosen, problems, device=device)
        return session.dry_run(studies, skipped) if dry_run else session.run(studies, skipped)


@cli.command()
@click.argument("benchmark")
@click.argument("optimizer")
@SUITE
@click.option("--lr", type=float, required=True, help="The learning rate.")
@SCHEDULE
@click.option("--seeds", default="0", show_default=True, help="Seeds, separated by commas.")
@CAMPAIGN
@WORKERS
@DEVICE
@ENGINE
@CHECKPOINT
def train(
    benchmark: str,
    optimizer: str,
    suite: str,
    lr: float,
    schedule: str | None,
    seeds: str,
    campaign: str,
    workers: int | None,
    device: str,
    engine: str,
    checkpoint_every: int | None,
) -> int:
    """Train single runs at a given learning rate, tracked but never ranked."""
    if not (math.isfinite(lr) and lr > 0):
        raise click.BadParameter(f"got {lr:g}, allowed: a finite number above 0", param_hint="--lr")
    numbers = parse_seeds(seeds)
    from optsuite.execution.processes import start_server

    start_server()
    from optsuite.campaign.drive import given_study
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.session import Session, checkpoints
    from optsuite.execution.local import LocalPool
    from optsuite.suites import load_suite, select

    check_campaign_name(campaign)
    chosen = select(load_suite(suite), benchmarks=[benchmark], optimizers=[optimizer], schedule=schedule)
    if len(chosen.optimizers) > 1:
        raise click.BadParameter(f"got {optimizer!r}, allowed: a single one", param_hint="OPTIMIZER")
    problems, _ = prepare(chosen, device=device, engine=engine, named=[benchmark])
    with LocalPool(workers or n_cores(), suite=suite, device=device, checkpoints=checkpoints(checkpoint_every)) as pool:
        session = Session(chosen.name, campaign, pool, problems)
        return session.train(given_study(chosen, problems[0], lr=lr, seeds=numbers, device=device))


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
@WORKERS
@DEVICE
@ENGINE
@CHECKPOINT
def nightly(
    suite: str,
    campaign: str | None,
    retune: bool,
    keep: int | None,
    print_schedule: str | None,
    workers: int | None,
    device: str,
    engine: str,
    checkpoint_every: int | None,
) -> int:
    """Train the suite again at the rates of the first night, and compare with the last good one; exit 1 on a regression."""
    if print_schedule:
        return show_schedule(print_schedule, suite)
    from optsuite.execution.processes import start_server

    start_server()
    from optsuite.campaign.lock import check_campaign_name
    from optsuite.campaign.prepare import prepare
    from optsuite.cli.night import nightly as run
    from optsuite.cli.session import checkpoints
    from optsuite.execution.local import LocalPool
    from optsuite.suites import load_suite, select

    name = campaign or f"nightly-{datetime.now(UTC):%Y-%m-%d}"
    check_campaign_name(name)
    chosen = select(load_suite(suite))
    problems, skipped = prepare(chosen, device=device, engine=engine)
    with LocalPool(workers or n_cores(), suite=suite, device=device, checkpoints=checkpoints(checkpoint_every)) as pool:
        return run(chosen, problems, skipped, pool, campaign=name, device=device, retune=retune, keep=keep)


def show_schedule(kind: str, suite: str) -> int:
    """Print what calls the command that runs every night, with the options that were given. Raises BadParameter."""
    from optsuite.nightly.schedules import SCHEDULES

    context = click.get_current_context()
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    reasons = {"campaign": "every night has a name of its own", "retune": "a night that tunes is compared with none"}
    for name, why in reasons.items():
        if name in given:
            raise click.BadParameter(f"got it with --print-schedule, allowed: without, as {why}", param_hint=f"--{name}")
    options = [part for name in SCHEDULED if name in given for part in (f"--{name}", str(context.params[name]))]
    click.echo(SCHEDULES[kind](suite, options), nl=False)
    for name in filter(os.environ.get, ("MLFLOW_TRACKING_URI", "OPTSUITE_DATA")):
        click.echo(f"{name} is set here, and will not be there: docs/nightly.md says where to set it.", err=True)
    return 0


def parse_seeds(text: str) -> list[int]:
    """Seeds separated by commas, each a whole number from 0, each once. Raises BadParameter."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**31 or len(set(seeds)) < len(seeds):
        allowed = "different whole numbers from 0, separated by commas"
        raise click.BadParameter(f"got {text!r}, allowed: {allowed}", param_hint="--seeds")
    return seeds


def n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
