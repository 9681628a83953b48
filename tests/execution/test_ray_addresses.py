"""Addresses without a Ray cluster and devices that it lacks get one line."""

import socket
import time
from pathlib import Path

import pytest
from conftest import TINY
from support.clusters import open_ray
from support.commands import Call

from optsuite.errors import InputError

ray = pytest.importorskip("ray", reason="needs the extra optsuite[ray]")
pytestmark = [  # Ray's own: handles that it leaves to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "nowhere.invalid:6379", "nonsense", "ray://127.0.0.1:10001", "mute"]
)
def test_address_without_a_cluster_gets_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("optsuite.execution.ray.connection.REACH_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if address == "mute":
            address = f"127.0.0.1:{server.getsockname()[1]}"
        message = rf"--ray: the cluster '{address}' cannot be reached \(.*\); give auto, or HOST"
        started = time.monotonic()
        with pytest.raises(InputError, match=message):
            open_ray(address)
    assert time.monotonic() - started < 10


def test_missing_device_gets_one_line(call: Call, empty: Path) -> None:
    code, _, err = call("run", "--suite", str(TINY), "--ray", "auto", "--device", "cuda:7")
    assert (code, err.count("\n")) == (2, 1)
    assert "device: got 'cuda:7', allowed on this machine: cpu" in err
