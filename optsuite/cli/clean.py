"""optsuite clean."""

import click


@click.command()
@click.option("--campaign", help="Clean only this campaign.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--all", "rejected", is_flag=True, help="Also runs that could not be delivered.")
def clean(campaign: str | None, dry_run: bool, rejected: bool) -> int:
    """Remove what no report and no later start needs."""
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.removals import show_removal

    removal = api.clean(campaign, dry_run=dry_run, rejected=rejected)
    show_removal(console(), removal)
    return 0
