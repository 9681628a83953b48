"""Cleaning a store: removing what no report, night or later start needs."""

from collections.abc import Sequence
from pathlib import Path

from optsuite.campaign.housekeeping.deletion import purge_leases
from optsuite.campaign.housekeeping.leftovers import checkpoints, orphans, remove
from optsuite.campaign.housekeeping.obsolete import Obsolete, obsolete
from optsuite.campaign.housekeeping.removal import Removal, Tally
from optsuite.campaign.lock import (
    campaign_lock,
    check_campaign_name,
    lock_files,
    locked_campaigns,
    require_free,
)
from optsuite.errors import InputError
from optsuite.tracking.campaigns import require_campaign
from optsuite.tracking.cleaning import purge, shrink, sizes
from optsuite.tracking.inventory import InventoryRow, basis_of, inventory
from optsuite.tracking.lease import lease, require_not_leased
from optsuite.tracking.location import store_exists
from optsuite.tracking.outbox import Outbox, outbox_campaigns
from optsuite.tracking.store import Store, open_store


def clean_store(
    uri: str,
    campaign: str | None = None,
    *,
    dry_run: bool = False,
    rejected: bool = False,
) -> Removal:
    """Clean a campaign, or all of them if it is None. Raises InputError.

    A running campaign is left alone. `rejected` includes runs in the outbox that the store did not
    accept.
    """
    if campaign is not None:
        check_campaign_name(campaign)
        require_campaign(uri, campaign)
    if not store_exists(uri):
        return Removal(dry_run=dry_run)
    cleaning = _Cleaning(open_store(uri), dry_run=dry_run, rejected=rejected)
    return cleaning.run(campaign)


class _Cleaning:
    """One cleaning of a store, campaign by campaign."""

    def __init__(self, store: Store, *, dry_run: bool, rejected: bool) -> None:
        self._store = store
        self._uri = store.uri
        self._dry_run = dry_run
        self._takes_rejected = rejected
        self._tally = Tally(sizes(store))
        self._skipped: dict[str, str] = {}
        self._left: list[str] = []

    def run(self, campaign: str | None) -> Removal:
        runs = inventory(self._store)
        by_campaign: dict[str, list[InventoryRow]] = {}
        for run in runs:
            by_campaign.setdefault(run.campaign, []).append(run)
        names = {*by_campaign, *outbox_campaigns(self._uri), *locked_campaigns(self._uri)}
        if campaign is not None:
            names = {campaign}
        for name in sorted(names):
            try:
                check_campaign_name(name)
                self._clean(name, by_campaign.get(name, []))
            except InputError as error:  # it is running, or the name is not one of ours
                if campaign is not None:
                    raise
                self._skipped[name] = str(error)
        self._clean_checkpoints(runs, campaign)
        found_nothing = self._skipped and not self._tally.parts
        shrunk = None
        if not self._dry_run and not found_nothing:
            shrunk = shrink(self._store)
        return Removal(
            dry_run=self._dry_run,
            parts=self._tally.parts,
            skipped=self._skipped,
            trash_only=not self._store.is_database,
            artifacts_left=tuple(self._left),
            shrunk=shrunk,
        )

    def _clean(self, name: str, runs: Sequence[InventoryRow]) -> None:
        """Clean one campaign. Raises InputError if it is running."""
        found = self._obsolete(runs)
        outbox = Outbox(self._uri, name)
        locks = lock_files(self._uri, name)
        set_aside = outbox.set_aside if self._takes_rejected else []
        if self._dry_run or not (found.runs or locks or outbox.litter or set_aside):
            require_free(self._uri, name)
            require_not_leased(self._store, name)
            self._count(found, outbox, locks)
            return
        with campaign_lock(self._uri, name):
            if found.runs:
                self._purge(name, outbox, locks)
            else:
                self._count(found, outbox, locks)
            remove([*outbox.litter, *set_aside])
            outbox.remove_empty_folders()
            remove(lock_files(self._uri, name))

    def _purge(self, name: str, outbox: Outbox, locks: Sequence[Path]) -> None:
        """Remove the obsolete runs of a locked campaign, read anew."""
        with lease(self._store, name) as own:
            self._store.come_home()
            found = self._obsolete(inventory(self._store, name))
            self._count(found, outbox, locks)
            check = own.require if own else lambda: None
            self._left += purge(self._store, found.runs, check)
        purge_leases(self._store, name)

    def _obsolete(self, runs: Sequence[InventoryRow]) -> Obsolete:
        return obsolete(runs, frozenset(checkpoints(self._uri).values()))

    def _count(self, found: Obsolete, outbox: Outbox, locks: Sequence[Path]) -> None:
        tally = self._tally
        tally.runs("superseded", found.superseded)
        tally.runs("refuted", found.refuted)
        tally.runs("unfinished", found.unfinished)
        tally.runs("trash", found.trash)
        tally.files("litter", outbox.litter)
        tally.files("set_aside", outbox.set_aside, kept=not self._takes_rejected)
        tally.files("locks", locks)
        tally.runs("unreplaced", found.unreplaced, kept=True)
        tally.runs("remembered", found.remembered, kept=True)
        tally.files("waiting", outbox.waiting, kept=True)

    def _clean_checkpoints(self, runs: Sequence[InventoryRow], campaign: str | None) -> None:
        """Remove orphaned checkpoints, which campaigns share, unless a campaign is running."""
        try:
            for name in locked_campaigns(self._uri):
                require_free(self._uri, name)
        except InputError:
            return
        found = orphans(self._uri, runs)
        if campaign is not None:
            bases = {run.basis for run in runs if run.campaign == campaign}
            known = checkpoints(self._uri)
            found = [path for path in found if basis_of(known[path]) in bases]
        self._tally.files("checkpoints", found)
        if not self._dry_run:
            remove(found)
