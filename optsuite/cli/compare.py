"""optsuite compare, and how changes are shown."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from optsuite.analysis.changes import CampaignChanges


@click.command()
@click.argument("before")
@click.argument("after")
def compare(before: str, after: str) -> int:
    """Show changes between two campaigns; exit 1 on a regression."""
    from optsuite import api
    from optsuite.cli.console import console

    changed = api.compare(before, after)
    show_changes(console(), changed, before, after)
    return int(changed.is_worse)


def show_changes(out: "Console", changed: "CampaignChanges", before: str, after: str) -> None:
    """Print the changes between two campaigns of these names."""
    from rich.table import Table
    from rich.text import Text

    from optsuite.analysis import night_statements

    out.print(f"\n{after} against {before}", style="bold", highlight=False, markup=False)
    for name, was, now in changed.environment:
        line = f"{name}: {was or 'unknown'} -> {now or 'unknown'}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not changed.changes:
        out.print("Nothing changed.", highlight=False)
        return
    table = Table("", "benchmark", "optimizer", "what", "before", "after")
    for change in changed.changes:
        quantity = night_statements.QUANTITIES[change.quantity]
        old, new = night_statements.change(change)
        texts = (change.kind, change.benchmark, change.optimizer, quantity, old, new)
        style = "red" if change.kind == "worse" else ""
        table.add_row(*map(Text, texts), style=style)
    out.print(table)
