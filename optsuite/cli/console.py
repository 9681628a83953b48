"""Where the commands print: nothing that a terminal would obey, and no end to the training when nobody reads."""

import errno
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from optsuite.redact import printable

GONE = (
    errno.EPIPE,
    errno.ENOSPC,
    errno.EIO,
    errno.EBADF,
    errno.EDQUOT,
)  # whoever reads has, or has no room


class Output:
    """Standard output, in whose place stands /dev/null from the first write that fails: what is trained matters more."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write the text, or lose it."""
        try:
            self._file.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what is left."""
        try:
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if error.errno not in GONE:
            raise error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
        if error.errno != errno.EPIPE:  # who pipes us into head wants a look, and no word about it
            print(
                f"optsuite: standard output cannot be written to ({error.strerror}); going on without it",
                file=sys.stderr,
            )


def guard_output() -> None:
    """Let nothing that is printed end this process."""
    if sys.stdout is not None and not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout)


class _Console(Console):
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Show what the text of people and stores is, and obey none of it."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else segment._replace(text=text)

    def on_broken_pipe(self) -> None:
        """Go on without a reader: whoever pipes us into head wants a look, not an end to the training."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Standard output; wide enough for whole lines where it is no terminal. What is printed is shown as it is."""
    width = None if sys.stdout is not None and sys.stdout.isatty() else 200
    return _Console(
        width=width, markup=False, emoji=False, highlight=False
    )  # a name may hold brackets and colons
