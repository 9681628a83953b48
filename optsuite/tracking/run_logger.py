"""Writing one run to the store: a short run in one batch, a long one every few seconds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from optsuite.definitions.target import Target
from optsuite.errors import StoreUnavailableError
from optsuite.tracking.record import Record
from optsuite.tracking.run_writer import RunWriter, Written
from optsuite.tracking.schema import ERROR, OUTCOME, PARENT
from optsuite.tracking.seal import Points, sealed
from optsuite.tracking.store import Store
from optsuite.training.results import Measurement, Run, RunResult, summarize

FLUSH_SECONDS = 5.0  # so that the UI shows the curves of a long run while it trains


@dataclass
class RunLogger:
    """Collects and writes the measurements of a run, which is marked as running until it ends."""

    store: Store
    writer: RunWriter
    run: Run
    parent: Callable[[], str | None]  # asked when the run is created
    target: Target | None
    tags: Mapping[str, str]
    params: Mapping[str, object]
    measurements: list[Measurement] = field(default_factory=list)
    run_id: str | None = None
    _flushed: int = 0
    _last_flush: float = 0.0

    def add(self, measurement: Measurement) -> None:
        """Collect a measurement, and write if the last write was long ago."""
        if not self.measurements:
            self._last_flush = time.monotonic()
        self.measurements.append(measurement)
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self._flush({}, {})

    def end(self, ended: RunResult, written: Written = lambda run_id: None) -> None:
        """Let the run be written with the writer's next ones, or the rest of a long one now.

        `written` is told its id then. If the store does not take it, it is kept in the outbox, and
        StoreUnavailableError raised.
        """
        summary = summarize(self.measurements, ended.outcome, self.target)
        tags: dict[str, str] = {OUTCOME: ended.outcome}
        if ended.error:
            tags[ERROR] = ended.error
        tags |= sealed({**self.tags, **tags}, self.params, summary, Points.of(self.measurements))
        status = "FAILED" if ended.outcome == "failed" else "FINISHED"
        record = self._record(summary, tags, status)
        try:
            if self.run_id is None:
                parent = self.parent()
                own = {PARENT: parent} if parent else {}
                self.writer.add(replace(record, tags={**record.tags, **own}), written)
                return
            self._flush(summary, tags)
            self.store.terminate(self.run_id, status, record.ended)
        except StoreUnavailableError:
            self.writer.keep(record)
            raise
        written(self.run_id)

    def discard(self) -> None:
        """Remove an unfinished run from the store."""
        if self.run_id is not None:
            self.store.delete(self.run_id)

    def _flush(self, summary: Mapping[str, float], tags: Mapping[str, str]) -> None:
        params: Mapping[str, object] = {}
        if self.run_id is None:
            self.run_id = self.store.create(
                self.run.benchmark, self._name, self.tags, self._started, self.parent()
            )
            params = self.params
        self.store.log(
            self.run_id,
            measurements=self.measurements[self._flushed :],
            summary=summary,
            params=params,
            tags=tags,
            time=self._now(),
        )
        self._flushed = len(self.measurements)
        self._last_flush = time.monotonic()

    def _record(self, summary: Mapping[str, float], tags: Mapping[str, str], status: str) -> Record:
        return Record(
            benchmark=self.run.benchmark,
            name=self._name,
            tags={**self.tags, **tags},
            params={key: str(value) for key, value in self.params.items()},
            measurements=tuple(self.measurements),
            summary=summary,
            status=status,
            started=self._started,
            ended=self._now(),
        )

    @property
    def _name(self) -> str:
        return f"{self.run.optimizer} {self.run.label}"

    @property
    def _started(self) -> float:
        return self.measurements[0].time if self.measurements else time.time()

    def _now(self) -> float:
        return self.measurements[-1].time if self.measurements else time.time()
