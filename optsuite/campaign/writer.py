"""Writing off the training path: one thread writes to the store, in order, while workers are handed their next task."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class Writer:
    """Calls functions one after another in a thread of its own. What one raises is raised by the next check, or at the end."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._calls: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            self.check()

    def put(self, function: Callable[..., object], *arguments: object) -> None:
        """Queue a call. What earlier ones raised is for `check`, so that whoever has several to queue queues all of them."""
        self._calls.append(self._thread.submit(function, *arguments))

    @property
    def is_busy(self) -> bool:
        """Whether calls are left to be made."""
        return any(not call.done() for call in self._calls)

    def check(self) -> None:
        """Raise what a call that is over has raised."""
        while self._calls and self._calls[0].done():
            self._calls.popleft().result()
