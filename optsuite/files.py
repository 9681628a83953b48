"""Writes a file whole or not at all. Knows nothing of what is written."""

import os
import secrets
from pathlib import Path


def write_atomically(
    path: Path,
    content: str | bytes | memoryview,
    *,
    durable: bool = False,
    replace: bool = True,
) -> None:
    """Write a file so that a reader, or a kill halfway, sees the old one or all of the new one.

    The content goes to a new file beside it, which then takes its name, so no link is followed.
    A kill may leave that file, named `.NAME.*.new`. Text is written as UTF-8. With `durable`, the
    content is on the disk before the name is, and survives a power cut. Without `replace`, a file
    that exists is kept: raises FileExistsError. Raises OSError.
    """
    data = content.encode() if isinstance(content, str) else content
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with open(fresh, "xb") as file:  # x never follows a link
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            os.replace(fresh, path)
        else:
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)  # only an error, or a link, leaves it
