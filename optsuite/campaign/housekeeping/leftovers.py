"""Files beside the store that no run needs any more: checkpoints, some of them half-written."""

import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from optsuite.tracking.inventory import InventoryRow, basis_of
from optsuite.tracking.location import checkpoint_folder
from optsuite.tracking.schema import UNFINISHED

NAME = re.compile(r"\.?([0-9a-z_-]+)\.(pt|trial)(\..*\.new)?")
# A run is in the store after its second measurement, which never takes a day.
UNKNOWN_SECONDS = 86_400.0


def checkpoints(uri: str) -> dict[Path, str]:
    """The checkpoints beside the store, also half-written ones, with their runs' fingerprints."""
    found = {}
    for path in sorted(checkpoint_folder(uri).glob("*-*-*")):
        match = NAME.fullmatch(path.name)
        if match and basis_of(match[1]) and path.is_file():
            found[path] = match[1]
    return found


def checkpoints_of(
    uri: str, own: Iterable[InventoryRow], others: Iterable[InventoryRow]
) -> list[Path]:
    """The checkpoints that belong to one campaign only, by fingerprint or by definition.

    A run that was killed early has a checkpoint, but is not in the store: only its definition is.
    """
    bases = {run.basis for run in own} - {run.basis for run in others}
    fingerprints = {run.fingerprint for run in own} - {run.fingerprint for run in others}
    found = []
    for path, fingerprint in checkpoints(uri).items():
        if fingerprint in fingerprints or basis_of(fingerprint) in bases:
            found.append(path)
    return found


def orphans(uri: str, runs: Sequence[InventoryRow]) -> list[Path]:
    """The checkpoints that no start will use, while no campaign is running.

    Their runs have ended, or their definition is superseded or not in the store.
    """
    active = [run for run in runs if run.fingerprint and not run.is_deleted]
    finished = {(run.campaign, run.fingerprint) for run in active if _has_result(run)}
    begun = {(run.campaign, run.fingerprint) for run in active if run.status in UNFINISHED}
    ended = {one for _, one in finished} - {one for _, one in begun - finished}
    wanted = {run.basis for run in active if run.is_current or run.status != "FINISHED"}
    known = {run.basis for run in active}
    found = []
    for path, fingerprint in checkpoints(uri).items():
        basis = basis_of(fingerprint)
        is_half_written = path.suffix in (".trial", ".new")
        is_old = basis in known - wanted or (basis not in known and _is_unknown_for_long(path))
        if is_half_written or fingerprint in ended or is_old:
            found.append(path)
    return found


def size(paths: Iterable[Path]) -> int:
    """The bytes of these files."""
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def remove(paths: Iterable[Path]) -> None:
    """Remove files. Files that cannot be removed stay."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _has_result(run: InventoryRow) -> bool:
    return run.is_current and run.status == "FINISHED"


def _is_unknown_for_long(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > UNKNOWN_SECONDS
    return False
