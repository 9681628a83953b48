"""The guard of stacked training: of every stacked study, one evaluation is trained again by the plain loop."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from optsuite.campaign.study import Study
from optsuite.execution.pool import Task
from optsuite.training.equivalence.agreement import differ, outgrown, parted
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.results import Measurement, Run

SHARE = 1 / 50  # of what the study's training took
PLAIN_COST = 2.0  # a step of the plain loop takes that many times a stacked one's share; FACTS of make speed: 1.5 to 2.4
# Rounding may throw a run off its course at once: a unit of a ReLU that is at zero passes or does not. A run parted from
# such a cause in 3 of 108 (12 at each tuned rate of `smoke`, one nudge, 2026-11-26, torch 2.15), a stack that errs in all.
RUNS = 3  # have to part before a stack is refused
NUDGES = 4  # of each are tried
Curve = Sequence[Measurement]
Stored = Callable[[Mapping[Fingerprint, Study]], Mapping[Fingerprint, Curve]]


@dataclass
class Guard:
    """One study under comparison: the run under way by the plain loop, beside what its stack has measured.

    `waiting` are the evaluations that are trained as well where those before have parted.
    """

    study: Study
    task: Task
    stacked: Curve
    waiting: list[tuple[Run, Curve]]
    plain: list[Measurement] = field(default_factory=list)
    nudged: list[list[Measurement]] = field(default_factory=list)
    parted: list[str] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        """Take in what the run under way has measured."""
        (self.nudged[-1] if self.nudged else self.plain).append(measurement)

    def advance(self, ids: Iterator[int]) -> bool:
        """Take the next run where those before do not suffice to judge; False where they do."""
        until = self.task.until
        stacked = [m for m in self.stacked if until is None or m.step <= until]
        reason = parted(self.plain, stacked)
        if not reason and differ(self.plain, stacked):
            reason = outgrown(self.plain, self.nudged, stacked) if self.nudged else "not nudged"
            if reason and len(self.nudged) < NUDGES:
                self.nudged.append([])
                self.task = replace(self.task, id=next(ids), nudge=len(self.nudged))
                return True
        if not reason:
            self.parted = []
            return False
        self.parted.append(
            f"at lr={self.task.runs[0].lr:.3g}, seed {self.task.runs[0].seed}, {reason}"
        )
        if not self.waiting:
            return False
        run, self.stacked = self.waiting.pop()
        self.plain, self.nudged = [], []
        self.task = replace(self.task, id=next(ids), runs=(run,), nudge=0)
        return True

    @property
    def reason(self) -> str:
        """What stands against the stack, in a clause; empty where one of its runs agrees."""
        return self.parted[0] if self.parted else ""


class Guards:
    """Chooses what is compared of a study, and remembers what was measured until then."""

    def __init__(self, stored: Stored, ids: Iterator[int]) -> None:
        """`stored` reads curves by fingerprint; `ids` numbers tasks."""
        self._stored = stored
        self._ids = ids
        self._measured: dict[Study, dict[Run, Curve]] = {}

    def remember(self, study: Study, run: Run, curve: Curve) -> None:
        """Keep what an evaluation has measured, of a study that is stacked."""
        if study.plan.stacks and run.arm in ("tuned", "manual"):
            self._measured.setdefault(study, {})[run] = curve

    def forget(self, study: Study) -> None:
        """The study is over."""
        self._measured.pop(study, None)

    def guard(self, study: Study) -> Guard | None:
        """The comparison of a study that has ended; None where nothing can be compared."""
        curves = self._measured.get(study) or self._read(study)
        if not curves:
            return None
        chosen = random.SystemRandom().sample(list(curves.items()), k=min(RUNS, len(curves)))
        run, curve = chosen.pop()
        task = study.task(next(self._ids), (run,), plain=True, until=_furthest(study))
        return Guard(study, task, curve, chosen)

    def _read(self, study: Study) -> Mapping[Run, Curve]:
        """The evaluations of a study that was answered from the store."""
        by_fingerprint = {study.fingerprint(run): run for run in study.evaluations()}
        found = self._stored(dict.fromkeys(by_fingerprint, study))
        return {by_fingerprint[fingerprint]: curve for fingerprint, curve in found.items() if curve}


def _furthest(study: Study) -> int:
    """The last measurement that SHARE of the study's training pays for, the second after step 0 at least."""
    benchmark = study.problem.benchmark
    runs_paid_for = SHARE * study.n_runs / PLAIN_COST
    steps = int(runs_paid_for * benchmark.max_steps) // benchmark.eval_every * benchmark.eval_every
    return min(benchmark.max_steps, max(steps, 2 * benchmark.eval_every))
