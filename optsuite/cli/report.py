"""optsuite report."""

from pathlib import Path

import click

from optsuite.cli.options import CAMPAIGN


@click.command()
@CAMPAIGN
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mlruns/report"),
    show_default=True,
    help="Folder of the report.",
)
def report(campaign: str, out: Path) -> int:
    """Build the tables of a campaign again, and show them."""
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.results import show_report

    show_report(console(), api.report(campaign, report_folder=out), campaign)
    return 0
