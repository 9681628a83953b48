"""Runs that the store could not take: kept in files, and delivered by the next start."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from optsuite.errors import one_line, require_name
from optsuite.files import write_atomically
from optsuite.tracking.location import database_path, local_state_dir
from optsuite.tracking.record import Record, write
from optsuite.tracking.schema import CAMPAIGN, ENDED
from optsuite.tracking.store import Store
from optsuite.training.results import Measurement

RESERVED_BYTES = 4 * 2**20  # space for a thousand runs, in case the disk fills up
FOLDER = "outbox"
FORMER_FOLDER = "spool"  # the name until 0.4, whose files are still delivered
RESERVE = "reserve"  # the file that takes this space while a campaign runs
SET_ASIDE = ".odd"
PARTIAL = ".*.new"  # left by a kill while a file was written
LARGEST_BYTES = 2**28  # more than a run of a million measurements takes
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK  # follow no link, wait for no pipe
LOGGER = logging.getLogger("optsuite")


def outbox_campaigns(uri: str) -> list[str]:
    """The campaigns that have files in an outbox."""
    names: set[str] = set()
    for place in _places(uri):
        names |= {folder.name for folder in place.glob("*") if folder.is_dir()}
    return sorted(names)


def _places(uri: str) -> list[Path]:
    """The folders of the outboxes of a store, the preferred one first."""
    path = database_path(uri)
    places = []
    for name in (FOLDER, FORMER_FOLDER):
        if path is not None:
            places.append(path.parent / name / path.name)
        places.append(local_state_dir(uri) / name)
    return places


class Outbox:
    """The files of one campaign: beside the database, else in a folder of the current user."""

    def __init__(self, uri: str, campaign: str) -> None:
        places = [place / campaign for place in _places(uri)]
        self._folders = [folder for folder in places if not _is_linked(folder)] or places[-1:]
        self._campaign = campaign
        self._n_dropped = 0

    def __enter__(self) -> "Outbox":
        with suppress(OSError):  # the reserve is only a precaution
            self._folders[0].mkdir(parents=True, exist_ok=True)
            content = os.urandom(RESERVED_BYTES)  # random, so that no file system compresses it
            write_atomically(self._folders[0] / RESERVE, content, durable=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for path in self.litter:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self.remove_empty_folders()

    def remove_empty_folders(self) -> None:
        """Remove the empty folders of the campaign, and their empty parents."""
        for folder in self._folders:
            with suppress(OSError):  # it is not empty
                for empty in _with_parents(folder):
                    empty.rmdir()

    @property
    def waiting(self) -> list[Path]:
        """The files of runs that the next start delivers."""
        return self._matching("*.json")

    @property
    def set_aside(self) -> list[Path]:
        """The files that could not be delivered."""
        return self._matching(f"*{SET_ASIDE}")

    @property
    def litter(self) -> list[Path]:
        """The files that a killed process has left, if the campaign's lock is held."""
        return self._matching(RESERVE, PARTIAL)

    def summary(self) -> str:
        """What happened to the runs that the store did not take, as the end of a message."""
        kept = self.waiting
        text = ""
        if kept:
            text += f"; {len(kept)} runs are kept in {kept[0].parent}"
            text += " and delivered when the campaign resumes"
        if self._n_dropped:
            text += f"; {self._n_dropped} could not be kept and will be trained again"
        return text

    def keep(self, record: Record) -> None:
        """Keep a run. If it cannot be written, it counts as dropped and will be trained again."""
        content = json.dumps(asdict(record)).encode()
        name = blake2b(content, digest_size=16).hexdigest()
        for folder in self._folders:
            with suppress(OSError):
                (folder / RESERVE).unlink(missing_ok=True)
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / f"{name}.json", content, durable=True)
                return
        self._n_dropped += 1

    def deliver(self, store: Store) -> int:
        """Write the kept runs to the store and delete their files; return how many.

        After a kill some are delivered twice; the next start removes the duplicates.
        """
        n = 0
        for path, record in self._records():
            try:
                write(store, record)
            except MlflowException as error:  # the record is invalid; waiting would not help
                _set_aside(path, one_line(error))
                continue
            path.unlink()
            n += 1
        return n

    def _matching(self, *patterns: str) -> list[Path]:
        found: list[Path] = []
        for folder in self._folders:
            for pattern in patterns:
                found += folder.glob(pattern)
        return sorted(found)

    def _records(self) -> Iterator[tuple[Path, Record]]:
        for path in self.waiting:
            try:
                record = _record(json.loads(_read(path)))
                if record.tags.get(CAMPAIGN, self._campaign) != self._campaign:
                    raise ValueError("it is of another campaign")
            except (TypeError, ValueError, OSError, RecursionError) as error:
                # The file is of another version, or not ours.
                _set_aside(path, one_line(error))
                continue
            yield path, record


def _record(found: object) -> Record:
    """The record of a file, from its JSON values. Raises TypeError or ValueError if invalid."""
    if not isinstance(found, dict):
        raise TypeError("it does not hold a record")
    record = Record(**found)
    for name in ("tags", "params"):
        texts = getattr(record, name)
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise TypeError(f"its {name} are not strings")
    kept: tuple[Any, ...] = record.measurements  # still dictionaries
    measurements = tuple(Measurement(**values) for values in kept)
    for measurement in measurements:
        _require_numbers(measurement.values)
        if type(measurement.step) is not int:
            raise TypeError("a step is not an integer")
    _require_numbers(record.summary)
    times = {str(measurement.step): measurement.time for measurement in measurements}
    _require_numbers({"started": record.started, "ended": record.ended, **times})
    require_name("benchmark", record.benchmark)
    if record.status not in ENDED or not isinstance(record.name, str):
        raise ValueError(f"its status is {record.status!r}")
    return replace(record, measurements=measurements)


def _require_numbers(values: object) -> None:
    """Raise TypeError unless the values are a dictionary of numbers; bool does not count."""
    if not isinstance(values, dict):
        raise TypeError("it lacks numbers")
    if not all(type(value) in (int, float) for value in values.values()):
        raise TypeError("a value is not a number")


def _read(path: Path) -> bytes:
    """The content of a regular file. Raises OSError or ValueError for anything else."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is not a regular file")
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | OPEN_FLAGS)) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_BYTES:
            raise ValueError("it is larger than any run")
        return file.read()


def _set_aside(path: Path, reason: str) -> None:
    """Report a file that cannot be delivered, and rename it so that no start tries it again."""
    LOGGER.warning("%s cannot be delivered and is left there: %s", path, reason)
    with suppress(OSError):
        path.rename(path.with_suffix(SET_ASIDE))


def _is_linked(folder: Path) -> bool:
    """Whether the folder of a campaign or one of its parents in the outbox is a link."""
    return any(part.is_symlink() for part in _with_parents(folder))


def _with_parents(folder: Path) -> tuple[Path, ...]:
    """The folder of a campaign, and the two above it that belong to the outbox."""
    return folder, *list(folder.parents)[:2]
