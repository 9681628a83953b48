"""The contract of every optimizer, independent of its rule."""

import math
import tempfile
from pathlib import Path
from typing import ClassVar

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.testing.problem import CLUSTERS
from optsuite.testing.training import (
    Curve,
    expect,
    fitted_splits,
    rates_of,
    shortened,
    train,
    train_one,
)
from optsuite.training.checkpoint import Checkpoints
from optsuite.training.fingerprint import Environment, Fingerprint
from optsuite.training.plan import plan
from optsuite.training.validation.definitions import check_pair

HUGE_LR = 1e30  # float32 can represent it, but hardly a weight after such a step
CLOSE = {"rel_tol": 1e-3, "abs_tol": 1e-6}  # engines differ in rounding, which training amplifies
NOWHERE = Environment(benchmark="0" * 16, optimizer="0" * 16, engine="plain")
RUN = Fingerprint(benchmark="0" * 16, optimizer="0" * 16, run="0" * 16, environment=NOWHERE)


class OptimizerContract:
    """Set `spec` in a subclass.

    It is trained on `benchmark`, for at most `n_steps`. `can_diverge` is False for an optimizer
    with bounded steps, such as Rprop. `saves_checkpoints` is False for one whose `state_dict` is
    incomplete, so that a killed run starts over.
    """

    spec: ClassVar[OptimizerSpec]
    benchmark: ClassVar[Benchmark] = CLUSTERS
    n_steps: ClassVar[int] = 60
    can_diverge: ClassVar[bool] = True
    saves_checkpoints: ClassVar[bool] = True

    @property
    def problem(self) -> Benchmark:
        """The benchmark with the budget of the contract."""
        return shortened(self.benchmark, self.n_steps)

    def test_build_and_step_are_accepted(self) -> None:
        """It is built without changing the weights of the model, and makes a step."""
        check_pair(self.problem, self.spec, fitted_splits(self.problem))

    def test_same_seed_gives_same_curve(self) -> None:
        """A run does not depend on earlier runs in the process."""
        lr = rates_of(self.spec)[0]
        splits = fitted_splits(self.problem)
        first, _, again = train(self.problem, self.spec, splits, [(lr, 0), (lr, 1), (lr, 0)])
        expect(not first.error, first.error)
        expect(first.curve == again.curve, f"seed 0 gave two curves at lr={lr:g}")

    def test_some_rate_beats_initial_loss(self) -> None:
        """Its default, or a rate of the interval, makes the validation loss at least 1 % lower."""
        rates = rates_of(self.spec)
        splits = fitted_splits(self.problem)
        trained = train(self.problem, self.spec, splits, [(lr, 0) for lr in rates])
        errors = [run.error for run in trained if run.error]
        expect(not errors, "; ".join(errors))
        tried = ", ".join(f"{lr:.3g}" for lr in rates)
        improved = any(run.has_improved for run in trained)
        expect(improved, f"no rate of {tried} made the validation loss 1 % lower")

    def test_huge_rate_diverges_without_exception(self) -> None:
        """Divergence is an outcome: the loss becomes infinite or NaN, and nothing is raised."""
        splits = fitted_splits(self.problem)
        (run,) = train(self.problem, self.spec, splits, [(HUGE_LR, 0)])
        expect(run.score.outcome != "failed", f"lr={HUGE_LR:g} raised {run.error}")
        if self.can_diverge:
            hint = "set can_diverge = False if its steps are bounded"
            found = run.score.outcome
            expect(found == "diverged", f"lr={HUGE_LR:g}: got {found}, not diverged; {hint}")

    def test_stacked_equals_plain_or_falls_back_with_reason(self) -> None:
        """If runs can be stacked, they train as they do one by one."""
        splits = fitted_splits(self.problem)
        chosen = plan(self.problem, self.spec, splits, device="cpu", engine="stacked")
        if chosen.engine == "plain":
            expect(bool(chosen.reason), "its runs are not stacked, and no reason is given")
            return
        rates = (self.spec.lr.low, rates_of(self.spec)[0])
        runs = [(lr, seed) for lr in rates for seed in (0, 1)]
        plain = train(self.problem, self.spec, splits, runs)
        stacked = train(self.problem, self.spec, splits, runs, engine=chosen.engine)
        for (lr, seed), one, other in zip(runs, plain, stacked, strict=True):
            step = _first_difference(one.curve, other.curve)
            expect(not step, f"lr={lr:g} seed={seed}: stacked and plain runs differ at {step}")

    def test_run_resumed_from_checkpoint_has_same_curve(self) -> None:
        """A run that is killed halfway and resumed has the curve of an uninterrupted one."""
        problem = self.problem
        splits = fitted_splits(problem)
        middle = problem.eval_every * max(1, problem.max_steps // problem.eval_every // 2)
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(folder=Path(folder), every=max(1, middle // 3))
            never = Checkpoints(folder=Path(folder), every=problem.max_steps + 1).of(RUN)
            expected = train_one(problem, self.spec, splits, checkpoint=never)
            train_one(problem, self.spec, splits, checkpoint=checkpoints.of(RUN), until=middle)
            is_saved = any(Path(folder).glob(f"{RUN}.pt"))
            resumed = train_one(problem, self.spec, splits, checkpoint=checkpoints.of(RUN))
        expect(resumed == expected, "the resumed run has another curve")
        if self.saves_checkpoints:
            hint = "set saves_checkpoints = False if that is known"
            expect(is_saved, f"no checkpoint could restore it: state_dict lacks some state; {hint}")


def _first_difference(one: Curve, other: Curve) -> str:
    """Where two curves differ by more than rounding; empty if nowhere."""
    if one.keys() != other.keys():
        return "their steps"
    for (step, name), value in one.items():
        if not math.isclose(value, other[step, name], **CLOSE):
            return f"step {step}, {name}: {value:.6g} and {other[step, name]:.6g}"
    return ""
