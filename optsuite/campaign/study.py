"""One study of a campaign: its generator of requests, the answers, and what the store is told."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from optsuite.campaign.code_line import code_line
from optsuite.campaign.prepare import Problem
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import BUDGET, FIRST_SEED, FIRST_TUNING_SEED, Suite
from optsuite.execution.pool import Task
from optsuite.schedules import schedule_name
from optsuite.statistics.seeds import interquartile_mean
from optsuite.tracking.store import MACHINE, VERSIONS
from optsuite.training.fingerprint import Fingerprint
from optsuite.training.identity import digest
from optsuite.training.machine import machine_class
from optsuite.training.results import Run, RunScore, penalized
from optsuite.tuning.confirmation import CONFIRMATION
from optsuite.tuning.protocol import Requests, more_runs
from optsuite.tuning.search import SEARCH, Proposals, Tuned

# A worker imports, loads the suite, and may have to wait on a busy machine.
STARTING_SECONDS = 60.0
# Times the estimate until a worker counts as hung: optimizers differ in speed, machines in load.
TIMEOUT_FACTOR = 20.0
# Parts of the budget since 0.4, and the values that leave the identity of a study as it was before.
LATER: Mapping[str, object] = {
    "n_confirmation_seeds": 0,
    "max_seeds": 0,
    "first_seed": FIRST_SEED,
    "first_tuning_seed": FIRST_TUNING_SEED,
}


@dataclass(eq=False)
class Study:
    """The state of one study while its campaign runs.

    `ask` makes the generator of requests; `requested` is the latest one. `reuse` marks how results
    from the store differ from this machine's, empty if they are bitwise equal. `proposals` are the
    rates that its search has proposed, in this start or an earlier one. At its `looks` its
    benchmark's verdicts decide whether it is evaluated on more seeds; it is `settled` once not.
    While it is `under_guard`, its end does not count yet.
    """

    problem: Problem
    spec: OptimizerSpec
    suite: Suite
    ask: Callable[[], Requests]
    device: str
    n_runs: int
    looks: tuple[int, ...] = ()
    is_manual: bool = False
    reuse: str = ""
    proposals: Proposals = field(default_factory=Proposals)
    requested: list[Run] = field(default_factory=list)
    answers: dict[Run, RunScore] = field(default_factory=dict)
    tuned: Tuned | None = None
    ended: bool = False
    settled: bool = False
    under_guard: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        self.definition = self.problem.definition(self.spec.name)
        self.former = self.problem.former.get(self.spec.name)
        self.plan = self.problem.plans[self.spec.name]
        self._n_first = self.n_runs
        self.restart()

    def restart(self) -> None:
        """Start over, without answers."""
        self._requests = self.ask()
        self.requested = []
        self.answers = {}
        self.n_runs = self._n_first
        self.tuned = None
        self.ended = self.settled = self.under_guard = False
        self.error = None
        self.advance()

    def use_plain(self, reason: str) -> None:
        """Start over in the plain loop, because the study's stacked runs cannot be trusted."""
        self.plan = replace(self.plan, engine="plain", max_stack=1, reason=reason)
        self.restart()

    @property
    def name(self) -> tuple[str, str]:
        """The benchmark and the optimizer."""
        return self.problem.benchmark.name, self.spec.name

    @property
    def lr(self) -> float | None:
        """The rate that was tuned or given by hand; None while it is not tuned."""
        if self.is_manual:
            return self.requested[0].lr
        return self.tuned.lr if self.tuned else None

    @property
    def n_unneeded(self) -> int:
        """How many of its expected runs a tuned study did without."""
        return self.n_runs - len(self.answers) if self.tuned else 0

    @property
    def identity(self) -> Fingerprint:
        """The fingerprint of the study's own run: its definition, interval and budget."""
        own_task = self.own_task(self.budget())
        return self.definition.named(digest(*own_task), engine=self.plan.engine)

    def own_task(self, budget: Mapping[str, object]) -> tuple[object, ...]:
        """What determines the study's own run besides its definition, with this budget."""
        spec = self.spec
        searched = (SEARCH, spec.lr.low, spec.lr.high, spec.default_lr, spec.special_cases)
        first = [number for name, number in budget.items() if name not in LATER]
        changed = [name for name, before in LATER.items() if budget.get(name, before) != before]
        later = [f"{name}={budget[name]}" for name in changed]
        if "n_confirmation_seeds" in changed:
            later.append(f"confirmation={CONFIRMATION}")
        return ("study", *searched, *first, *later)

    def task(
        self,
        id: int,
        runs: tuple[Run, ...],
        *,
        priority: int = 0,
        plain: bool = False,
        until: int | None = None,
    ) -> Task:
        """A task for a worker: train runs as planned, or in the plain loop."""
        engine, smallest = self.plan.engine, self.plan.smallest_stack
        if plain:
            engine, smallest = "plain", 1
        seconds = self.problem.seconds_to_report(max(len(runs), smallest))
        return Task(
            id=id,
            priority=priority,
            engine=engine,
            definition=self.definition,
            runs=runs,
            timeout_seconds=STARTING_SECONDS + TIMEOUT_FACTOR * seconds,
            memory_bytes=replace(self.plan, engine=engine).stack_bytes(len(runs)),
            until=until,
        )

    def fingerprint(self, run: Run) -> Fingerprint:
        """The fingerprint of one of the study's runs."""
        return self.definition.fingerprint(run, engine=self.plan.engine)

    def advance(self) -> None:
        """Once all answers are there, send them to the generator and take its next request."""
        while not self.ended and all(run in self.answers for run in self.requested):
            scores = [self.answers[run] for run in self.requested]
            if any(score.outcome == "failed" for score in scores):
                self.stop()
                return
            if self.tuned is not None:  # these were more seeds for a verdict
                self.ended = True
                return
            try:
                if self.requested:
                    self.requested = self._requests.send(scores)
                else:
                    self.requested = next(self._requests)
            except StopIteration as stop:
                self.tuned, self.ended = stop.value, True

    def add_seeds(self, n_seeds: int) -> int:
        """Evaluate the tuned rate on more seeds, up to this number; return how many these are."""
        more = more_runs(self.evaluations(), n_seeds)
        self.requested = [*self.requested, *more]
        self.n_runs += len(more)
        self.ended = False
        return len(more)

    def stop(self, error: str = "") -> None:
        """End the study without all answers, because a run cannot be trained."""
        self.ended = True
        self.error = error or self.error or "a run failed"

    def params(self) -> dict[str, object]:
        """The params of the study and of every run of it."""
        benchmark = self.problem.benchmark
        params: dict[str, object] = {
            "optimizer": self.spec.name,
            "batch_size": benchmark.batch_size,
            "max_steps": benchmark.max_steps,
            "eval_every": benchmark.eval_every,
        }
        if benchmark.target:
            params["target"] = str(benchmark.target)
        params["dtype"] = self.problem.dtype
        if self.problem.cast:
            params["cast"] = self.problem.cast
        params["device"] = self.device
        params["engine"] = self.plan.engine
        if self.plan.reason:
            params["engine_reason"] = self.plan.reason
        params["schedule"] = schedule_name(self.spec.schedule)
        params["machine"] = MACHINE
        params["machine_class"] = machine_class(self.device)
        return params | VERSIONS | dict(self.spec.fixed)

    def budget(self) -> dict[str, object]:
        """The part of the protocol that must be the same for all optimizers of a table."""
        names = (*BUDGET, "tolerance", "first_seed", "first_tuning_seed")
        return {name: getattr(self.suite, name) for name in names}

    def result_params(self) -> dict[str, object]:
        """The results of the tuning, as params."""
        assert self.tuned is not None
        interval = self.tuned.interval
        found: dict[str, object] = {
            "lr": self.tuned.lr,
            "lr_low": interval.low,
            "lr_high": interval.high,
            "at_edge": self.tuned.at_edge,
        }
        code = code_line(self.spec, self.tuned.lr)
        if code:
            found["code"] = code
        if self.tuned.n_tied > 1:
            found["n_tied"] = self.tuned.n_tied
        if self.tuned.n_confirmed:
            found["n_confirmed"] = self.tuned.n_confirmed
        if len(self.looks) > 1:
            found["n_evaluated"] = len(self.evaluations())
        if self.spec.special_cases:
            found["includes"] = json.dumps(self.spec.special_cases)
        return found

    def evaluations(self) -> list[Run]:
        """The evaluations at the tuned or given rate, once they are requested."""
        return [run for run in self.requested if run.arm in ("tuned", "manual")]

    def score(self) -> float:
        """The interquartile mean of `evaluations`, diverged ones with penalties; nan if none."""
        scores = [self.answers[run] for run in self.evaluations()]
        return interquartile_mean(penalized(scores))
