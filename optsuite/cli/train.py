"""optsuite train."""

import math

import click

from optsuite.cli.options import CAMPAIGN, SUITE, execution_options, parse_seeds, start_workers
from optsuite.execution.options import ExecutionOptions


@click.command()
@click.argument("benchmark")
@click.argument("optimizer")
@SUITE
@click.option("--lr", type=float, required=True, help="The learning rate.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, separated by commas.")
@CAMPAIGN
@execution_options
def train(
    benchmark: str,
    optimizer: str,
    suite: str,
    lr: float,
    seeds: str,
    campaign: str,
    options: ExecutionOptions,
) -> int:
    """Train single runs at a given learning rate, never ranked."""
    if not (math.isfinite(lr) and lr > 0):
        allowed = "a finite number above 0"
        raise click.BadParameter(f"got {lr:g}, allowed: {allowed}", param_hint="--lr")
    numbers = parse_seeds(seeds)
    start_workers(options)
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.progress import Display
    from optsuite.cli.results import EXIT_CODES, show_table

    out = console()
    with Display(out) as display:
        result = api.train(
            benchmark,
            optimizer,
            lr=lr,
            seeds=numbers,
            suite=suite,
            campaign=campaign,
            options=options,
            listener=display.show,
        )
    show_table(out, result.leaderboard)
    return EXIT_CODES[result.outcome]
