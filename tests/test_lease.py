"""Two machines want one campaign: one of them has it. A claim is a run of the store; nothing here needs a server."""

import contextlib
import threading
import time
from pathlib import Path

import pytest

from optsuite.errors import BadInput, StoreLost
from optsuite.tracking import lease
from optsuite.tracking.location import tracking_uri
from optsuite.tracking.store import Store, open_store


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_machine", lambda uri: threading.current_thread().name)
    store = open_store(tracking_uri())
    store.experiment("reports")
    return store


def on(machine: str, store: Store) -> str:
    """What became of a claim from a machine: its run, or why it was refused."""
    found: list[str] = []

    def claim() -> None:
        try:
            found.append(lease._claim(store, "c"))
        except BadInput as error:
            found.append(str(error))

    thread = threading.Thread(target=claim, name=machine)
    thread.start()
    thread.join()
    return found[0]


def test_one_machine_has_a_campaign_until_it_gives_it_back(store: Store) -> None:
    first = on("one", store)
    assert "campaign: got 'c', which is being run by process" in on("two", store)
    assert [claim.info.run_id for claim in lease.claims(store, "c")] == [first]
    store.delete(first)
    assert on("two", store) in [claim.info.run_id for claim in lease.claims(store, "c")]


def test_a_claim_of_this_machine_whose_process_is_gone_is_taken_over(store: Store) -> None:
    """The lock of the file says that it is gone."""
    first = on("one", store)
    assert on("one", store) not in ("", first)
    assert len(lease.claims(store, "c")) == 1


def test_a_claim_that_nobody_renews_expires_and_its_owner_notices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    first = on("one", store)
    own = lease.Lease(store, first)
    time.sleep(0.3)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 30.0)
    assert "last heard of 0 seconds ago" in on("two", store)
    own.require()
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", -1.0)
    assert on("two", store) != first
    deadline = time.monotonic() + 20
    while not own.is_lost and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(StoreLost, match="another machine has taken it over"):
        own.require()


def test_of_machines_that_claim_at_once_one_wins(store: Store) -> None:
    for _ in range(3):
        names = [f"m{i}" for i in range(3)]
        gate, won = threading.Barrier(len(names)), list[str]()

        def claim(gate: threading.Barrier = gate, won: list[str] = won) -> None:
            gate.wait()
            with contextlib.suppress(BadInput):
                won.append(lease._claim(store, "c"))

        threads = [threading.Thread(target=claim, name=name) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        store.delete(won[0])
