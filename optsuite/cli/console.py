"""Where the commands print."""

import sys

from rich.console import Console


def console() -> Console:
    """Standard output; wide enough for whole lines where it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=200)
