"""Waiting for a store that does not answer: a database that somebody has locked, a server that is started again."""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from optsuite.errors import StoreLost, one_line
from optsuite.redact import redact
from optsuite.tracking.database import DAMAGED

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE_SECONDS = 180.0  # a server is back, and a backup done, in a minute or two
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0  # each twice the one before: a server that comes back is not rushed
HOPELESS = ("disk is full", "readonly database", "No space left", "Read-only file system", *DAMAGED)
UNAUTHENTICATED = "UNAUTHENTICATED"
REFUSED = ("PERMISSION_DENIED", UNAUTHENTICATED)
SENSELESS = (
    "RESOURCE_DOES_NOT_EXIST",
    "ENDPOINT_NOT_FOUND",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "BAD_REQUEST",
)
LOGGER = logging.getLogger("optsuite")


class Patience:
    """Repeats calls to one store until they succeed or it has not answered for PATIENCE_SECONDS; then it is lost for good."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._seconds = PATIENCE_SECONDS
        self._hurried = threading.Event()
        self._lost = ""
        self.has_waited = False

    def hurry(self) -> None:
        """Wait no longer from now on."""
        self._hurried.set()

    def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the function returns. Raises StoreLost, and whatever the store says of a call that makes no sense."""
        if self._lost:
            raise StoreLost(self._lost)
        since, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            try:
                return function(*arguments, **named)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                code = getattr(error, "error_code", "")
                if code in SENSELESS:
                    raise
                self._judge(since, error, hopeless=code in REFUSED)
                self._hurried.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _judge(self, since: float, error: Exception, *, hopeless: bool) -> None:
        cause = cause_of(error)
        hopeless |= any(text in cause for text in HOPELESS)
        if hopeless or self._hurried.is_set() or time.monotonic() - since >= self._seconds:
            self._lost = f"store: {redact(self._uri)} cannot be written to: {cause}"
            raise StoreLost(self._lost) from error
        if not self.has_waited:
            LOGGER.warning("The store does not answer (%s); trying again for %.0f minutes.", cause, self._seconds / 60)
        self.has_waited = True


def cause_of(error: Exception) -> str:
    """The end of what a store says is wrong, without the query that it was asked and the password it was asked with."""
    text = re.split(r" \[SQL| \(Background on", one_line(error))[0].removeprefix("MlflowException: ")
    text = text.rpartition("(Caused by ")[2]  # the rest is the address, over and over
    return redact(text)[-300:]
