"""optsuite nightly."""

from typing import TYPE_CHECKING

import click

from optsuite.cli.options import SUITE, execution_options, start_workers
from optsuite.execution.options import ExecutionOptions

if TYPE_CHECKING:
    from rich.console import Console

    from optsuite.nights.night import NightResult

STATES = {
    "first": "This is the first night: there is nothing to compare with.",
    "retuned": "The rates were tuned again: this is the new baseline, and not compared itself.",
    "no passing baseline": "No passing baseline exists: comparing with the previous, failed night.",
}


@click.command()
@SUITE
@click.option("--campaign", help="Name of this night.  [default: nightly-<UTC date>]")
@click.option("--retune", is_flag=True, help="Tune the rates again, for this night and later ones.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Keep this many of the last nights, and any needed as a baseline.",
)
@execution_options
def nightly(
    suite: str,
    campaign: str | None,
    retune: bool,
    keep: int | None,
    options: ExecutionOptions,
) -> int:
    """Compare with the last night that passed; exit 1 on a regression."""
    start_workers(options)
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.progress import Display
    from optsuite.cli.results import EXIT_CODES

    out = console()
    with Display(out) as display:
        result = api.nightly(
            suite,
            campaign=campaign,
            retune=retune,
            keep=keep,
            options=options,
            listener=display.show,
        )
    show_night(out, result)
    return EXIT_CODES[result.outcome]


def show_night(out: "Console", result: "NightResult") -> None:
    """Print the result of a night."""
    from optsuite.cli.compare import show_changes
    from optsuite.cli.results import RESUME, show_report

    show_report(out, result.report, result.campaign)
    if result.outcome == "interrupted":
        out.print(RESUME)
        return
    if result.state in STATES:
        out.print(f"\n{STATES[result.state]}", highlight=False)
    if result.comparison is not None and result.baseline is not None:
        show_changes(out, result.comparison, result.baseline, result.campaign)
    for night in result.deleted:
        out.print(f"Deleted {night}.", highlight=False, markup=False)
    out.print(f"\nTrend:   {result.page}", soft_wrap=True, highlight=False)
