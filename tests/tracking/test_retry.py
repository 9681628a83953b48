"""Calls to a store that fails: which are retried, for how long, and what is reported."""

import threading
import time
from collections.abc import Callable

import pytest
from mlflow.exceptions import MlflowException

from optsuite.errors import StoreUnavailableError
from optsuite.tracking import retry
from optsuite.tracking.retry import RetryPolicy

ADDRESS = "http://user:secret@host:5000"
AWAY = OSError("connection refused")


class Calls:
    """A function that raises each of the errors in turn, and then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.n = 0

    def __call__(self) -> int:
        self.n += 1
        if self._errors:
            raise self._errors.pop(0)
        return 7


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Callable[[], RetryPolicy]:
    """Make a policy that does not wait long between its attempts."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_WAIT_SECONDS", 0.01)
    return lambda: RetryPolicy(ADDRESS)


def test_transient_error_is_retried_with_one_warning(
    policy: Callable[[], RetryPolicy], caplog: pytest.LogCaptureFixture
) -> None:
    own, calls = policy(), Calls(AWAY, AWAY, MlflowException("gone for a while"))
    assert own.call(calls) == 7
    assert calls.n == 4
    assert own.has_waited
    reason = "The store does not answer (OSError: connection refused)"
    assert caplog.messages == [f"{reason}; trying again for 3 minutes."]


@pytest.mark.parametrize(
    "text", ["database or disk is full", "no such table: runs", "Read-only file system"]
)
def test_permanent_error_loses_the_store_at_once(
    policy: Callable[[], RetryPolicy], text: str
) -> None:
    own, calls = policy(), Calls(OSError(text))
    said = rf"^store: http://host:5000 cannot be written to: OSError: {text}$"
    with pytest.raises(StoreUnavailableError, match=said):
        own.call(calls)
    assert calls.n == 1
    assert not own.has_waited


def test_lost_store_is_not_called_again(policy: Callable[[], RetryPolicy]) -> None:
    own, calls = policy(), Calls()
    with pytest.raises(StoreUnavailableError):
        own.call(Calls(OSError("disk is full")))
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        own.call(calls)
    assert calls.n == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [("PERMISSION_DENIED", StoreUnavailableError), ("BAD_REQUEST", MlflowException)],
)
def test_refused_request_is_not_retried(
    policy: Callable[[], RetryPolicy], code: str, expected: type[Exception]
) -> None:
    error = MlflowException("no")
    error.error_code = code
    calls = Calls(error)
    with pytest.raises(expected):
        policy().call(calls)
    assert calls.n == 1


def test_error_of_another_library_passes_through(policy: Callable[[], RetryPolicy]) -> None:
    calls = Calls(KeyError("no error of a store"))
    with pytest.raises(KeyError):
        policy().call(calls)
    assert calls.n == 1


def test_store_that_stays_away_is_lost_after_the_timeout(
    policy: Callable[[], RetryPolicy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "TIMEOUT_SECONDS", 0.05)
    calls = Calls(*[AWAY] * 1_000)
    with pytest.raises(StoreUnavailableError, match=r"connection refused$"):
        policy().call(calls)
    assert 2 <= calls.n < 1_000


def test_stop_waiting_ends_a_wait_under_way() -> None:
    own, started = RetryPolicy(ADDRESS), time.monotonic()
    threading.Timer(0.1, own.stop_waiting).start()
    with pytest.raises(StoreUnavailableError, match=r"connection refused$"):
        own.call(Calls(*[AWAY] * 1_000))
    assert time.monotonic() - started < 1.0  # the first wait is one second
    assert own.has_waited
