"""The tasks that wait for a worker."""

import heapq

from optsuite.execution.pool import Task


class Queue:
    """Hands out tasks by priority, then as they came; those that go alone are the last."""

    def __init__(self) -> None:
        self._entries: list[tuple[bool, int, int, Task]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Task:
        """The task that is next. Raises IndexError where there is none."""
        return self._entries[0][-1]

    def push(self, task: Task) -> None:
        """Let a task wait."""
        heapq.heappush(self._entries, (task.alone, task.priority, task.id, task))

    def pop(self) -> Task:
        """Take the task that is next. Raises IndexError where there is none."""
        return heapq.heappop(self._entries)[-1]

    def cancel(self, task: int) -> None:
        """Forget a task, if it is here."""
        self._entries = [entry for entry in self._entries if entry[-1].id != task]
        heapq.heapify(self._entries)
