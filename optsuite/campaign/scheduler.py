"""The main loop: train what the replay left open, and record it."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from optsuite.campaign.events import Event, Heartbeat, RunEnded, StudyEnded, StudyRestarted
from optsuite.campaign.guard import Guard, Guards
from optsuite.campaign.job import Job
from optsuite.campaign.recorder import Recorder
from optsuite.campaign.replay import Replay, added
from optsuite.campaign.study import Study
from optsuite.campaign.writer import Writer
from optsuite.execution.pool import Pool, RunUpdate, TaskLost
from optsuite.training.plan import group
from optsuite.training.results import Measurement, Run, RunResult, score_of

POLL_SECONDS = 0.2  # how soon an interruption is noticed
LOGGER = logging.getLogger("optsuite")


class Scheduler:
    """Submits tasks to a pool; hands results to studies and, in another thread, the recorder."""

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
        self._jobs: dict[int, Job] = {}
        self._under_guard: dict[int, Guard] = {}
        self._guarded: set[Study] = set()
        self._trained: set[Study] = set()
        order = list(campaign.studies)
        if pool.n_workers >= len(order):
            # Every study can have a worker; the longest decides when all is done.
            order.sort(key=lambda study: -study.problem.seconds_per_run)
        self._priorities = {study: priority for priority, study in enumerate(order)}

    def run(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Train until all is done, or `stop` returns True. Nothing is left half-written."""
        for study in self._campaign.studies:
            yield from self._advance(study)
        while (self._jobs or self._under_guard) and not stop():
            self._writer.check()
            yield Heartbeat()
            for event in self._pool.poll(POLL_SECONDS):
                if isinstance(event, TaskLost):
                    yield from self._on_lost(event)
                else:
                    yield from self._on_update(event)
        yield from self._close(stop)

    def _close(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Discard what is unfinished, and wait for the writer; not for the store after `stop`."""
        for job in self._jobs.values():
            job.discard(self._writer)
        for study in self._campaign.studies:
            if not study.settled or study.under_guard:
                self._writer.put(self._recorder.interrupt, study)
        while self._writer.is_busy:
            if stop():
                self._recorder.stop_waiting()
            time.sleep(POLL_SECONDS / 10)
            yield Heartbeat()

    def _advance(self, study: Study) -> Iterator[Event]:
        """Replay the study's next request; submit what is missing of it, or finish the study."""
        yield from self._campaign.replay_study(study)
        if study.ended:
            if not self._start_guard(study):
                yield from self._look(study)
            return
        known = set(study.answers)
        for job in self._jobs.values():
            if job.study is study:
                known.update(job.open_runs)
        wanted = [run for run in study.requested if run not in known]
        if wanted and study.tuned:
            self._writer.put(self._recorder.reopen, study)
        for runs in group(wanted, study.plan.max_stack):
            self._submit(study, runs)

    def _look(self, study: Study) -> Iterator[Event]:
        """Finish the studies that are settled now that this one has ended; go on with others."""
        study.under_guard = False
        decided = self._campaign.look(study)
        for settled in decided.settled:
            yield self._finish(settled)
        yield from added(decided)
        for going_on in decided.going_on:
            yield from self._advance(going_on)

    def _start_guard(self, study: Study) -> bool:
        """Compare a stacked run with a plain one first, if that is due; return whether it is."""
        is_due = study.plan.stacks and study.error is None and study not in self._guarded
        if not is_due or self._recorder.is_compared(study):
            return False
        self._guarded.add(study)
        guard = self._guards.guard(study)
        if guard is None:
            return False
        study.under_guard = True
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
            n_unneeded=study.n_unneeded,
            error=study.error,
        )

    def _submit(self, study: Study, runs: tuple[Run, ...], *, exclusive: bool = False) -> None:
        task = study.task(next(self._ids), runs, priority=self._priorities[study])
        job = Job(study, replace(task, exclusive=exclusive))
        for index, run in enumerate(runs):
            job.measurements[index] = []
            job.run_loggers[index] = self._recorder.run_logger(study, run)
        self._jobs[task.id] = job
        self._pool.submit(job.task)

    def _compared(self, guard: Guard, update: Measurement | RunResult) -> Iterator[Event]:
        """Take an update of a comparison; in the end, finish its study or train it plainly."""
        if isinstance(update, Measurement):
            guard.add(update)
            return
        del self._under_guard[guard.task.id]
        study = guard.study
        if update.error is not None:
            # This is no evidence against the stack: the worker may lack the data.
            self._not_compared(guard, update.error)
            yield from self._look(study)
            return
        if guard.advance(self._ids):
            self._under_guard[guard.task.id] = guard
            self._pool.submit(guard.task)
            return
        if not guard.reason:
            assert guard.task.until is not None
            run = guard.task.runs[0]
            self._writer.put(self._recorder.mark_compared, study, run, guard.task.until)
            yield from self._look(study)
            return
        yield from self._refuse_stacks(study, guard.reason)

    def _refuse_stacks(self, study: Study, cause: str) -> Iterator[Event]:
        """Train a study again, one run at a time."""
        reason = f"its stacked runs differ from plain ones: {cause}"
        stacked = {study.fingerprint(run) for run in study.answers}
        self._writer.put(self._recorder.refuse_stacks, study, study.identity, stacked, reason)
        self._guards.forget(study)
        study.use_plain(reason)
        benchmark, optimizer = study.name
        yield StudyRestarted(
            benchmark=benchmark, optimizer=optimizer, n_runs=study.n_runs, reason=reason
        )
        yield from self._advance(study)

    def _not_compared(self, guard: Guard, cause: str) -> None:
        """Warn that a study was not compared. Without a mark, the next start tries again."""
        name = " ".join(guard.study.name)
        LOGGER.warning("%s: not compared with the plain loop: %s", name, cause)

    def _on_update(self, event: RunUpdate) -> Iterator[Event]:
        guard = self._under_guard.get(event.task)
        if guard is not None:
            yield from self._compared(guard, event.update)
            return
        job = self._jobs.get(event.task)
        if job is None:
            return  # it was cancelled
        if isinstance(event.update, Measurement):
            yield job.measure(event.index, event.update, self._writer)
            return
        yield self._end(job, event.index, event.update)
        if not job.run_loggers:
            del self._jobs[event.task]
            yield from self._advance(job.study)

    def _on_lost(self, event: TaskLost) -> Iterator[Event]:
        guard = self._under_guard.pop(event.task, None)
        if guard is not None:
            self._not_compared(guard, event.reason)
            yield from self._look(guard.study)
            return
        job = self._jobs.pop(event.task, None)
        if job is None:
            return  # it had reported everything before
        if not job.task.exclusive:
            job.discard(self._writer)
            self._submit(job.study, job.open_runs, exclusive=True)
            return
        for index in list(job.run_loggers):
            yield self._end(job, index, RunResult(outcome="failed", error=event.reason))
        # The study's remaining tasks would likely be lost too, each after a long time.
        for task_id, own in list(self._jobs.items()):
            if own.study is job.study:
                self._pool.cancel(task_id)
                del self._jobs[task_id]
                own.discard(self._writer)
        job.study.stop()
        yield from self._advance(job.study)

    def _end(self, job: Job, index: int, ended: RunResult) -> RunEnded:
        study, run = job.study, job.task.runs[index]
        measurements = job.measurements.pop(index)
        run_logger = job.run_loggers.pop(index)
        score = score_of(measurements, ended.outcome)
        self._guards.remember(study, run, tuple(measurements))
        if measurements:
            unpaired = self._campaign.why_unpaired(run, score.initial_loss)
            if unpaired:
                ended = RunResult(outcome="failed", error=unpaired)
                score = score_of(measurements, ended.outcome)
        self._writer.put(self._recorder.end, study, run_logger, ended)
        study.answers[run] = score
        self._trained.add(study)
        if ended.error is not None:
            study.error = f"the run {run.label} failed: {ended.error}"
        return RunEnded(run=run, score=score, reused=False)
