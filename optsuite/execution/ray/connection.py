"""Connects this process to a Ray cluster: quietly, and without waiting if there is none."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

import ray
from ray._private.authentication import authentication_token_setup as setup
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from optsuite.errors import InputError, one_line
from optsuite.execution.pool import OUT_OF_MEMORY

REACH_SECONDS = 5.0
QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
# The frame with which both sides of HTTP/2, and so of gRPC, begin (RFC 9113, section 3.4).
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS


def connect(address: str, n_cpus: int) -> bool:
    """Connect this process to a cluster; False if it already is connected. Raises InputError."""
    if ray.is_initialized():
        return False
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else Ray warns that this will become its default.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # No option silences its messages about processes that die.
    ray._private.worker._worker_logs_enabled = False
    try:
        where = _running() if address == "auto" else address
        if where is None:
            ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, **QUIET)
        else:
            probe(where)
            _use_token()
            ray.init(address=where, **QUIET)
    except Exception as error:
        raise InputError(
            f"--ray: the cluster {address!r} cannot be reached ({one_line(error)}); "
            "give auto, or HOST:PORT of the head of a cluster that this machine is a node of"
        ) from error
    return True


def _running() -> str | None:
    """The address of the cluster that runs here, None if there is none.

    It is probed: `ray.init` would wait for the address that a killed cluster left in a file.
    """
    given = os.environ.get("RAY_ADDRESS", "auto")
    if given != "auto":
        return given
    found: str | None = ray._private.utils.read_ray_address()
    try:
        probe(found or "")
    except (OSError, ValueError):
        return None
    return found


def _use_token() -> None:
    """Authenticate with the user's token, if there is one. Only `ray start` does so by itself."""
    setup.logger.setLevel(logging.ERROR)
    setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def probe(address: str) -> None:
    """Raise ValueError or OSError unless a server that speaks HTTP/2, like Ray's, is at HOST:PORT.

    A TCP connection alone is not enough: at a web server, or a process that hangs, `ray.init` of
    Ray 2.60 had not given up after 200 seconds, and prints warnings that no option silences.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        raise ValueError("no HOST:PORT")
    place = (host.strip("[]"), int(port))
    with socket.create_connection(place, timeout=REACH_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            connection.sendall(HTTP2_PREFACE)
            if connection.makefile("rb").read(4)[3:] != SETTINGS[3:4]:
                raise ValueError("the server there is not Ray")


def cause_of(error: RayError) -> str:
    """Why Ray gave a task up."""
    match error:
        case RayTaskError(cause=BaseException() as cause):
            return one_line(cause)
        case OutOfMemoryError():
            return OUT_OF_MEMORY
        case WorkerCrashedError():
            return "its worker died"
        case NodeDiedError():
            return "its node died"
        case _:
            return one_line(error)
