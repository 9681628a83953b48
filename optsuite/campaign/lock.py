"""One process at a time works on a campaign; the lock goes with the process, however it ends."""

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
    """Hold the campaign, or raise InputError that names the process that does and when it started.

    For a store behind a server the lock holds among the processes of one person on one machine.
    """
    folder, path, owner = _place(uri, campaign)
    store_exists(uri)  # raises where the folder would be made in the wrong place
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
            f"store: got {redact(uri)}, cannot write to {folder} ({error.strerror}); allowed: a writable folder"
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def require_free(uri: str, campaign: str) -> None:
    """Raise InputError where another process holds the campaign. Writes nothing."""
    _, path, owner = _place(uri, campaign)
    if not path.exists():
        return
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _taken(campaign, owner) from None
    except OSError:  # a folder that cannot be written to: whoever wants to write says so
        return
    lock.release()


def lock_files(uri: str, campaign: str) -> list[Path]:
    """The files that a lock leaves. Its holder may remove them: others then lock a new one."""
    return [path for path in _place(uri, campaign)[1:] if path.is_file()]


def locked_campaigns(uri: str) -> list[str]:
    """The campaigns of which there is a lock file, whether or not somebody holds it."""
    folder = state_dir(uri) / "locks"
    return sorted({path.stem for suffix in ("lock", "json") for path in folder.glob(f"*.{suffix}")})


def _place(uri: str, campaign: str) -> tuple[Path, Path, Path]:
    """The folder of the locks, the lock of a campaign, and the file that names its owner."""
    folder = state_dir(uri) / "locks"
    return folder, folder / f"{campaign}.lock", folder / f"{campaign}.json"


def _taken(campaign: str, owner: Path) -> InputError:
    other = _read(owner)
    by = f"process {other['pid']} since {other['start']}" if other else "another process"
    return InputError(
        f"campaign: got {campaign!r}, which is being run by {by}; allowed: another --campaign, or waiting for it to end"
    )


def _read(owner: Path) -> dict[str, object] | None:
    try:
        return dict(json.loads(owner.read_text()))
    except (OSError, ValueError):
        return None
