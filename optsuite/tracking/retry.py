"""Repeats calls to a store that does not answer: a locked database, a server that is restarting."""

import logging
import re
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential,
)

from optsuite.errors import InputError, StoreUnavailableError, one_line
from optsuite.redact import redact
from optsuite.tracking.database import DAMAGED

P = ParamSpec("P")
T = TypeVar("T")
TIMEOUT_SECONDS = 180.0  # restarting a server, or backing it up, takes a minute or two
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 15.0  # doubled each time, to spare the server
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
UNREADABLE = (InputError, StoreUnavailableError, *STORE_ERRORS)  # a store cannot be read
PERMANENT = (
    "disk is full",
    "readonly database",
    "No space left",
    "Read-only file system",
    *DAMAGED,
)
UNAUTHENTICATED = "UNAUTHENTICATED"
AUTH_ERRORS = ("PERMISSION_DENIED", UNAUTHENTICATED)
CLIENT_ERRORS = (
    "RESOURCE_DOES_NOT_EXIST",
    "ENDPOINT_NOT_FOUND",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "BAD_REQUEST",
)
LOGGER = logging.getLogger("optsuite")


class RetryPolicy:
    """Repeats calls to one store until they succeed.

    After TIMEOUT_SECONDS, or a permanent error, the store is lost: no call reaches it again.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._timeout = TIMEOUT_SECONDS
        self._stopped = threading.Event()
        self._lost = ""
        self.has_waited = False
        self._retrying = Retrying(
            retry=retry_if_exception(is_transient),
            wait=wait_exponential(min=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
            stop=stop_after_delay(self._timeout) | stop_when_event_set(self._stopped),
            sleep=sleep_using_event(self._stopped),
            before_sleep=self._warn,
            reraise=True,
        )

    def stop_waiting(self) -> None:
        """Give up at the next failure instead of waiting."""
        self._stopped.set()

    def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return the result of the function.

        Raises StoreUnavailableError, or the store's own error for an invalid request.
        """
        if self._lost:
            raise StoreUnavailableError(self._lost)
        try:
            return self._retrying(function, *arguments, **named)
        except STORE_ERRORS as error:
            if _code(error) in CLIENT_ERRORS:
                raise
            self._lost = f"store: {redact(self._uri)} cannot be written to: {cause_of(error)}"
            raise StoreUnavailableError(self._lost) from error

    def _warn(self, state: RetryCallState) -> None:
        """Log the first failure of this store that is retried."""
        if not self.has_waited and state.outcome is not None:
            error = state.outcome.exception()
            assert error is not None
            text = "The store does not answer (%s); trying again for %.0f minutes."
            LOGGER.warning(text, cause_of(error), self._timeout / 60)
        self.has_waited = True


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    if not isinstance(error, STORE_ERRORS) or _code(error) in (*CLIENT_ERRORS, *AUTH_ERRORS):
        return False
    cause = cause_of(error)
    return not any(text in cause for text in PERMANENT)


def cause_of(error: BaseException) -> str:
    """The end of a store's error message, without the query and the password sent to it."""
    text = re.split(r" \[SQL| \(Background on", one_line(error))[0]
    text = text.removeprefix("MlflowException: ")
    text = text.rpartition("(Caused by ")[2]  # the rest repeats the address
    return redact(text)[-300:]


def _code(error: BaseException) -> str:
    """MLflow's code for an error; empty for errors of other libraries."""
    return str(getattr(error, "error_code", ""))
