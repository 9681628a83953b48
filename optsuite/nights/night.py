"""A nightly run: train at the rates of an earlier night, compare with the last that passed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from optsuite.analysis.changes import CampaignChanges, compare_campaigns, evaluated_seeds
from optsuite.campaign.events import NightStarted
from optsuite.campaign.runner import studies_of
from optsuite.campaign.session import Outcome, Session
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError
from optsuite.nights.remeasure import confirmed
from optsuite.reporting.folder import add_file
from optsuite.reporting.nightly_page import SHOWN, page
from optsuite.reporting.publish import Report, publish
from optsuite.tracking.nights import (
    ORDINARY,
    TUNED,
    Night,
    judge,
    last,
    nights,
    prune,
    rates,
)
from optsuite.tracking.query import read_runs
from optsuite.tracking.store import Store, open_store

PAGE = "nights.html"
State = Literal["first", "retuned", "compared", "no passing baseline", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class NightResult:
    """How a nightly run ended.

    `baseline` is the night it was compared with, None if it was the first or tuned the rates again.
    In the state "no passing baseline", that night failed itself. `comparison` holds the changes.
    """

    outcome: Outcome
    campaign: str
    report: Report
    baseline: str | None = None
    state: State
    comparison: CampaignChanges | None = None
    deleted: tuple[str, ...] = ()
    page: Path | None = None


def run_night(session: Session, *, retune: bool, keep: int | None, folder: Path) -> NightResult:
    """Train a night, compare it with its baseline, and store the verdict. Raises InputError.

    All but the last `keep` nights are deleted, except those that later nights need.
    """
    store = open_store(session.uri)
    campaign, suite, device = session.campaign, session.suite, session.options.device
    outcome = _train(session, store, retune=retune)
    report = publish(session.uri, campaign, folder, session.skipped)
    if outcome == "interrupted":
        return NightResult(outcome=outcome, campaign=campaign, report=report, state="interrupted")
    found = nights(store, suite.name)
    this = last(found, campaign=campaign)
    if this is None:
        raise InputError(f"campaign {campaign}: nothing was trained in it; check the suite")
    baseline, state = _baseline(found, this)
    baseline_name, changed = None, None
    if baseline is not None:
        baseline_name = baseline.campaign
        old = read_runs(store, baseline_name)
        new = confirmed(store, old, campaign, session.problems, suite.optimizers, device=device)
        changed = compare_campaigns(old, new)
        if changed.is_worse:
            outcome = "failed"
    passed = outcome == "done"
    judge(store, this, passed=passed)
    found[found.index(this)] = replace(this, passed=passed)
    deleted = []
    if keep is not None:
        deleted = prune(store, found, keep)
    found = [night for night in found if night not in deleted]
    return NightResult(
        outcome=outcome,
        campaign=campaign,
        report=report,
        baseline=baseline_name,
        state=state,
        comparison=changed,
        deleted=tuple(night.campaign for night in deleted),
        page=_write_page(store, suite.name, found, folder),
    )


def _train(session: Session, store: Store, *, retune: bool) -> Outcome:
    campaign, suite, device = session.campaign, session.suite, session.options.device
    kind, tuned = _kind_of(store, suite.name, campaign, retune=retune)
    rates_of = tuned.campaign if tuned else None
    session.listener(NightStarted(campaign=campaign, rates_of=rates_of))
    if tuned:
        _require_fitting_seeds(read_runs(store, tuned.campaign), tuned.campaign, suite)
    known = rates(store, tuned)
    studies = studies_of(suite, session.problems, device=device, rates=known)
    return session.run(studies, night=kind)


def _require_fitting_seeds(runs: pd.DataFrame, night: str, suite: Suite) -> None:
    """Raise InputError if the rates of a night cannot be evaluated on the suite's seeds.

    They would be judged on seeds that chose them, or on none that the night evaluated.
    """
    tuning = set(runs.loc[runs["kind"].isin(["trial", "confirmation"]), "seed"])
    evaluated = evaluated_seeds(runs)
    own = set(suite.seeds)
    remedy = "use --retune, or the first_seed of that night"
    if own & tuning:
        raise InputError(f"night {night} tuned its rates on seeds of this one; {remedy}")
    if evaluated and not own & evaluated:
        raise InputError(f"night {night} evaluated none of the seeds of this one; {remedy}")


def _kind_of(store: Store, suite: str, campaign: str, *, retune: bool) -> tuple[str, Night | None]:
    """The kind of this night, kept when it resumes, and the night whose rates it uses."""
    found = nights(store, suite)
    own = last(found, campaign=campaign)
    tuned = None
    if not retune:
        others = [night for night in found if night.campaign != campaign]
        tuned = last(others, kind=TUNED)
    kind = ORDINARY if tuned else TUNED
    if own:
        kind = own.kind
    if kind != ORDINARY:
        return kind, None
    return kind, tuned


def _baseline(found: Sequence[Night], this: Night) -> tuple[Night | None, State]:
    """The last night before this one that passed, else the last night before it."""
    earlier = [night for night in found if night.started < this.started]
    before = last(earlier, passed=True) or last(earlier)
    if before is None:
        return None, "first"
    if this.kind == TUNED:
        return None, "retuned"
    if not before.passed:
        return before, "no passing baseline"
    return before, "compared"


def _write_page(store: Store, suite: str, found: Sequence[Night], folder: Path) -> Path:
    """Write the page of the last nights."""
    shown = found[-SHOWN:]
    history = [(night, read_runs(store, night.campaign)) for night in shown]
    add_file(folder, PAGE, page(suite, history, n_older=len(found) - len(shown)))
    return folder / PAGE
