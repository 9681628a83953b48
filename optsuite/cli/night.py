"""What nightly and compare do once their input has been checked, up to the exit code."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optsuite.campaign.drive import studies_of
from optsuite.campaign.prepare import Problem, Skipped
from optsuite.cli.console import console
from optsuite.cli.session import Session
from optsuite.definition import Suite
from optsuite.errors import BadInput
from optsuite.execution.local import LocalPool
from optsuite.nightly.changes import Change, changes, environment
from optsuite.nightly.nights import ORDINARY, REFERENCE, judge, last, nights, prune, rates
from optsuite.tracking.location import require_campaign, tracking_uri
from optsuite.tracking.reading import read_runs
from optsuite.tracking.store import Store, open_store

WORSE = 1


def compare(before: str, after: str) -> int:
    """Say what changed from one campaign to another; 1 where something got worse."""
    uri = tracking_uri()
    for campaign in (before, after):
        require_campaign(uri, campaign)
    store = open_store(uri)
    return WORSE if _compare(console(), store, before, after) else 0


def nightly(
    suite: Suite,
    problems: Sequence[Problem],
    skipped: Sequence[Skipped],
    pool: LocalPool,
    *,
    campaign: str,
    device: str,
    retune: bool,
    keep: int | None,
) -> int:
    """Train a night, compare it with the last good one, and remember how it was."""
    store, out = open_store(tracking_uri()), console()
    found = nights(store, suite.name)
    earlier = [night for night in found if night.campaign != campaign]
    own = last(found, campaign=campaign)
    reference = None if retune else last(earlier, kind=REFERENCE)
    kind = own.kind if own else ORDINARY if reference else REFERENCE
    if kind == ORDINARY and reference is not None:
        how = f"at the rates of {reference.campaign}"
    else:
        reference, how = None, "the rates are tuned, and later nights train at them"
    out.print(f"Night {campaign}: {how}", highlight=False, markup=False)
    studies = studies_of(suite, problems, device=device, rates=rates(store, reference))
    code = Session(suite.name, campaign, pool, problems).run(studies, skipped, night=kind)
    if code not in (0, WORSE):
        return code
    this = last(nights(store, suite.name), campaign=campaign)
    if this is None:
        raise BadInput(f"campaign: got {campaign}, in which nothing was trained; allowed: a suite with something to train")
    good = last([night for night in earlier if night.started < this.started], good=True)
    worse = code == WORSE
    if good is None:
        out.print("\nNo earlier night was good: there is nothing to compare with.", highlight=False)
    elif kind == REFERENCE:
        out.print("\nThe rates were tuned anew: this night is compared with none, and later ones with it.", highlight=False)
    else:
        worse |= _compare(out, store, good.campaign, campaign)
    judge(store, this, good=not worse)
    if keep is not None:
        for night in prune(store, nights(store, suite.name), keep):
            out.print(f"Deleted {night.campaign}.", highlight=False, markup=False)
    return WORSE if worse else 0


def _compare(out: Console, store: Store, before: str, after: str) -> bool:
    """Show what changed; whether anything got worse."""
    old, new = (read_runs(store, campaign) for campaign in (before, after))
    found = changes(old, new)
    _show(out, found, old, new, before, after)
    return any(change.verdict == "worse" for change in found)


def _show(out: Console, found: Sequence[Change], old: pd.DataFrame, new: pd.DataFrame, before: str, after: str) -> None:
    out.print(f"\n{after} against {before}", style="bold", highlight=False, markup=False)
    for name, was, now in environment(old, new):
        out.print(f"{name}: {was or 'unknown'} -> {now or 'unknown'}", highlight=False, markup=False, soft_wrap=True)
    if not found:
        out.print("Nothing changed.", highlight=False)
        return
    table = Table("", "benchmark", "optimizer", "what", "before", "after")
    for change in found:
        cells = (change.verdict, change.benchmark, change.optimizer, change.what, change.before, change.after)
        table.add_row(*(Text(cell) for cell in cells), style="red" if change.verdict == "worse" else "")
    out.print(table)
