"""A lease lets one machine at a time run a campaign of a store that several machines share.

It complements the lock of a file. A lease is a run with tags in the store; it is first requested,
then held, and it expires unless its owner renews it. A process that finds the lease of another that
is held, or was requested before its own, withdraws; if it finds one that was requested later, it
waits until that one is withdrawn or held. Each process writes its request before it reads those of
others, so of two at least one sees the other.

Clocks of two machines differ, so `lease_expiry` decides which leases have expired. An owner stops
by its own clocks before another takes its lease over, even if it does not hear of that.
"""

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from optsuite.errors import InputError, StoreUnavailableError, one_line
from optsuite.files import write_atomically
from optsuite.tracking.lease_expiry import BEAT_SECONDS, EXPIRY_SECONDS, LeaseExpiry, beat_of
from optsuite.tracking.location import database_path, local_state_dir
from optsuite.tracking.schema import (
    KIND,
    LEASE,
    LEASE_BEAT,
    LEASE_MACHINE,
    LEASE_OWNER,
    LEASE_STATE,
    LEASED,
    REPORTS,
    quoted,
)
from optsuite.tracking.store import PAGE, Store

REQUESTED, HELD = "wanted", "held"  # as stored
MARGIN_SECONDS = 30.0  # an owner stops so long before another may take over
WAIT_SECONDS = 0.5
LOGGER = logging.getLogger("optsuite")


class Lease:
    """A held lease, renewed by its own thread until it is lost or given back."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._over = threading.Event()
        self._renewed = _clocks()
        self._lost = ""
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether another machine has taken the campaign over, or may have. It stays lost."""
        silent = max(now - then for now, then in zip(_clocks(), self._renewed, strict=True))
        if not self._lost and silent > EXPIRY_SECONDS - MARGIN_SECONDS:
            self._lost = (
                "this machine was asleep or cut off from the store for "
                f"{silent:.0f} seconds, and another may run it now"
            )
        return bool(self._lost)

    def require(self) -> None:
        """Raise StoreUnavailableError if the lease is lost."""
        if self.is_lost:
            raise StoreUnavailableError(
                f"campaign: {self._lost}; completed runs are kept, and this process stops"
            )

    def give_back(self) -> None:
        """Let others resume the campaign."""
        self._over.set()
        self._thread.join(timeout=BEAT_SECONDS)
        with suppress(MlflowException, StoreUnavailableError, OSError):
            self._store.client.delete_run(self._run_id)

    def _renew(self) -> None:
        """Renew the lease until it is over.

        Calls the client itself: this thread must not wait for the retries of the campaign.
        """
        client = self._store.client
        while not self._over.wait(BEAT_SECONDS) and not self.is_lost:
            try:
                before = _clocks()
                if client.get_run(self._run_id).info.lifecycle_stage != "active":
                    self._lost = self._lost or "another machine has taken it over"
                    return
                client.set_tag(self._run_id, LEASE_BEAT, repr(time.time()))
                self._renewed = before
            except Exception as error:  # a server may be away for as long as the lease lasts
                LOGGER.debug("The lease could not be renewed: %s", one_line(error))


@contextmanager
def lease(store: Store, campaign: str) -> Iterator[Lease | None]:
    """Hold the campaign for this machine. None if the lock of a file suffices.

    Raises InputError with the holder's name if another machine holds it.
    """
    if database_path(store.uri) is not None:
        yield None
        return
    own = Lease(store, _acquire(store, campaign))
    try:
        yield own
    finally:
        own.give_back()


def leases(store: Store, campaign: str) -> list[MlflowRun]:
    """The requested and held leases of a campaign."""
    condition = f"tags.`{LEASED}` = {quoted(campaign)}"
    where = [store.experiment(REPORTS)]
    return list(store.retry.call(store.client.search_runs, where, condition, max_results=PAGE))


def require_not_leased(store: Store, campaign: str) -> None:
    """Raise InputError if another machine seems to work on a campaign. Writes nothing."""
    if database_path(store.uri) is not None:
        return
    machine = _machine(store.uri)
    for found in store.search(f"tags.`{LEASED}` = '{campaign}'"):
        is_ours = found.data.tags.get(LEASE_MACHINE) == machine
        if not is_ours and time.time() - beat_of(found) < EXPIRY_SECONDS:
            raise _taken(campaign, found)


def _acquire(store: Store, campaign: str) -> str:
    """Request a lease, and hold it once nobody else does. Returns its run."""
    machine = _machine(store.uri)
    tags = {
        LEASED: campaign,
        KIND: LEASE,
        LEASE_STATE: REQUESTED,
        LEASE_MACHINE: machine,
        LEASE_OWNER: f"process {os.getpid()} on {platform.node()}",
        LEASE_BEAT: repr(time.time()),
    }
    mine = store.create(REPORTS, f"lease of {campaign}", tags, time.time())
    expiry = LeaseExpiry(machine)
    try:
        while True:
            others = _others(store, campaign, mine, expiry)
            live = [other for other in others if not expiry.is_watched(other)]
            first = [other for other in live if _state(other) == HELD or other.info.run_id < mine]
            if first:
                raise _taken(campaign, first[0])
            store.tag(mine, LEASE_BEAT, repr(time.time()))
            if not others:
                store.tag(mine, LEASE_STATE, HELD)
                return mine
            time.sleep(WAIT_SECONDS)
    except BaseException:
        with suppress(MlflowException, StoreUnavailableError):
            store.delete(mine)
        raise


def _others(store: Store, campaign: str, mine: str, expiry: LeaseExpiry) -> list[MlflowRun]:
    """The leases of others; those that have expired are deleted instead."""
    others: list[MlflowRun] = []
    for other in leases(store, campaign):
        if other.info.run_id == mine:
            continue
        if expiry.has_expired(other):
            LOGGER.info("The lease of %s has expired.", other.data.tags.get(LEASE_OWNER))
            with suppress(MlflowException):  # another machine may have been faster
                store.delete(other.info.run_id)
        else:
            others.append(other)
    return others


def _clocks() -> tuple[float, float]:
    """Two clocks in seconds: one stops in sleep but is never set, one never stops but may be."""
    return time.monotonic(), time.time()


def _taken(campaign: str, other: MlflowRun) -> InputError:
    owner = other.data.tags.get(LEASE_OWNER, "another machine")
    silent = max(0.0, time.time() - beat_of(other))
    return InputError(
        f"campaign {campaign!r} is being run by {owner}, "
        f"last heard of {silent:.0f} seconds ago; use another --campaign, or wait for it to end "
        f"(a lease expires {EXPIRY_SECONDS:.0f} seconds after its last renewal)"
    )


def _state(found: MlflowRun) -> str:
    return str(found.data.tags.get(LEASE_STATE, HELD))


def _machine(uri: str) -> str:
    """A name for all processes that share the lock of a file: those of a user on a machine."""
    path: Path = local_state_dir(uri) / "machine"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with suppress(FileExistsError):  # another process was faster
                write_atomically(path, uuid.uuid4().hex, replace=False)
        return f"{path.read_text().strip()} {platform.node()}"
    return f"{uuid.uuid4().hex} {platform.node()}"
