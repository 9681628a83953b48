"""One process at a time works on a campaign; the lock goes with the process, however it ends."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import filelock

from optsuite.errors import BadInput, require
from optsuite.files import write_atomically
from optsuite.redact import redact
from optsuite.tracking.location import beside_store, store_exists


def check_campaign_name(name: str) -> None:
    """Raise BadInput unless the name is safe in a file name and in a query."""
    usable = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
    require(usable, "campaign", name, "1 to 100 letters, digits, dots, dashes and underscores")


@contextmanager
def campaign_lock(uri: str, campaign: str) -> Iterator[None]:
    """Hold the campaign, or raise BadInput that names the process that does and when it started.

    For a store behind a server the lock holds among the processes of one person on one machine.
    """
    folder = beside_store(uri) / "locks"
    owner = folder / f"{campaign}.json"
    store_exists(uri)  # raises where the folder would be made in the wrong place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{campaign}.lock", timeout=0)
        lock.acquire()
        who = {"pid": os.getpid(), "start": datetime.now().isoformat(" ", "seconds")}
        write_atomically(owner, json.dumps(who))
    except filelock.Timeout:
        other = _read(owner)
        by = f"process {other['pid']} since {other['start']}" if other else "another process"
        raise BadInput(
            f"campaign: got {campaign!r}, which is being run by {by}; allowed: another --campaign, or waiting for it to end"
        ) from None
    except OSError as error:
        raise BadInput(
            f"store: got {redact(uri)}, cannot write to {folder} ({error.strerror}); allowed: a writable folder"
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read(owner: Path) -> dict[str, object] | None:
    try:
        return dict(json.loads(owner.read_text()))
    except (OSError, ValueError):
        return None
