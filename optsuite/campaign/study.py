"""One study of a campaign: the generator that asks for runs, the answers to it, and its own run in the store."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from optsuite.campaign.prepare import Problem
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.execution.pool import Task
from optsuite.schedules import schedule_name
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.store import MACHINE, VERSIONS
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import digest
from optsuite.training.machine import machine_class
from optsuite.training.results import Measurement, Run, RunScore, penalized
from optsuite.tuning.protocol import Requests
from optsuite.tuning.search import SEARCH, Proposals, Tuned

STARTING_SECONDS = 60.0  # what a worker may take to import, to load the suite, and to be scheduled on a busy machine
TIMEOUT_FACTOR = 20.0  # than estimated is still believed to be training: optimizers differ, and so do hours of a machine
Curves = Mapping[str, Mapping[int, float]]


@dataclass(eq=False)
class Study:
    """The state of one study while its campaign goes on.

    `ask` makes the generator that asks for its runs, which has been answered up to `requested`. `reuse` says in what way the
    results that it takes from the store are not bit for bit those of this machine, empty where they are. `proposals` are those
    of its search, which earlier starts may have made.
    """

    problem: Problem
    spec: OptimizerSpec
    suite: Suite
    ask: Callable[[], Requests]
    device: str
    n_runs: int
    is_manual: bool = False
    reuse: str = ""
    proposals: Proposals = field(default_factory=Proposals)
    requested: list[Run] = field(default_factory=list)
    answers: dict[Run, RunScore] = field(default_factory=dict)
    tuned: Tuned | None = None
    ended: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        self.definition = self.problem.definition(self.spec.name)
        self.former = self.problem.former.get(self.spec.name)
        self.plan = self.problem.plans[self.spec.name]
        self.restart()

    def restart(self) -> None:
        """Begin again, without any answer."""
        self._requests = self.ask()
        self.requested, self.answers = [], {}
        self.tuned, self.ended, self.error = None, False, None
        self.advance()

    def use_plain(self, reason: str) -> None:
        """Begin again by the plain loop, as the study's stacked runs are not to be trusted."""
        self.plan = replace(self.plan, engine="plain", max_stack=1, reason=reason)
        self.restart()

    @property
    def name(self) -> tuple[str, str]:
        """The benchmark and the optimizer."""
        return self.problem.benchmark.name, self.spec.name

    @property
    def lr(self) -> float | None:
        """The rate that was tuned or given; None when the study has not come so far."""
        if self.is_manual:
            return self.requested[0].lr
        return self.tuned.lr if self.tuned else None

    @property
    def identity(self) -> Fingerprint:
        """The fingerprint of the study's own run: what it does, its interval and budget."""
        return self.definition.named(digest(*self.own_task(self.budget())), engine=self.plan.engine)

    def own_task(self, budget: Mapping[str, object]) -> tuple[object, ...]:
        """What determines the study's own run besides its definition, with this budget."""
        spec = self.spec
        searched = (SEARCH, spec.lr.low, spec.lr.high, spec.default_lr, spec.special_cases)
        return ("study", *searched, *budget.values())

    def task(
        self,
        id: int,
        runs: tuple[Run, ...],
        *,
        priority: int = 0,
        plain: bool = False,
        until: int | None = None,
    ) -> Task:
        """What a worker is asked for to train runs of the study: as planned, or by the plain loop."""
        engine = "plain" if plain else self.plan.engine
        n_trained = max(len(runs), 1 if plain else self.plan.smallest_stack)
        return Task(
            id=id,
            priority=priority,
            engine=engine,
            definition=self.definition,
            runs=runs,
            timeout_seconds=STARTING_SECONDS
            + TIMEOUT_FACTOR * self.problem.seconds_to_report(n_trained),
            memory_bytes=replace(self.plan, engine=engine).stack_bytes(len(runs)),
            until=until,
        )

    def fingerprint(self, run: Run) -> Fingerprint:
        """What determines one of the study's runs."""
        return self.definition.fingerprint(run, engine=self.plan.engine)

    def advance(self) -> None:
        """Hand the generator its answers, once all are there, and take its next request."""
        while not self.ended and all(run in self.answers for run in self.requested):
            scores = [self.answers[run] for run in self.requested]
            if any(score.outcome == "failed" for score in scores):
                self.stop()
                return
            try:
                self.requested = (
                    self._requests.send(scores) if self.requested else next(self._requests)
                )
            except StopIteration as stop:
                self.tuned, self.ended = stop.value, True

    def stop(self, error: str = "") -> None:
        """End the study although it has not been answered: what it asks for cannot be had."""
        self.ended, self.error = True, error or self.error or "a run failed"

    def params(self) -> dict[str, object]:
        """What the store is told of every run of the study, and of the study itself."""
        benchmark = self.problem.benchmark
        return {
            "optimizer": self.spec.name,
            "batch_size": benchmark.batch_size,
            "max_steps": benchmark.max_steps,
            "eval_every": benchmark.eval_every,
            **({"target": str(benchmark.target)} if benchmark.target else {}),
            "dtype": self.problem.dtype,
            **({"cast": self.problem.cast} if self.problem.cast else {}),
            "device": self.device,
            "engine": self.plan.engine,
            **({"engine_reason": self.plan.reason} if self.plan.reason else {}),
            "schedule": schedule_name(self.spec.schedule),
            "machine": MACHINE,
            "machine_class": machine_class(self.device),
            **VERSIONS,
            **self.spec.fixed,
        }

    def budget(self) -> dict[str, object]:
        """The part of the protocol that must be the same for all optimizers of a table."""
        suite = self.suite
        numbers = {
            "n_trials": suite.n_trials,
            "n_tuning_seeds": suite.n_tuning_seeds,
            "n_seeds": suite.n_seeds,
        }
        return numbers | {"tolerance": suite.tolerance}

    def result_params(self) -> dict[str, object]:
        """What the study found out, as params."""
        assert self.tuned is not None
        interval = self.tuned.interval
        found: dict[str, object] = {
            "lr": self.tuned.lr,
            "lr_low": interval.low,
            "lr_high": interval.high,
            "at_edge": self.tuned.at_edge,
        }
        if self.tuned.n_tied > 1:
            found["n_tied"] = self.tuned.n_tied
        return found | (
            {"includes": json.dumps(self.spec.special_cases)} if self.spec.special_cases else {}
        )

    def evaluations(self) -> list[Run]:
        """The evaluations at the tuned or given rate, once they have been asked for."""
        return [run for run in self.requested if run.arm in ("tuned", "manual")]

    def score(self) -> float:
        """The interquartile mean of these evaluations' scores, a diverged run counting its penalty; nan without any."""
        return interquartile_mean(penalized([self.answers[run] for run in self.evaluations()]))

    def median_curves(self, curves: Mapping[Run, Curves]) -> list[Measurement]:
        """The median over the tuned evaluations at each step, where it is finite; a run that has diverged is infinitely bad."""
        now, steps = (
            time.time(),
            sorted({s for c in curves.values() for curve in c.values() for s in curve}),
        )
        names = sorted({name for c in curves.values() for name in c})
        measurements = []
        for step in steps:
            values = {
                name: float(
                    np.median([c.get(name, {}).get(step, _worst(name)) for c in curves.values()])
                )
                for name in names
            }
            finite = {name: value for name, value in values.items() if np.isfinite(value)}
            measurements.append(Measurement(step=step, values=finite, time=now))
        return measurements


def _worst(curve: str) -> float:
    return np.inf if curve.endswith("/loss") else -np.inf


def curves_of(measurements: Iterable[Measurement]) -> Curves:
    """The measurements of a run by curve name and step."""
    curves: dict[str, dict[int, float]] = {}
    for m in measurements:
        for name, value in m.values.items():
            curves.setdefault(name, {})[m.step] = value
    return curves
