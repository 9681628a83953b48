"""Writes a file completely or not at all. Knows nothing of its content."""

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
    """Write a file so that readers see the old content or all of the new, even after a kill.

    The content is written to a new file beside it, which is then renamed, so no link is followed.
    A kill may leave that file, named `.NAME.*.new`. Text is written as UTF-8. With `durable`, the
    content is on disk before the name, and survives a power cut. Without `replace`, an existing
    file is kept, and FileExistsError raised. Raises OSError.
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
