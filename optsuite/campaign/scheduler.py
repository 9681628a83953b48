"""The one loop: train what the replay left open, and record it."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from optsuite.campaign.events import (
    Event,
    Heartbeat,
    RunEnded,
    RunMeasured,
    StudyEnded,
    StudyRestarted,
)
from optsuite.campaign.guard import Guard, Guards
from optsuite.campaign.recorder import Recorder
from optsuite.campaign.replay import Replay
from optsuite.campaign.study import Study
from optsuite.campaign.writer import Writer
from optsuite.execution.pool import Pool, RunUpdate, Task, TaskLost
from optsuite.tracking.run_logger import RunLogger
from optsuite.training.plan import group
from optsuite.training.results import Measurement, Run, RunResult, score_of

POLL_SECONDS = 0.2  # how soon an interruption is noticed
LOGGER = logging.getLogger("optsuite")


@dataclass
class _Job:
    """A task under way, and of those of its runs that have not ended, by index, what was measured and its recording."""

    study: Study
    task: Task
    measurements: dict[int, list[Measurement]]
    run_loggers: dict[int, RunLogger]

    @property
    def open_runs(self) -> tuple[Run, ...]:
        return tuple(self.task.runs[index] for index in self.run_loggers)


class Scheduler:
    """Hands tasks to a pool and what comes back to the studies and, in the writer's thread, to the ledger."""

    def __init__(
        self,
        campaign: Replay,
        recorder: Recorder,
        writer: Writer,
        pool: Pool,
        guards: Guards,
        ids: Iterator[int],
    ) -> None:
        """`ids` numbers tasks; `guards` compares stacked studies with the plain loop."""
        self._campaign = campaign
        self._recorder = recorder
        self._writer = writer
        self._pool = pool
        self._guards = guards
        self._ids = ids
        self._jobs: dict[int, _Job] = {}
        self._under_guard: dict[int, Guard] = {}
        self._trained: set[Study] = set()
        order = list(campaign.studies)
        if pool.n_workers >= len(order):  # the longest decides when all is done
            order.sort(key=lambda study: -study.problem.seconds_per_run)
        self._priorities = {study: priority for priority, study in enumerate(order)}

    def run(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Train until all is done or `stop` says so. Nothing is left half-written."""
        for study in self._campaign.studies:
            yield from self._go_on(study)
        while (self._jobs or self._under_guard) and not stop():
            self._writer.check()
            yield Heartbeat()
            for event in self._pool.poll(POLL_SECONDS):
                yield from (
                    self._on_lost(event) if isinstance(event, TaskLost) else self._on_update(event)
                )
        for job in self._jobs.values():
            self._discard(job)
        guarded = {guard.study for guard in self._under_guard.values()}
        for study in self._campaign.studies:
            if not study.ended or study in guarded:
                self._writer.put(self._recorder.interrupt, study)
        while self._writer.is_busy:
            if stop():
                self._recorder.stop_waiting()
            time.sleep(POLL_SECONDS / 10)
            yield Heartbeat()

    def _go_on(self, study: Study) -> Iterator[Event]:
        """Replay the study's next request; submit what is missing of it, or finish the study."""
        yield from self._campaign.replay_study(study)
        if study.ended:
            if not self._is_guarded(study):
                yield self._finish(study)
            return
        under_way = {
            run for job in self._jobs.values() if job.study is study for run in job.open_runs
        }
        wanted = [
            run for run in study.requested if run not in study.answers and run not in under_way
        ]
        for runs in group(wanted, study.plan.max_stack):
            self._submit(study, runs)

    def _is_guarded(self, study: Study) -> bool:
        """Whether one of its stacked runs is compared with a plain one before the study is finished."""
        if not study.plan.stacks or study.error is not None or self._recorder.is_compared(study):
            return False
        guard = self._guards.guard(study)
        if guard is None:
            return False
        self._under_guard[guard.task.id] = guard
        self._pool.submit(guard.task)
        return True

    def _finish(self, study: Study) -> StudyEnded:
        self._guards.forget(study)
        self._writer.put(self._recorder.finish, study)
        benchmark, optimizer = study.name
        return StudyEnded(
            benchmark=benchmark,
            optimizer=optimizer,
            lr=study.lr,
            score=study.score(),
            reused=study not in self._trained,
            error=study.error,
        )

    def _submit(self, study: Study, runs: tuple[Run, ...], *, exclusive: bool = False) -> None:
        task = replace(
            study.task(next(self._ids), runs, priority=self._priorities[study]), exclusive=exclusive
        )
        run_loggers = {
            index: self._recorder.run_logger(study, run) for index, run in enumerate(runs)
        }
        self._jobs[task.id] = _Job(study, task, {index: [] for index in run_loggers}, run_loggers)
        self._pool.submit(task)

    def _compared(self, guard: Guard, update: Measurement | RunResult) -> Iterator[Event]:
        """Take in what the plain loop says of a run; in the end finish its study, or train it again by that loop."""
        if isinstance(update, Measurement):
            guard.add(update)
            return
        del self._under_guard[guard.task.id]
        study = guard.study
        if (
            update.error is not None
        ):  # it says nothing of the stack: the worker may lack the data, or have another file
            self._not_compared(guard, update.error)
            yield self._finish(study)
            return
        if guard.advance(self._ids):
            self._under_guard[guard.task.id] = guard
            self._pool.submit(guard.task)
            return
        if not guard.reason:
            assert guard.task.until is not None
            self._writer.put(
                self._recorder.mark_compared, study, guard.task.runs[0], guard.task.until
            )
            yield self._finish(study)
            return
        reason = f"its stacked runs part from plain ones: {guard.reason}"
        stacked = {study.fingerprint(run) for run in study.answers}
        self._writer.put(self._recorder.refuse_stacks, study, study.identity, stacked, reason)
        self._guards.forget(study)
        study.use_plain(reason)
        benchmark, optimizer = study.name
        yield StudyRestarted(
            benchmark=benchmark, optimizer=optimizer, n_runs=study.n_runs, reason=reason
        )
        yield from self._go_on(study)

    def _not_compared(self, guard: Guard, cause: str) -> None:
        """Say that a study was not compared. It is not marked, so that the next start tries again."""
        LOGGER.warning(
            "%s: not compared with the plain loop: %s", " ".join(guard.study.name), cause
        )

    def _on_update(self, event: RunUpdate) -> Iterator[Event]:
        guard = self._under_guard.get(event.task)
        if guard is not None:
            yield from self._compared(guard, event.update)
            return
        job = self._jobs.get(event.task)
        if job is None:
            return  # it was cancelled
        if isinstance(event.update, Measurement):
            job.measurements[event.index].append(event.update)
            self._writer.put(job.run_loggers[event.index].add, event.update)
            yield RunMeasured(
                run=job.task.runs[event.index],
                step=event.update.step,
                max_steps=job.study.problem.benchmark.max_steps,
                validation_loss=event.update.values.get("validation/loss", math.nan),
            )
            return
        yield self._end(job, event.index, event.update)
        if not job.run_loggers:
            del self._jobs[event.task]
            yield from self._go_on(job.study)

    def _on_lost(self, event: TaskLost) -> Iterator[Event]:
        guard = self._under_guard.pop(event.task, None)
        if guard is not None:
            self._not_compared(guard, event.reason)
            yield self._finish(guard.study)
            return
        job = self._jobs.pop(event.task, None)
        if job is None:
            return  # it had reported everything before it died
        if not job.task.exclusive:
            self._discard(job)
            self._submit(job.study, job.open_runs, exclusive=True)
            return
        for index in list(job.run_loggers):
            yield self._end(job, index, RunResult(outcome="failed", error=event.reason))
        for other in [other for other in self._jobs.values() if other.study is job.study]:
            self._pool.cancel(
                other.task.id
            )  # it is likely to fare the same, and each takes its time
            self._discard(self._jobs.pop(other.task.id))
        job.study.stop()
        yield from self._go_on(job.study)

    def _end(self, job: _Job, index: int, ended: RunResult) -> RunEnded:
        study, run = job.study, job.task.runs[index]
        measurements, run_logger = job.measurements.pop(index), job.run_loggers.pop(index)
        score = score_of(measurements, ended.outcome)
        self._guards.remember(study, run, tuple(measurements))
        unpaired = self._campaign.why_unpaired(run, score.initial_loss) if measurements else ""
        if unpaired:
            ended = RunResult(outcome="failed", error=unpaired)
            score = score_of(measurements, ended.outcome)
        self._writer.put(self._recorder.end, study, run_logger, ended)
        study.answers[run] = score
        self._trained.add(study)
        if ended.error is not None:
            study.error = f"the run lr={run.lr:.3g} seed={run.seed} failed: {ended.error}"
        return RunEnded(run=run, score=score, reused=False)

    def _discard(self, job: _Job) -> None:
        for run_logger in job.run_loggers.values():
            self._writer.put(run_logger.discard)
