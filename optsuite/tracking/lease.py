"""One machine at a time works on a campaign: a claim in the store, which expires unless renewed.

It complements the lock of a file, for stores that several machines share. A claim is a run with
tags; it is first wanted, then held. A process that reads a held claim of another, or a wanted one
that precedes its own, withdraws; if it reads a wanted one that follows its own, it waits until that
one is withdrawn or held. Claims are written before others are read, so of two processes at least
one sees the other.

Clocks of two machines differ, so `claim_watch` decides which claims have ended. An owner stops by
its own clocks before another takes its claim over, even if it does not hear of that.
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
from optsuite.tracking.claim_watch import BEAT_SECONDS, EXPIRY_SECONDS, ClaimWatch, beat_of
from optsuite.tracking.location import database_path, local_state_dir
from optsuite.tracking.schema import (
    CLAIM_BEAT,
    CLAIM_MACHINE,
    CLAIM_OWNER,
    CLAIM_STATE,
    CLAIMS,
    KIND,
    REPORTS,
    quoted,
)
from optsuite.tracking.store import PAGE, Store

WANTED, HELD = "wanted", "held"
MARGIN_SECONDS = 30.0  # an owner stops so long before another may take over
WAIT_SECONDS = 0.5
LOGGER = logging.getLogger("optsuite")


class Lease:
    """A held claim, renewed by its own thread until it is lost or given back."""

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
        """Renew the claim until it is over.

        Calls the client itself: this thread must not wait for the retries of the campaign.
        """
        client = self._store.client
        while not self._over.wait(BEAT_SECONDS) and not self.is_lost:
            try:
                before = _clocks()
                if client.get_run(self._run_id).info.lifecycle_stage != "active":
                    self._lost = self._lost or "another machine has taken it over"
                    return
                client.set_tag(self._run_id, CLAIM_BEAT, repr(time.time()))
                self._renewed = before
            except Exception as error:  # a server may be away for as long as the claim lasts
                LOGGER.debug("The claim could not be renewed: %s", one_line(error))


@contextmanager
def lease(store: Store, campaign: str) -> Iterator[Lease | None]:
    """Hold the campaign for this machine. None if the lock of a file suffices.

    Raises InputError with the holder's name if another machine holds it.
    """
    if database_path(store.uri) is not None:
        yield None
        return
    own = Lease(store, _claim(store, campaign))
    try:
        yield own
    finally:
        own.give_back()


def claims(store: Store, campaign: str) -> list[MlflowRun]:
    """The wanted and held claims on a campaign."""
    condition = f"tags.`{CLAIMS}` = {quoted(campaign)}"
    where = [store.experiment(REPORTS)]
    return list(store.retry.call(store.client.search_runs, where, condition, max_results=PAGE))


def require_unclaimed(store: Store, campaign: str) -> None:
    """Raise InputError if another machine seems to work on a campaign. Writes nothing."""
    if database_path(store.uri) is not None:
        return
    machine = _machine(store.uri)
    for claim in store.search(f"tags.`{CLAIMS}` = '{campaign}'"):
        is_ours = claim.data.tags.get(CLAIM_MACHINE) == machine
        if not is_ours and time.time() - beat_of(claim) < EXPIRY_SECONDS:
            raise _taken(campaign, claim)


def _claim(store: Store, campaign: str) -> str:
    """Write a claim, and hold it once nobody else does. Returns its run."""
    machine = _machine(store.uri)
    tags = {
        CLAIMS: campaign,
        KIND: "claim",
        CLAIM_STATE: WANTED,
        CLAIM_MACHINE: machine,
        CLAIM_OWNER: f"process {os.getpid()} on {platform.node()}",
        CLAIM_BEAT: repr(time.time()),
    }
    mine = store.create(REPORTS, f"claim on {campaign}", tags, time.time())
    watch = ClaimWatch(machine)
    try:
        while True:
            others = _others(store, campaign, mine, watch)
            live = [claim for claim in others if not watch.is_watched(claim)]
            first = [claim for claim in live if _state(claim) == HELD or claim.info.run_id < mine]
            if first:
                raise _taken(campaign, first[0])
            store.tag(mine, CLAIM_BEAT, repr(time.time()))
            if not others:
                store.tag(mine, CLAIM_STATE, HELD)
                return mine
            time.sleep(WAIT_SECONDS)
    except BaseException:
        with suppress(MlflowException, StoreUnavailableError):
            store.delete(mine)
        raise


def _others(store: Store, campaign: str, mine: str, watch: ClaimWatch) -> list[MlflowRun]:
    """The claims of others; those that have ended are deleted instead."""
    others: list[MlflowRun] = []
    for claim in claims(store, campaign):
        if claim.info.run_id == mine:
            continue
        if watch.has_ended(claim):
            LOGGER.info("The claim of %s has ended.", claim.data.tags.get(CLAIM_OWNER))
            with suppress(MlflowException):  # another machine may have been faster
                store.delete(claim.info.run_id)
        else:
            others.append(claim)
    return others


def _clocks() -> tuple[float, float]:
    """Two clocks in seconds: one stops in sleep but is never set, one never stops but may be."""
    return time.monotonic(), time.time()


def _taken(campaign: str, claim: MlflowRun) -> InputError:
    owner = claim.data.tags.get(CLAIM_OWNER, "another machine")
    silent = max(0.0, time.time() - beat_of(claim))
    return InputError(
        f"campaign: got {campaign!r}, which is being run by {owner}, "
        f"last heard of {silent:.0f} seconds ago; use another --campaign, or wait for it to end "
        f"(a claim expires after {EXPIRY_SECONDS:.0f} seconds of silence)"
    )


def _state(claim: MlflowRun) -> str:
    return str(claim.data.tags.get(CLAIM_STATE, HELD))


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
