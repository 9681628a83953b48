"""Checking reused results: one stored run of each study is trained again and compared bit for bit.

An identity covers the code of a definition, but no files, environment variables or weights, and no
library that was patched or rebuilt. Training a run again reveals those.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from optsuite.campaign.events import Event, Heartbeat, ReuseChecked
from optsuite.campaign.stored_curves import Curve, ReadCurves, furthest_step
from optsuite.campaign.stored_runs import StoredRuns
from optsuite.campaign.study import Study
from optsuite.execution.pool import Pool, RunUpdate, TaskLost
from optsuite.training.equivalence.agreement import disagreement, repeats
from optsuite.training.results import Measurement, Run, RunResult

SHARE = 0.03  # of the training that reuse saves, spent on checking a study
POLL_SECONDS = 0.2
OTHER_MACHINE = "other machine"
NOT_REPRODUCIBLE = "not reproducible"


@dataclass
class _Check:
    """One stored run that is trained again, up to the step `until`.

    `trained` holds the curves of its finished trainings, `fresh` the curve of the current one.
    """

    study: Study
    run: Run
    stored: Curve
    until: int
    trained: list[Curve] = field(default_factory=list)
    fresh: list[Measurement] = field(default_factory=list)
    error: str = ""
    is_lost: bool = False


@dataclass(frozen=True, kw_only=True)
class ReuseDecision:
    """The result of checking a study: whether to `keep` its results, their mark, a line for people.

    With an `error`, the run can no longer be trained. The study stops, but its results are kept.
    """

    keep: bool
    mark: str = ""
    line: str = ""
    error: str = ""


class ReuseCheck:
    """Trains one stored run of each study again, in the pool that will train the rest."""

    def __init__(
        self, stored_runs: StoredRuns, stored: ReadCurves, pool: Pool, ids: Iterator[int]
    ) -> None:
        """`stored` reads curves by fingerprint; `ids` numbers tasks."""
        self._stored_runs = stored_runs
        self._stored = stored
        self._pool = pool
        self._ids = ids
        self._checks: dict[int, _Check] = {}
        self.decisions: dict[Study, ReuseDecision] = {}

    def run(self, studies: Sequence[Study], stop: Callable[[], bool]) -> Iterator[Event]:
        """Check all studies that were answered from the store, and collect `verdicts`."""
        draw = random.SystemRandom()  # unpredictable: nothing can prepare for the chosen run
        drawn = {study: draw.choice(list(study.answers)) for study in studies if study.answers}
        if not drawn:
            return
        curves = self._stored({study.fingerprint(run): study for study, run in drawn.items()})
        for study, run in drawn.items():
            stored = curves.get(study.fingerprint(run), ())
            share = SHARE * len(study.answers) / study.plan.smallest_stack
            until = furthest_step(study, share, n_measurements=1)
            self._submit(_Check(study, run, stored, until))
        while self._checks and not stop():
            yield Heartbeat()
            for event in self._pool.poll(POLL_SECONDS):
                self._receive(event)
        for task in self._checks:
            self._pool.cancel(task)
        self._checks = {}
        yield self._result()

    def _result(self) -> ReuseChecked:
        n_same = 0
        lines = []
        for decision in self.decisions.values():
            if decision == ReuseDecision(keep=True):
                n_same += 1
            elif decision.line:
                lines.append(decision.line)
        return ReuseChecked(n_same=n_same, findings=tuple(lines))

    def _submit(self, check: _Check) -> None:
        study = check.study
        task = study.task(next(self._ids), (check.run,), until=check.until)
        check.fresh, check.error = [], ""
        self._checks[task.id] = check
        self._pool.submit(task)

    def _receive(self, event: RunUpdate | TaskLost) -> None:
        check = self._checks.get(event.task)
        if check is None:
            return
        if isinstance(event, TaskLost):
            del self._checks[event.task]
            self._lose(check, event.reason)
        elif isinstance(event.update, RunResult):
            del self._checks[event.task]
            check.error = event.update.error or ""
            check.trained.append(check.fresh)
            self._judge(check)
        else:
            check.fresh.append(event.update)

    def _lose(self, check: _Check, reason: str) -> None:
        if not check.is_lost:
            check.is_lost = True
            self._submit(check)
            return
        line = f"{_name(check)}: reused results could not be checked: {reason}"
        self.decisions[check.study] = ReuseDecision(keep=True, line=line)

    def _judge(self, check: _Check) -> None:
        """Decide on a study, or train its run once more to see whether it repeats here at all."""
        if check.error:
            label = check.run.label
            error = f"a stored run cannot be repeated: {label} failed: {check.error}"
            self.decisions[check.study] = ReuseDecision(keep=True, error=error)
            return
        first = check.trained[0]
        stored = [m for m in check.stored if m.step <= check.until]
        ends_alike = len(first) == len(stored)
        if ends_alike and repeats(stored, first):
            self.decisions[check.study] = ReuseDecision(keep=True)
            return
        beyond_noise = disagreement(stored, first)
        if not beyond_noise and not ends_alike:
            beyond_noise = "it ends at another step"
        mark, is_here = self._stored_runs.reuse_of(check.study)
        if mark and is_here and not beyond_noise:
            self.decisions[check.study] = ReuseDecision(keep=True, mark=mark)
        elif len(check.trained) < 2:
            self._submit(check)
        else:
            self.decisions[check.study] = self._decide(check, beyond_noise)

    def _decide(self, check: _Check, beyond_noise: str) -> ReuseDecision:
        """The verdict after two new trainings of a run that differ from the stored one."""
        name, run = _name(check), check.run
        elsewhere = self._stored_runs.trained_elsewhere(check.study, run)
        if not beyond_noise and not repeats(*check.trained):
            line = (
                f"{name}: not reproducible on this device: two trainings of one run differ, but "
                "agree with the store within noise; its results are kept"
            )
            return ReuseDecision(keep=True, mark=NOT_REPRODUCIBLE, line=line)
        if not beyond_noise and elsewhere:
            line = (
                f"{name}: stored results come from another machine ({elsewhere}) and agree within "
                "float noise; they are kept"
            )
            return ReuseDecision(keep=True, mark=OTHER_MACHINE, line=line)
        cause = beyond_noise
        if not cause:
            cause = "it differs by float noise, though it was trained on such a machine"
        line = (
            f"{name}: stored results do not repeat ({run.label}: {cause}); "
            "something outside its code has changed, such as a file, the environment or a library; "
            "all of them are trained again"
        )
        return ReuseDecision(keep=False, line=line)


def _name(check: _Check) -> str:
    return " ".join(check.study.name)
