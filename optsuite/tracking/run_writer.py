"""Writing ended runs to the store, those that end together at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from optsuite.errors import StoreUnavailableError
from optsuite.tracking.bulk_insert import Tables, can_insert, new_id
from optsuite.tracking.outbox import Outbox
from optsuite.tracking.record import Record, write
from optsuite.tracking.schema import RUN_NAME
from optsuite.tracking.store import Store

Written = Callable[[str], None]  # is told the id of the run


class RunWriter:
    """Collects ended runs, and writes them. What the store does not take is kept in the outbox."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._waiting: list[tuple[Record, Written]] = []
        self._tables = Tables(store.uri) if store.is_database else None
        self._knows_tables: bool | None = None

    def add(self, record: Record, written: Written) -> None:
        """Let a run wait for the next `flush`."""
        self._waiting.append((record, written))

    def keep(self, record: Record) -> None:
        """Put a run that the store does not take into the outbox."""
        self._outbox.keep(record)

    def flush(self) -> None:
        """Write the runs that wait. Raises StoreUnavailableError."""
        waiting, self._waiting = self._waiting, []
        left = [record for record, _ in waiting]
        ids: list[str] = []
        try:
            ids += self._insert(left)
            for record in left[len(ids) :]:
                ids.append(write(self._store, record))
        except StoreUnavailableError:
            for record in left[len(ids) :]:
                self._outbox.keep(record)
            raise
        finally:
            for run_id, (_, written) in zip(ids, waiting, strict=False):
                written(run_id)

    def _insert(self, records: Sequence[Record]) -> Sequence[str]:
        """Insert the runs into the database, and return their ids; none if the client must."""
        if not records or self._tables is None:
            return ()
        whole = {}
        for record in records:
            tags = self._store.context | dict(record.tags) | {RUN_NAME: record.name}
            whole[new_id()] = replace(record, tags=tags)
        ask = self._store.retry.call
        if self._knows_tables is None:
            self._knows_tables = ask(self._tables.are_known)
        if not self._knows_tables or not all(can_insert(record) for record in whole.values()):
            return ()
        benchmarks = dict.fromkeys(record.benchmark for record in records)
        experiments = {name: self._store.experiment(name) for name in benchmarks}
        return list(whole) if ask(self._tables.insert, whole, experiments) else ()
