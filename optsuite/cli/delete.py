"""optsuite delete."""

import sys

import click


@click.command()
@click.argument("campaign")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Delete a night even if later nights need it.")
def delete(campaign: str, dry_run: bool, yes: bool, force: bool) -> int:
    """Delete a campaign for good."""
    from optsuite import api
    from optsuite.cli.console import console
    from optsuite.cli.removals import show_removal

    out = console()
    if dry_run or not yes:
        planned = api.delete(campaign, dry_run=True, force=force)
        show_removal(out, planned)
        if dry_run:
            return 0
        if sys.stdin is None or not sys.stdin.isatty():
            raise click.UsageError("delete must be confirmed on a terminal; add --yes")
        click.confirm(f"Delete campaign {campaign} for good?", abort=True)
    show_removal(out, api.delete(campaign, force=force))
    return 0
