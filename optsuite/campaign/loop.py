"""The one loop: replay every study against the store, train what is missing, record it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from optsuite.campaign.events import Event, RunEnded, StudyEnded
from optsuite.campaign.held import Held
from optsuite.campaign.ledger import Ledger
from optsuite.campaign.study import Study
from optsuite.execution.pool import Fact, Lost, Pool, Task
from optsuite.tracking.recording import Recording
from optsuite.training.run import Ended, Measurement, Run

POLL_SECONDS = 0.2  # how soon an interruption is noticed
TRIES = 2  # a task whose worker died is tried once more


@dataclass
class _Job:
    """A task under way, and the recordings of those of its runs that have not ended, by index."""

    study: Study
    task: Task
    recordings: dict[int, Recording]
    tries: int


class Campaign:
    """A named set of studies and what the store already holds of them."""

    def __init__(self, studies: Sequence[Study], held: Held) -> None:
        """Studies that come first are trained first."""
        self.studies = studies
        self._held = held
        self._jobs: dict[int, _Job] = {}
        self._n_tasks = 0
        self._trained: set[Study] = set()
        self._initial_losses: dict[tuple[str, int], tuple[float, str]] = {}

    def replay(self) -> Iterator[RunEnded]:
        """Answer every study from the store as far as it goes. Writes nothing."""
        for study in self.studies:
            yield from self._replay(study)

    def missing(self) -> dict[str, int]:
        """How many runs each benchmark still needs."""
        missing = dict.fromkeys((study.name[0] for study in self.studies), 0)
        for study in self.studies:
            missing[study.name[0]] += 0 if study.ended else study.n_runs - len(study.answers)
        return missing

    def train(self, ledger: Ledger, pool: Pool, stop: Callable[[], bool]) -> Iterator[Event]:
        """Train and record what the replay left open, until all is done or `stop` says so. Nothing is left half-written."""
        for study in self.studies:
            yield from self._go_on(study, ledger, pool)
        while self._jobs and not stop():
            for event in pool.poll(POLL_SECONDS):
                yield from self._lost(event, ledger, pool) if isinstance(event, Lost) else self._fact(event, ledger, pool)
        for job in self._jobs.values():
            _discard(job)
        for study in self.studies:
            if not study.ended:
                ledger.interrupt(study)

    def _replay(self, study: Study) -> Iterator[RunEnded]:
        answered = True
        while answered and not study.ended:
            for run in study.requested:
                score = self._held.score(study.fingerprint(run))
                if run not in study.answers and score is not None:
                    study.answers[run] = score
                    self._initial_losses.setdefault((run.benchmark, run.seed), (score.initial_loss, run.optimizer))
                    yield RunEnded(run=run, score=score, reused=True)
            answered = all(run in study.answers for run in study.requested)
            study.advance()

    def _go_on(self, study: Study, ledger: Ledger, pool: Pool) -> Iterator[Event]:
        """Replay the study's next request; submit what is missing of it, or finish the study."""
        yield from self._replay(study)
        if study.ended:
            ledger.finish(study)
            benchmark, optimizer = study.name
            yield StudyEnded(
                benchmark=benchmark,
                optimizer=optimizer,
                lr=study.lr,
                score=study.score(),
                reused=study not in self._trained,
                error=study.error,
            )
            return
        under_way = {run for job in self._jobs.values() if job.study is study for run in job.task.runs}
        for run in study.requested:
            if run not in study.answers and run not in under_way:
                self._submit(study, (run,), ledger, pool)

    def _submit(self, study: Study, runs: tuple[Run, ...], ledger: Ledger, pool: Pool, tries: int = 1) -> None:
        self._n_tasks += 1
        task = Task(id=self._n_tasks, priority=self.studies.index(study), engine=study.engine, runs=runs)
        recordings = {index: ledger.recording(study, run) for index, run in enumerate(runs)}
        self._jobs[task.id] = _Job(study, task, recordings, tries)
        pool.submit(task)

    def _fact(self, event: Fact, ledger: Ledger, pool: Pool) -> Iterator[Event]:
        job = self._jobs[event.task]
        if isinstance(event.fact, Measurement):
            job.recordings[event.index].add(event.fact)
            return
        yield self._end(job, event.index, event.fact, ledger)
        if not job.recordings:
            del self._jobs[event.task]
            yield from self._go_on(job.study, ledger, pool)

    def _lost(self, event: Lost, ledger: Ledger, pool: Pool) -> Iterator[Event]:
        job = self._jobs.pop(event.task, None)
        if job is None:
            return  # it had reported everything before it died
        if job.tries < TRIES:
            _discard(job)
            self._submit(job.study, tuple(job.task.runs[i] for i in job.recordings), ledger, pool, job.tries + 1)
            return
        for index in list(job.recordings):
            yield self._end(job, index, Ended(outcome="failed", error=event.reason), ledger)
        yield from self._go_on(job.study, ledger, pool)

    def _end(self, job: _Job, index: int, ended: Ended, ledger: Ledger) -> RunEnded:
        study, run, recording = job.study, job.task.runs[index], job.recordings.pop(index)
        ended = self._paired(run, recording.measurements, ended)
        score = ledger.end(study, recording, ended)
        study.answers[run] = score
        self._trained.add(study)
        if ended.error is not None:
            study.error = f"the run lr={run.lr:.3g} seed={run.seed} failed: {ended.error}"
        return RunEnded(run=run, score=score, reused=False)

    def _paired(self, run: Run, measurements: Sequence[Measurement], ended: Ended) -> Ended:
        """Fail a run that did not start where the others of its seed did: their comparison would not be one."""
        if not measurements:
            return ended
        loss = measurements[0].values["validation/loss"]
        first, optimizer = self._initial_losses.setdefault((run.benchmark, run.seed), (loss, run.optimizer))
        if math.isclose(loss, first, rel_tol=1e-5):
            return ended
        problem = f"validation loss at step 0 is {loss:.6g}, but {first:.6g} with {optimizer}: it must depend on the seed alone"
        return replace(ended, outcome="failed", error=problem)


def _discard(job: _Job) -> None:
    for recording in job.recordings.values():
        recording.discard()
