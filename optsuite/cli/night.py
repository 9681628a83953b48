"""What nightly and compare do once their input has been checked, up to the exit code."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optsuite.analysis import night_statements
from optsuite.analysis.changes import Change, changes, environment
from optsuite.campaign.drive import studies_of
from optsuite.campaign.prepare import Problem, Skipped
from optsuite.cli.console import console
from optsuite.cli.session import REPORT, Session
from optsuite.definition import Suite
from optsuite.errors import BadInput
from optsuite.execution.pool import Pool
from optsuite.nights.remeasure import confirmed
from optsuite.reporting.folder import add_file
from optsuite.reporting.nightly_page import SHOWN, page
from optsuite.tracking.location import require_campaign, tracking_uri
from optsuite.tracking.nights import ORDINARY, REFERENCE, Night, judge, last, nights, prune, rates
from optsuite.tracking.reading import read_runs
from optsuite.tracking.store import Store, open_store

WORSE = 1


def compare(before: str, after: str) -> int:
    """Say what changed from one campaign to another; 1 where something got worse."""
    uri = tracking_uri()
    for campaign in (before, after):
        require_campaign(uri, campaign)
    store = open_store(uri)
    old, new = (read_runs(store, campaign) for campaign in (before, after))
    return WORSE if _compare(console(), old, new, before, after) else 0


def nightly(
    suite: Suite,
    problems: Sequence[Problem],
    skipped: Sequence[Skipped],
    pool: Pool,
    *,
    campaign: str,
    device: str,
    retune: bool,
    keep: int | None,
    trust_store: bool = False,
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
    code = Session(suite.name, campaign, pool, problems, trust_store=trust_store).run(studies, skipped, night=kind)
    if code not in (0, WORSE):
        return code
    found = nights(store, suite.name)
    this = last(found, campaign=campaign)
    if this is None:
        raise BadInput(f"campaign: got {campaign}, in which nothing was trained; allowed: a suite with something to train")
    before = _before(found, this, out)
    worse = code == WORSE
    if before is not None:
        old = read_runs(store, before.campaign)
        new = confirmed(store, old, campaign, problems, suite.optimizers, device=device)
        worse |= _compare(out, old, new, before.campaign, campaign)
    judge(store, this, good=not worse)
    found = [replace(night, good=not worse) if night is this else night for night in found]
    if keep is not None:
        deleted = prune(store, found, keep)
        for night in deleted:
            out.print(f"Deleted {night.campaign}.", highlight=False, markup=False)
        found = [night for night in found if night not in deleted]
    _trend(out, store, suite.name, found)
    return WORSE if worse else 0


def _before(found: Sequence[Night], this: Night, out: Console) -> Night | None:
    """The night that a night is compared with, the last good one before it, else the last; says why where that is none."""
    earlier = [night for night in found if night.started < this.started]
    before = last(earlier, good=True) or last(earlier)
    if before is None:
        out.print("\nThis is the first night: there is nothing to compare with.")
        return None
    if this.kind == REFERENCE:
        out.print("\nThe rates were tuned anew: this night is compared with none, and later ones with it.", highlight=False)
        return None
    if not before.good:
        out.print("\nNo earlier night was good: what was bad before is not found again.")
    return before


def _trend(out: Console, store: Store, suite: str, found: Sequence[Night]) -> None:
    """Write the page of the last nights."""
    shown = found[-SHOWN:]
    history = [(night, read_runs(store, night.campaign)) for night in shown]
    add_file(REPORT, "nights.html", page(suite, history, n_older=len(found) - len(shown)))
    out.print(f"\nTrend:   {REPORT / 'nights.html'}", soft_wrap=True, highlight=False)


def _compare(out: Console, old: pd.DataFrame, new: pd.DataFrame, before: str, after: str) -> bool:
    """Show what changed between two campaigns of these names; whether anything got worse."""
    found = changes(old, new)
    _show(out, found, old, new, before, after)
    return any(change.kind == "worse" for change in found)


def _show(out: Console, found: Sequence[Change], old: pd.DataFrame, new: pd.DataFrame, before: str, after: str) -> None:
    out.print(f"\n{after} against {before}", style="bold", highlight=False, markup=False)
    for name, was, now in environment(old, new):
        out.print(f"{name}: {was or 'unknown'} -> {now or 'unknown'}", highlight=False, markup=False, soft_wrap=True)
    if not found:
        out.print("Nothing changed.", highlight=False)
        return
    table = Table("", "benchmark", "optimizer", "what", "before", "after")
    for change in found:
        quantity = night_statements.QUANTITIES[change.quantity]
        cells = (change.kind, change.benchmark, change.optimizer, quantity)
        style = "red" if change.kind == "worse" else ""
        table.add_row(*map(Text, (*cells, *night_statements.change(change))), style=style)
    out.print(table)
