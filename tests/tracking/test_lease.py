"""Two machines request one campaign, and one of them gets it.

A lease is a run of the store, so no test here needs a server.
"""

import contextlib
import threading
import time
from pathlib import Path

import pytest

from optsuite.errors import InputError, StoreUnavailableError
from optsuite.tracking import lease, lease_expiry
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.schema import LEASE_BEAT
from optsuite.tracking.store import Store, open_store


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_machine", lambda uri: threading.current_thread().name)
    store = open_store(tracking_uri())
    store.experiment("reports")
    return store


def on(machine: str, store: Store) -> str:
    """The result of a request from a machine: its run, or why it was refused."""
    found: list[str] = []

    def acquire() -> None:
        try:
            found.append(lease._acquire(store, "c"))
        except InputError as error:
            found.append(str(error))

    thread = threading.Thread(target=acquire, name=machine)
    thread.start()
    thread.join()
    return found[0]


def test_leased_campaign_is_refused_until_given_back(store: Store) -> None:
    first = on("one", store)
    assert "campaign 'c' is being run by process" in on("two", store)
    assert [one.info.run_id for one in lease.leases(store, "c")] == [first]
    store.delete(first)
    assert on("two", store) in [one.info.run_id for one in lease.leases(store, "c")]


def test_lease_of_a_gone_process_of_this_machine_is_taken_over(store: Store) -> None:
    """The process is gone because its lock of the file is free."""
    first = on("one", store)
    assert on("one", store) not in ("", first)
    assert len(lease.leases(store, "c")) == 1


def test_lease_without_renewal_expires_and_its_owner_notices(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease_expiry, "WATCH_SECONDS", 0.1)
    first = on("one", store)
    own = lease.Lease(store, first)
    time.sleep(0.3)
    assert "last heard of 0 seconds ago" in on("two", store)
    own.require()
    store.delete(first)
    assert wait_for_loss(own)
    with pytest.raises(StoreUnavailableError, match="another machine has taken it over"):
        own.require()
    second = on("two", store)
    store.tag(second, LEASE_BEAT, repr(time.time() - 200))
    assert on("three", store) in [one.info.run_id for one in lease.leases(store, "c")]


def wait_for_loss(own: lease.Lease) -> bool:
    deadline = time.monotonic() + 20
    while not own.is_lost and time.monotonic() < deadline:
        time.sleep(0.05)
    return own.is_lost


@pytest.mark.parametrize("skew", [-200.0, 3_600.0])
def test_live_lease_with_different_clocks_is_not_taken_over(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, skew: float
) -> None:
    """The clock of the requesting machine is wrong by `skew` seconds."""
    monkeypatch.setattr(lease_expiry, "WATCH_SECONDS", 20.0)
    first = on("one", store)
    store.tag(first, LEASE_BEAT, repr(time.time() + skew))
    renewal = threading.Timer(0.3, lambda: store.tag(first, LEASE_BEAT, repr(time.time() + skew)))
    renewal.start()
    assert "campaign 'c' is being run by process" in on("two", store)
    renewal.join()
    assert [one.info.run_id for one in lease.leases(store, "c")] == [first]
    assert any("checking for" in message for message in caplog.messages)


def test_lease_from_the_future_without_renewal_ends_by_our_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = on("one", store)
    store.tag(first, LEASE_BEAT, repr(time.time() + 86_400))
    monkeypatch.setattr(lease_expiry, "EXPIRY_SECONDS", 0.3)
    assert on("two", store) not in ("", first)
    assert len(lease.leases(store, "c")) == 1


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_machine_after_sleep_or_cut_off_stops_by_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """The monotonic clock stops while a machine sleeps; the wall clock does not."""
    own = lease.Lease(store, on("one", store))
    later = {"monotonic": time.monotonic(), "time": time.time()}
    later[clock] += 170
    monkeypatch.setattr(lease, "_clocks", lambda: (later["monotonic"], later["time"]))
    said = "asleep or cut off from the store for 170 seconds"
    with pytest.raises(StoreUnavailableError, match=said):
        own.require()
    monkeypatch.undo()
    assert own.is_lost
    own.give_back()
    assert lease.leases(store, "c") == []


def test_simultaneous_requests_have_one_winner(store: Store) -> None:
    for _ in range(3):
        names = [f"m{i}" for i in range(3)]
        gate = threading.Barrier(len(names))
        won: list[str] = []

        def acquire(gate: threading.Barrier = gate, won: list[str] = won) -> None:
            gate.wait()
            with contextlib.suppress(InputError):
                won.append(lease._acquire(store, "c"))

        threads = [threading.Thread(target=acquire, name=name) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        store.delete(won[0])
