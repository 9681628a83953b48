"""The guard of stacked training: the plain loop repeats an evaluation of every stacked study."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from optsuite.campaign.stored_curves import Curve, ReadCurves, furthest_step
from optsuite.campaign.study import Study
from optsuite.execution.pool import Task
from optsuite.training.equivalence.agreement import (
    differ,
    disagreement,
    disagreement_beyond_rounding,
)
from optsuite.training.results import Measurement, Run

SHARE = 1 / 50  # of the cost of the study's training
# The cost of a plain step, relative to a stacked run's share; `make speed` measured 1.5 to 2.4.
PLAIN_COST = 2.0
# Rounding alone can divert a run at once, if a ReLU unit at zero passes or does not. That happened
# in 3 of 108 runs (12 at each tuned rate of `smoke`, one perturbation, 2026-11-26, torch 2.15);
# with a faulty stack, all runs disagree.
RUNS = 3  # must disagree before a stack is refused
N_PERTURBED = 4  # are tried for each run


@dataclass
class Guard:
    """One study under comparison: a run in the plain loop beside the curve from its stack.

    `waiting` are evaluations to train next if those before have disagreed.
    """

    study: Study
    task: Task
    stacked: Curve
    waiting: list[tuple[Run, Curve]]
    plain: list[Measurement] = field(default_factory=list)
    perturbed: list[list[Measurement]] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        """Record a measurement of the current run."""
        curve = self.perturbed[-1] if self.perturbed else self.plain
        curve.append(measurement)

    def advance(self, ids: Iterator[int]) -> bool:
        """Switch to the next run if more are needed, else return False."""
        until = self.task.until
        stacked = [m for m in self.stacked if until is None or m.step <= until]
        reason = disagreement(self.plain, stacked)
        if not reason and differ(self.plain, stacked):
            reason = self._unexplained(stacked)
            if reason and len(self.perturbed) < N_PERTURBED:
                self.perturbed.append([])
                self.task = replace(self.task, id=next(ids), perturbation=len(self.perturbed))
                return True
        if not reason:
            self.disagreements = []
            return False
        return self._advance_run(reason, ids)

    def _unexplained(self, stacked: Curve) -> str:
        """Where the stack differs by more than perturbed runs do, as a clause, or empty."""
        if not self.perturbed:
            return "no perturbed run has been trained yet"
        return disagreement_beyond_rounding(self.plain, self.perturbed, stacked)

    def _advance_run(self, reason: str, ids: Iterator[int]) -> bool:
        """Note that the run disagrees, and switch to the next one; return False if none is left."""
        run = self.task.runs[0]
        self.disagreements.append(f"at lr={run.lr:.3g}, seed {run.seed}, {reason}")
        if not self.waiting:
            return False
        run, self.stacked = self.waiting.pop()
        self.plain, self.perturbed = [], []
        self.task = replace(self.task, id=next(ids), runs=(run,), perturbation=0)
        return True

    @property
    def reason(self) -> str:
        """What is wrong with the stack, in a clause; empty if one of its runs agrees."""
        return self.disagreements[0] if self.disagreements else ""


class Guards:
    """Chooses which run of a study is compared, and keeps curves until then."""

    def __init__(self, stored: ReadCurves, ids: Iterator[int]) -> None:
        """`stored` reads curves by fingerprint; `ids` numbers tasks."""
        self._stored = stored
        self._ids = ids
        self._measured: dict[Study, dict[Run, Curve]] = {}

    def remember(self, study: Study, run: Run, curve: Curve) -> None:
        """Keep the curve of an evaluation, if its study is stacked."""
        if study.plan.stacks and run.arm in ("tuned", "manual"):
            self._measured.setdefault(study, {})[run] = curve

    def forget(self, study: Study) -> None:
        """Drop the curves of a study."""
        self._measured.pop(study, None)

    def guard(self, study: Study) -> Guard | None:
        """The comparison of an ended study; None if there is nothing to compare."""
        curves = self._measured.get(study) or self._read(study)
        if not curves:
            return None
        n_chosen = min(RUNS, len(curves))
        chosen = random.SystemRandom().sample(list(curves.items()), k=n_chosen)
        run, curve = chosen.pop()
        share = SHARE * study.n_runs / PLAIN_COST
        until = furthest_step(study, share, n_measurements=2)
        task = study.task(next(self._ids), (run,), plain=True, until=until)
        return Guard(study, task, curve, chosen)

    def _read(self, study: Study) -> Mapping[Run, Curve]:
        """The curves of evaluations that came from the store."""
        by_fingerprint = {study.fingerprint(run): run for run in study.evaluations()}
        found = self._stored(dict.fromkeys(by_fingerprint, study))
        curves = {}
        for fingerprint, curve in found.items():
            if curve:
                curves[by_fingerprint[fingerprint]] = curve
        return curves
