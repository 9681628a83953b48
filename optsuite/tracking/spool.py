"""Runs that the store could not take: kept in files, and delivered at the next start."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from optsuite.errors import one_line
from optsuite.tracking.location import database_path, state_folder
from optsuite.tracking.store import Store
from optsuite.training.run import Measurement

RESERVED_BYTES = 4 * 2**20  # a thousand runs: set aside while a campaign goes on, in case its disk fills up
RESERVE = "reserve"
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


class Spool:
    """The files of one campaign: beside the database, else in a folder of this person's."""

    def __init__(self, uri: str, campaign: str) -> None:
        path = database_path(uri)
        near = [] if path is None else [path.parent / "spool" / path.name]
        self._folders = [folder / campaign for folder in (*near, state_folder(uri) / "spool")]
        self._n_dropped = 0

    def __enter__(self) -> "Spool":
        with suppress(OSError):  # it is a precaution
            self._folders[0].mkdir(parents=True, exist_ok=True)
            (self._folders[0] / RESERVE).write_bytes(os.urandom(RESERVED_BYTES))  # which no file system makes smaller
        return self

    def __exit__(self, *exception: object) -> None:
        for folder in self._folders:
            with suppress(OSError):  # where something is kept
                (folder / RESERVE).unlink(missing_ok=True)
                for empty in (folder, *list(folder.parents)[:2]):
                    empty.rmdir()

    def account(self) -> str:
        """What became of the runs that the store did not take, as the end of a message."""
        kept = [path for folder in self._folders for path in folder.glob("*.json")]
        said = f"; {len(kept)} runs are kept in {kept[0].parent} and delivered when the campaign goes on" if kept else ""
        return said + (f"; {self._n_dropped} could not be kept and will be trained again" if self._n_dropped else "")

    def keep(self, record: Record) -> None:
        """Keep a run. Where nothing can be written, it is counted as dropped: it will have to be trained again."""
        text = json.dumps(asdict(record))
        name = blake2b(text.encode(), digest_size=16).hexdigest()
        for folder in self._folders:
            with suppress(OSError):
                (folder / RESERVE).unlink(missing_ok=True)
                folder.mkdir(parents=True, exist_ok=True)
                _write(folder / f"{name}.json", text)
                return
        self._n_dropped += 1

    def deliver(self, store: Store) -> int:
        """Write the runs that are kept to the store and forget them; how many. A kill leaves doubles, which are tidied up."""
        n = 0
        for path, record in self._records():
            run_id = store.create(record.benchmark, record.name, record.tags, record.started)
            store.log(
                run_id,
                measurements=record.measurements,
                summary=record.summary,
                params=record.params,
                time=record.ended,
            )
            store.terminate(run_id, record.status, record.ended)
            path.unlink()
            n += 1
        return n

    def _records(self) -> Iterator[tuple[Path, Record]]:
        for path in sorted(path for folder in self._folders for path in folder.glob("*.json")):
            try:
                record = Record(**json.loads(path.read_text()))
                measurements = tuple(Measurement(**values) for values in record.measurements)  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:  # of another version, or not ours: it must not stand in the way
                LOGGER.warning("%s cannot be delivered and is left there: %s", path, one_line(error))
                path.rename(path.with_suffix(".odd"))
                continue
            yield path, replace(record, measurements=measurements)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
