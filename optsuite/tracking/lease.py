"""One machine at a time works on a campaign: a claim in the store, which expires unless it is renewed.

Beside the lock of a file, for stores that several machines share. A claim is a run with tags; it is first wanted, then held.
Whoever reads another's held claim, or a wanted one that goes first, withdraws; whoever reads one that goes later waits until
it has been withdrawn, or is held. A claim is written before the others are read, so of two at least one sees the other.

Clocks of two machines differ. So a claim that looks old, or is from the future, is watched for a while by the own clock: it is
taken over if it is not renewed meanwhile. Its owner stops by its own clocks before that, whether or not it hears of it.
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
BEAT_SECONDS = 20.0
EXPIRY_SECONDS = 180.0  # without a beat; longer than RetryPolicy waits for a server
MARGIN_SECONDS = 30.0  # by which an owner stops before another may take over
WATCH_SECONDS = 30.0  # more than a beat: whoever lives renews a claim meanwhile
WAIT_SECONDS = 0.5
LOGGER = logging.getLogger("optsuite")


class Lease:
    """A held claim, renewed by a thread of its own until it is lost or given back."""

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
        """Whether another has taken the campaign over, or may have: the claim was not renewed in time. It stays lost."""
        silent = max(now - then for now, then in zip(_clocks(), self._renewed, strict=True))
        if not self._lost and silent > EXPIRY_SECONDS - MARGIN_SECONDS:
            self._lost = f"this machine was asleep or cut off from the store for {silent:.0f} seconds, and another may run it now"
        return bool(self._lost)

    def require(self) -> None:
        """Raise StoreUnavailableError where another has taken the campaign over, or may have."""
        if self.is_lost:
            raise StoreUnavailableError(
                f"campaign: {self._lost}; what had ended is kept, and this one has stopped"
            )

    def give_back(self) -> None:
        """Let others go on with the campaign."""
        self._over.set()
        self._thread.join(timeout=BEAT_SECONDS)
        with suppress(MlflowException, StoreUnavailableError, OSError):
            self._store.client.delete_run(self._run_id)

    def _renew(self) -> None:
        """Ask the server itself: the retries of the campaign are not for this thread."""
        client = self._store.client
        while not self._over.wait(BEAT_SECONDS) and not self.is_lost:
            try:
                before = _clocks()
                if client.get_run(self._run_id).info.lifecycle_stage != "active":
                    self._lost = self._lost or "another machine has taken it over"
                    return
                client.set_tag(self._run_id, CLAIM_BEAT, repr(time.time()))
                self._renewed = before
            except (
                Exception
            ) as error:  # a server that is away is waited for as long as the claim lasts
                LOGGER.debug("The claim could not be renewed: %s", one_line(error))


@contextmanager
def lease(store: Store, campaign: str) -> Iterator[Lease | None]:
    """Hold the campaign for this machine, or raise InputError that names who does. None where the lock of a file is enough."""
    if database_path(store.uri) is not None:
        yield None
        return
    own = Lease(store, _claim(store, campaign))
    try:
        yield own
    finally:
        own.give_back()


def claims(store: Store, campaign: str) -> list[MlflowRun]:
    """The claims of those who work on a campaign, or want to."""
    condition = f"tags.`{CLAIMS}` = {quoted(campaign)}"
    where = [store.experiment(REPORTS)]
    return list(store.retry.call(store.client.search_runs, where, condition, max_results=PAGE))


def require_unclaimed(store: Store, campaign: str) -> None:
    """Raise InputError where another machine seems to work on a campaign. Writes nothing."""
    if database_path(store.uri) is not None:
        return
    machine = _machine(store.uri)
    for claim in store.search(f"tags.`{CLAIMS}` = '{campaign}'"):
        is_ours = claim.data.tags.get(CLAIM_MACHINE) == machine
        if not is_ours and time.time() - _beat(claim) < EXPIRY_SECONDS:
            raise _taken(campaign, claim)


def _claim(store: Store, campaign: str) -> str:
    """Write a claim, and hold it once nobody else does. Returns its run."""
    machine = _machine(store.uri)
    tags = {CLAIMS: campaign, KIND: "claim", CLAIM_STATE: WANTED, CLAIM_MACHINE: machine}
    tags |= {
        CLAIM_OWNER: f"process {os.getpid()} on {platform.node()}",
        CLAIM_BEAT: repr(time.time()),
    }
    mine = store.create(REPORTS, f"claim on {campaign}", tags, time.time())
    watch = _Watch(machine)
    try:
        while True:
            others = [claim for claim in claims(store, campaign) if claim.info.run_id != mine]
            others = [
                claim for claim in others if not (watch.has_ended(claim) and _removed(store, claim))
            ]
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


class _Watch:
    """Which claims of others have ended, by beats that do not change while the clock of this machine goes on."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._watched: dict[
            str, tuple[float, float]
        ] = {}  # by run: the beat, and when it was first seen by our clock
        self._alive: set[str] = set()

    def has_ended(self, claim: MlflowRun) -> bool:
        """Whether nobody renews it, or it was this machine's, where the lock of the file is ours now."""
        run_id, beat = claim.info.run_id, _beat(claim)
        if claim.data.tags.get(CLAIM_MACHINE) == self._machine:
            return True
        seconds = _seconds_to_watch(time.time() - beat)
        if run_id in self._alive or (seconds == 0 and run_id not in self._watched):
            return False
        if run_id not in self._watched:
            self._watched[run_id] = (beat, time.monotonic())
            owner = claim.data.tags.get(CLAIM_OWNER, "another machine")
            LOGGER.warning(
                "The campaign is claimed by %s: waiting %.0f seconds for a sign of life.",
                owner,
                seconds,
            )
        old, since = self._watched[run_id]
        if beat != old:
            self._alive.add(run_id)
            return False
        return time.monotonic() - since >= seconds

    def is_watched(self, claim: MlflowRun) -> bool:
        """Whether it is not known yet that its owner lives."""
        return claim.info.run_id in self._watched and claim.info.run_id not in self._alive


def _seconds_to_watch(age: float) -> float:
    """How long a claim is watched that says it was renewed `age` seconds ago, by the clock of another machine."""
    if age >= EXPIRY_SECONDS:
        return WATCH_SECONDS
    return (
        0.0 if age > -BEAT_SECONDS else EXPIRY_SECONDS
    )  # one from the future may have ended just now, or long ago


def _removed(store: Store, claim: MlflowRun) -> bool:
    """Delete a claim that has ended. Always true."""
    LOGGER.info("The claim of %s has ended.", claim.data.tags.get(CLAIM_OWNER))
    with suppress(MlflowException):  # another may have been faster
        store.delete(claim.info.run_id)
    return True


def _clocks() -> tuple[float, float]:
    """The clock that is never set, but stops while a machine sleeps, and the one that goes on, but may be set."""
    return time.monotonic(), time.time()


def _taken(campaign: str, claim: MlflowRun) -> InputError:
    silent = max(0.0, time.time() - _beat(claim))
    by = f"{claim.data.tags.get(CLAIM_OWNER, 'another machine')}, last heard of {silent:.0f} seconds ago"
    allowed = f"another --campaign, or waiting for it to end; a machine that is gone is forgotten after {EXPIRY_SECONDS:.0f} seconds"
    return InputError(f"campaign: got {campaign!r}, which is being run by {by}; allowed: {allowed}")


def _state(claim: MlflowRun) -> str:
    return str(claim.data.tags.get(CLAIM_STATE, HELD))


def _beat(claim: MlflowRun) -> float:
    """When a claim was last renewed, by its owner's clock."""
    try:
        return float(claim.data.tags[CLAIM_BEAT])
    except (KeyError, ValueError):
        return float(claim.info.start_time) / 1e3


def _machine(uri: str) -> str:
    """A name for whatever shares the lock of a file with this process: a person's state folder on a machine."""
    path: Path = local_state_dir(uri) / "machine"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with suppress(FileExistsError):  # another process was faster
                write_atomically(path, uuid.uuid4().hex, replace=False)
        return f"{path.read_text().strip()} {platform.node()}"
    return f"{uuid.uuid4().hex} {platform.node()}"
