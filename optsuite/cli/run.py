"""optsuite run."""

from typing import Any

import click

from optsuite.cli.options import CAMPAIGN, SUITE, SeedRange, execution_options
from optsuite.execution.options import ExecutionOptions


@click.command()
@SUITE
@click.option(
    "-b",
    "--benchmark",
    "benchmarks",
    multiple=True,
    help="Only this benchmark; repeats. NAME@STEPS changes its budget.",
)
@click.option(
    "-o",
    "--optimizer",
    "optimizers",
    multiple=True,
    help="Only this optimizer, or all; repeats. NAME+SCHEDULE gives it a schedule.",
)
@click.option(
    "--trials",
    type=click.IntRange(1, 1_000),
    help="Learning rates tried for each optimizer.",
)
@click.option(
    "--seeds",
    type=SeedRange(),
    help="Fresh seeds that the table uses. 12..36 adds some where a verdict is open.",
)
@click.option("--first-seed", type=click.IntRange(0), help="Where these seeds begin.  [default: 0]")
@click.option(
    "--first-tuning-seed",
    type=click.IntRange(0),
    help="Where the seeds for tuning begin; other ones tune anew.  [default: 1000]",
)
@CAMPAIGN
@execution_options
@click.option("--dry-run", is_flag=True, help="Show what would be trained, and train nothing.")
def run(
    suite: str,
    benchmarks: tuple[str, ...],
    optimizers: tuple[str, ...],
    trials: int | None,
    seeds: tuple[int, int] | None,
    first_seed: int | None,
    first_tuning_seed: int | None,
    campaign: str,
    options: ExecutionOptions,
    dry_run: bool,
) -> int:
    """Tune every optimizer, evaluate it on fresh seeds, and report."""
    if not dry_run:
        from optsuite.cli.options import start_workers

        start_workers(options)
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.progress import Display
    from optsuite.cli.results import EXIT_CODES, show_preview, show_result

    out = console()
    asked: dict[str, Any] = {
        "benchmarks": benchmarks,
        "optimizers": optimizers,
        "n_trials": trials,
        "n_seeds": seeds[0] if seeds else None,
        "max_seeds": seeds[1] if seeds else None,
        "first_seed": first_seed,
        "first_tuning_seed": first_tuning_seed,
        "campaign": campaign,
        "options": options,
    }
    if dry_run:
        return show_preview(out, api.preview(suite, **asked))
    with Display(out) as display:
        result = api.run(suite, **asked, listener=display.show)
    show_result(out, result)
    return EXIT_CODES[result.outcome]
