"""optsuite ui."""

import click

from optsuite.cli.options import CAMPAIGN


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@CAMPAIGN
def ui(port: int, campaign: str) -> int:
    """Open MLflow's UI at the comparison, until Ctrl-C."""
    from optsuite.cli.server import serve

    return serve(port, campaign)
