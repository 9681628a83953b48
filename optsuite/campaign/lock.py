"""The lock of a campaign: one process at a time, released however that process ends."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import filelock

from optsuite.errors import InputError, require
from optsuite.files import write_atomically
from optsuite.redact import redact
from optsuite.tracking.location import state_dir, store_exists


def check_campaign_name(name: str) -> None:
    """Raise InputError unless the name is safe in a file name and in a query."""
    usable = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
    require(usable, "campaign", name, "1 to 100 letters, digits, dots, dashes and underscores")


@contextmanager
def campaign_lock(uri: str, campaign: str) -> Iterator[None]:
    """Lock the campaign; raises InputError naming the process that holds it and since when.

    For a store behind a server, the lock works among the processes of one user on one machine.
    """
    folder, path, owner = _place(uri, campaign)
    store_exists(uri)  # raises if the folder would be created in the wrong place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=0)
        lock.acquire()
        who = {"pid": os.getpid(), "start": datetime.now().isoformat(" ", "seconds")}
        write_atomically(owner, json.dumps(who))
    except filelock.Timeout:
        raise _taken(campaign, owner) from None
    except OSError as error:
        raise InputError(
            f"store: cannot write to {folder} ({error.strerror}), which {redact(uri)} needs; "
            "use a writable folder"
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def require_free(uri: str, campaign: str) -> None:
    """Raise InputError if another process holds the campaign. Writes nothing."""
    _, path, owner = _place(uri, campaign)
    if not path.exists():
        return
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _taken(campaign, owner) from None
    except OSError:  # the folder is read-only; a later write reports it
        return
    lock.release()


def lock_files(uri: str, campaign: str) -> list[Path]:
    """The files that a lock leaves. Its holder may remove them: the next process makes new ones."""
    return [path for path in _place(uri, campaign)[1:] if path.is_file()]


def locked_campaigns(uri: str) -> list[str]:
    """The campaigns with a lock file, whether or not it is held."""
    folder = state_dir(uri) / "locks"
    found = [*folder.glob("*.lock"), *folder.glob("*.json")]
    return sorted({path.stem for path in found})


def _place(uri: str, campaign: str) -> tuple[Path, Path, Path]:
    """The folder of the locks, the lock of a campaign, and the file that names its owner."""
    folder = state_dir(uri) / "locks"
    return folder, folder / f"{campaign}.lock", folder / f"{campaign}.json"


def _taken(campaign: str, owner: Path) -> InputError:
    by = "another process"
    holder = _read(owner)
    if holder:
        by = f"process {holder['pid']} since {holder['start']}"
    return InputError(
        f"campaign {campaign!r} is being run by {by}; use another --campaign, or wait for it to end"
    )


def _read(owner: Path) -> dict[str, object] | None:
    try:
        return dict(json.loads(owner.read_text()))
    except (OSError, ValueError):
        return None
