"""optsuite list."""

import click

from optsuite.cli.options import SUITE


@click.command(name="list")
@SUITE
def list_(suite: str) -> int:
    """Show the suite, all optimizers, and the campaigns."""
    from optsuite.cli.listing import show

    show(suite)
    return 0
