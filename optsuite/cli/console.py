"""Where the commands print."""

import os
import sys

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on without a reader: whoever pipes us into head wants a look, not an end to the training."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Standard output; wide enough for whole lines where it is no terminal. What is printed is shown as it is."""
    width = None if sys.stdout is not None and sys.stdout.isatty() else 200
    return _Console(width=width, markup=False, emoji=False, highlight=False)  # a name may hold brackets and colons
