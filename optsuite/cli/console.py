"""Where commands print: without control characters, and without failing if nobody reads."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from optsuite.redact import printable

# The reader is gone, or the disk is full.
GONE = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT)


class Output:
    """Standard output that turns into /dev/null when a write fails, so that training continues."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        try:
            self._file.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if error.errno not in GONE:
            raise error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
        if error.errno != errno.EPIPE:  # a closed pipe, say to head, is no problem to report
            message = f"standard output cannot be written to ({error.strerror})"
            print(f"optsuite: {message}; continuing without it", file=sys.stderr)


def guard_output() -> None:
    """Keep failed writes to standard output from ending this process."""
    if sys.stdout is not None and not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout)


class _Console(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Make control characters in names and stored texts visible instead of obeying them."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else segment._replace(text=text)

    def on_broken_pipe(self) -> None:
        """Keep training when the reader of a pipe, say head, exits."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Standard output, wide enough for whole lines if it is no terminal."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    width = None if is_terminal else 200
    # No markup and no emoji: names may hold brackets and colons.
    return _Console(width=width, markup=False, emoji=False, highlight=False)
