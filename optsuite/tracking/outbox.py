"""Runs that the store could not take: kept in files, and delivered at the next start."""

import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from mlflow.exceptions import MlflowException

from optsuite.errors import one_line, require_name
from optsuite.files import write_atomically
from optsuite.tracking.location import database_path, local_state_dir
from optsuite.tracking.schema import CAMPAIGN
from optsuite.tracking.store import Store
from optsuite.training.results import Measurement

RESERVED_BYTES = (
    4 * 2**20
)  # a thousand runs: set aside while a campaign goes on, in case its disk fills up
RESERVE = "reserve"
SET_ASIDE = ".odd"
UNFINISHED = ".*.new"  # what a kill while a file was written has left
LARGEST_BYTES = 2**28  # a run of a million measurements has less
LOGGER = logging.getLogger("optsuite")


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that the store is told of a run that has ended. Times are in Unix seconds."""

    benchmark: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    measurements: tuple[Measurement, ...]
    summary: Mapping[str, float]
    status: str
    started: float
    ended: float


def outbox_campaigns(uri: str) -> list[str]:
    """The campaigns that have files in the spool."""
    return sorted({own.name for place in _places(uri) for own in place.glob("*") if own.is_dir()})


def _places(uri: str) -> list[Path]:
    path = database_path(uri)
    near = [] if path is None else [path.parent / "spool" / path.name]
    return [*near, local_state_dir(uri) / "spool"]


class Outbox:
    """The files of one campaign: beside the database, else in a folder of this person's."""

    def __init__(self, uri: str, campaign: str) -> None:
        places = [place / campaign for place in _places(uri)]
        self._folders = [folder for folder in places if not _is_linked(folder)] or places[-1:]
        self._campaign = campaign
        self._n_dropped = 0

    def __enter__(self) -> "Outbox":
        with suppress(OSError):  # it is a precaution
            self._folders[0].mkdir(parents=True, exist_ok=True)
            content = os.urandom(RESERVED_BYTES)  # which no file system makes smaller
            write_atomically(self._folders[0] / RESERVE, content, durable=True)
        return self

    def __exit__(self, *exception: object) -> None:
        for path in self.litter:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self.remove_empty_folders()

    def remove_empty_folders(self) -> None:
        """Remove the folders of the campaign in which nothing is kept."""
        for folder in self._folders:
            with suppress(OSError):  # where something is kept
                for empty in (folder, *list(folder.parents)[:2]):
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
        """What a process that was killed has left, if the campaign's lock is held."""
        return self._matching(RESERVE, UNFINISHED)

    def account(self) -> str:
        """What became of the runs that the store did not take, as the end of a message."""
        kept = self.waiting
        said = (
            f"; {len(kept)} runs are kept in {kept[0].parent} and delivered when the campaign goes on"
            if kept
            else ""
        )
        return said + (
            f"; {self._n_dropped} could not be kept and will be trained again"
            if self._n_dropped
            else ""
        )

    def keep(self, record: Record) -> None:
        """Keep a run. Where nothing can be written, it is counted as dropped: it will have to be trained again."""
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
        """Write the runs that are kept to the store and forget them; how many. A kill leaves doubles, which are tidied up."""
        n = 0
        for path, record in self._records():
            run_id = store.create(record.benchmark, record.name, record.tags, record.started)
            try:
                store.log(
                    run_id,
                    measurements=record.measurements,
                    summary=record.summary,
                    params=record.params,
                    time=record.ended,
                )
                store.terminate(run_id, record.status, record.ended)
            except (
                MlflowException
            ) as error:  # it is not what the store takes, however long one waits
                store.delete(run_id)
                _set_aside(path, one_line(error))
                continue
            path.unlink()
            n += 1
        return n

    def _matching(self, *patterns: str) -> list[Path]:
        found = (path for folder in self._folders for one in patterns for path in folder.glob(one))
        return sorted(found)

    def _records(self) -> Iterator[tuple[Path, Record]]:
        for path in self.waiting:
            try:
                record = _record(json.loads(_read(path)))
                if record.tags.get(CAMPAIGN, self._campaign) != self._campaign:
                    raise ValueError("it is of another campaign")
            except (
                TypeError,
                ValueError,
                OSError,
                RecursionError,
            ) as error:  # of another version, or not ours
                _set_aside(path, one_line(error))
                continue
            yield path, record


def _record(found: object) -> Record:
    """The record that was kept as these values of JSON. Raises TypeError or ValueError where they are none."""
    if not isinstance(found, dict):
        raise TypeError("it holds no record")
    record = Record(**found)
    for name in ("tags", "params"):
        texts = getattr(record, name)
        if not (
            isinstance(texts, dict) and all(isinstance(value, str) for value in texts.values())
        ):
            raise TypeError(f"its {name} are no texts")
    measurements = tuple(Measurement(**values) for values in record.measurements)  # type: ignore[arg-type]
    for measurement in measurements:
        _require_numbers(measurement.values)
        if type(measurement.step) is not int:
            raise TypeError("a step is no whole number")
    _require_numbers(record.summary)
    _require_numbers(
        {
            "started": record.started,
            "ended": record.ended,
            **{str(m.step): m.time for m in measurements},
        }
    )
    require_name("benchmark", record.benchmark)
    if record.status not in ("FINISHED", "FAILED") or not isinstance(record.name, str):
        raise ValueError(f"its status is {record.status!r}")
    return replace(record, measurements=measurements)


def _require_numbers(values: object) -> None:
    if not (
        isinstance(values, dict) and all(type(value) in (int, float) for value in values.values())
    ):
        raise TypeError("its numbers are none")


def _read(path: Path) -> bytes:
    """A file of ours: no link is followed, and nothing waited for. Raises OSError or ValueError for anything else."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is no file")
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    ) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_BYTES:
            raise ValueError("it is larger than any run")
        return file.read()


def _set_aside(path: Path, reason: str) -> None:
    """Name what cannot be delivered, and let it not stand in the way again."""
    LOGGER.warning("%s cannot be delivered and is left there: %s", path, reason)
    with suppress(OSError):
        path.rename(path.with_suffix(SET_ASIDE))


def _is_linked(folder: Path) -> bool:
    """Whether a folder of a campaign, or that of all campaigns above it, is a link to somewhere else."""
    return any(part.is_symlink() for part in (folder, *list(folder.parents)[:2]))
