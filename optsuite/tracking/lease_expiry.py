"""Which leases have expired, although the clocks of machines differ.

A lease that looks old, or is from the future, is watched for a while by this machine's clock. It
has expired if its owner does not renew it meanwhile.
"""

import logging
import time

from mlflow.entities import Run as MlflowRun

from optsuite.tracking.schema import LEASE_BEAT, LEASE_MACHINE, LEASE_OWNER

BEAT_SECONDS = 20.0  # between two renewals
EXPIRY_SECONDS = 180.0  # without a renewal; longer than RetryPolicy waits for a server
WATCH_SECONDS = 30.0  # longer than BEAT_SECONDS: a living owner renews its lease meanwhile
LOGGER = logging.getLogger("optsuite")


class LeaseExpiry:
    """Remembers the leases of others, and when this machine first saw them, by its own clock."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        # By run: its beat, and when it was first seen by our clock.
        self._watched: dict[str, tuple[float, float]] = {}
        self._alive: set[str] = set()

    def has_expired(self, lease: MlflowRun) -> bool:
        """Whether nobody renews a lease.

        A lease of this machine always has, because this process holds the lock of the file.
        """
        if lease.data.tags.get(LEASE_MACHINE) == self._machine:
            return True
        run_id, beat = lease.info.run_id, beat_of(lease)
        seconds = _seconds_to_watch(time.time() - beat)
        if run_id in self._alive or (seconds == 0 and run_id not in self._watched):
            return False
        if run_id not in self._watched:
            self._watched[run_id] = (beat, time.monotonic())
            owner = lease.data.tags.get(LEASE_OWNER, "another machine")
            text = "Another machine may be running this campaign (%s): checking for %.0f seconds."
            LOGGER.warning(text, owner, seconds)
        first_beat, since = self._watched[run_id]
        if beat != first_beat:
            self._alive.add(run_id)
            return False
        return time.monotonic() - since >= seconds

    def is_watched(self, lease: MlflowRun) -> bool:
        """Whether it is still unknown if the owner of a lease lives."""
        return lease.info.run_id in self._watched and lease.info.run_id not in self._alive


def beat_of(lease: MlflowRun) -> float:
    """When a lease was last renewed, in Unix seconds by its owner's clock."""
    try:
        return float(lease.data.tags[LEASE_BEAT])
    except (KeyError, ValueError):
        return float(lease.info.start_time) / 1e3


def _seconds_to_watch(age: float) -> float:
    """How long to watch a lease that was renewed `age` seconds ago by another machine's clock."""
    if age >= EXPIRY_SECONDS:
        return WATCH_SECONDS
    if age > -BEAT_SECONDS:
        return 0.0
    return EXPIRY_SECONDS  # a lease from the future may have expired just now, or long ago
