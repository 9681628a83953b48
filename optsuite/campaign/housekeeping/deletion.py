"""Deleting a campaign for good: its runs, its reports, and its files beside the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optsuite.campaign.housekeeping.leftovers import checkpoints_of, remove
from optsuite.campaign.housekeeping.removal import Removal, Tally
from optsuite.campaign.lock import campaign_lock, check_campaign_name, lock_files, require_free
from optsuite.errors import InputError
from optsuite.tracking.campaigns import require_campaign
from optsuite.tracking.cleaning import give_up, purge, shrink, sizes
from optsuite.tracking.inventory import InventoryRow, inventory
from optsuite.tracking.lease import lease, require_not_leased
from optsuite.tracking.location import store_exists
from optsuite.tracking.nights import needed, nights
from optsuite.tracking.outbox import Outbox, outbox_campaigns
from optsuite.tracking.schema import CAMPAIGN, LEASE, NIGHT, SUITE
from optsuite.tracking.store import Store, open_store


def delete_campaign(
    uri: str,
    campaign: str,
    *,
    dry_run: bool = False,
    force: bool = False,
) -> Removal:
    """Delete a campaign. Raises InputError if it is running, or is a night that others need.

    A kill halfway leaves nothing that a report or a start would read; the next deletion of the
    campaign, or the next cleaning, removes the rest. A server has no transactions: studies are
    deleted last there, so that the campaign stays listed until everything else is gone.
    """
    check_campaign_name(campaign)
    if not store_exists(uri):
        require_campaign(uri, campaign)
    store = open_store(uri)
    runs = inventory(store, campaign)
    if not runs and campaign not in outbox_campaigns(uri):
        require_campaign(uri, campaign)
    if not force:
        _require_unneeded(store, campaign, runs)
    if dry_run:
        require_free(uri, campaign)
        require_not_leased(store, campaign)
        found = _Holdings.found(store, campaign)
        tally = found.tally(sizes(store), lock_files(uri, campaign))
        return Removal(dry_run=True, parts=tally.parts, trash_only=not store.is_database)
    locks = lock_files(uri, campaign)
    with campaign_lock(uri, campaign):
        return _delete(store, campaign, locks, force=force)


@dataclass(frozen=True, kw_only=True)
class _Holdings:
    """Everything that exists of a campaign."""

    runs: Sequence[InventoryRow]
    foreign: Sequence[InventoryRow]
    outbox: Outbox
    checkpoints: Sequence[Path]

    @classmethod
    def found(cls, store: Store, campaign: str) -> "_Holdings":
        everything = inventory(store)
        runs = [run for run in everything if run.campaign == campaign and not _is_live_lease(run)]
        others = [run for run in everything if run.campaign != campaign and not run.is_deleted]
        ours = [run for run in runs if run.is_ours]
        return cls(
            runs=sorted(ours, key=lambda run: run.kind == "study" or run.is_manual),
            foreign=[run for run in runs if not run.is_ours],
            outbox=Outbox(store.uri, campaign),
            checkpoints=checkpoints_of(store.uri, ours, others),
        )

    @property
    def waiting(self) -> list[Path]:
        return [*self.outbox.waiting, *self.outbox.set_aside, *self.outbox.litter]

    def tally(self, known: dict[str, int], locks: Sequence[Path]) -> Tally:
        tally = Tally(known)
        active = [run for run in self.runs if not run.is_deleted]
        tally.runs("runs", [run for run in active if run.kind != "report"])
        tally.runs("reports", [run for run in active if run.kind == "report"])
        tally.runs("trash", [run for run in self.runs if run.is_deleted])
        tally.files("waiting", self.outbox.waiting)
        tally.files("set_aside", self.outbox.set_aside)
        tally.files("litter", self.outbox.litter)
        tally.files("checkpoints", self.checkpoints)
        tally.files("locks", locks)
        tally.runs("foreign", self.foreign, kept=True)
        return tally


def _delete(store: Store, campaign: str, locks: Sequence[Path], *, force: bool) -> Removal:
    """Delete a locked campaign. `locks` are the lock files that were there before."""
    with lease(store, campaign) as own:
        store.come_home()
        found = _Holdings.found(store, campaign)
        if not force:  # again: nights may have been added meanwhile
            _require_unneeded(store, campaign, found.runs)
        tally = found.tally(sizes(store), locks)
        remove(found.waiting)  # first: a later start would deliver these to a new campaign
        found.outbox.remove_empty_folders()
        if store.is_database:
            give_up(store, [run for run in found.runs if CAMPAIGN in run.texts])
        remove(found.checkpoints)
        left = purge(store, found.runs, own.require if own else lambda: None)
    purge_leases(store, campaign)
    shrunk = shrink(store)
    remove(lock_files(store.uri, campaign))
    return Removal(
        dry_run=False,
        parts=tally.parts,
        trash_only=not store.is_database,
        artifacts_left=tuple(left),
        shrunk=shrunk,
    )


def purge_leases(store: Store, campaign: str) -> None:
    """Remove the ended leases of a campaign, including ours."""
    if store.is_database:
        runs = inventory(store, campaign)
        purge(store, [run for run in runs if run.kind == LEASE and run.is_deleted])


def _is_live_lease(run: InventoryRow) -> bool:
    return run.kind == LEASE and not run.is_deleted


def _require_unneeded(store: Store, campaign: str, runs: Sequence[InventoryRow]) -> None:
    """Raise InputError for a night that provides the rates or the baseline of a later one."""
    active = [run for run in runs if not run.is_deleted and NIGHT in run.texts]
    for suite in sorted({run.texts[SUITE] for run in active if SUITE in run.texts}):
        what = needed(nights(store, suite)).get(campaign)
        if what is not None:
            raise InputError(
                f"campaign {campaign!r} is {what} in suite {suite}, and the next night needs it; "
                "--force, or force=True in Python, deletes it anyway"
            )
