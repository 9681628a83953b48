"""Writing to the store in one thread, in order, so that workers do not wait for it."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class Writer:
    """Calls functions in order in its own thread; `check` and the end raise what they raised."""

    def __init__(self, flush: Callable[[], None]) -> None:
        """`flush` is called whenever all other calls have been made."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._calls: deque[Future[Any]] = deque()
        self._flush = flush
        self._n_put = self._n_made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.check()

    def put(self, function: Callable[..., object], *arguments: object) -> None:
        """Queue a call. Raises nothing, so that related calls are queued together."""
        self._n_put += 1
        self._calls.append(self._thread.submit(self._make, function, *arguments))

    @property
    def is_busy(self) -> bool:
        """Whether any calls are still to be made."""
        return any(not call.done() for call in self._calls)

    def check(self) -> None:
        """Raise the exception of a finished call, if there is one."""
        while self._calls and self._calls[0].done():
            self._calls.popleft().result()

    def _make(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            function(*arguments)
        finally:
            self._n_made += 1
            if self._n_made == self._n_put:
                self._flush()
