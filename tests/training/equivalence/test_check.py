"""Trials find what a stack would train differently; it is trained plainly or refused."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from suites import tiny
from support import odd_models, odd_optimizers, stateful
from support.checks import BENCHMARK, DEEP, over_parameters, planned, spec
from torch import nn
from torch.optim import Adam

from optsuite import Benchmark, LogUniform
from optsuite.campaign.prepare import prepare
from optsuite.errors import InputError
from optsuite.training import plain
from optsuite.training.equivalence import check
from optsuite.training.equivalence.check import check_repeats
from optsuite.training.equivalence.flat_check import NOT_AS_DECLARED
from optsuite.training.plan import plan

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (stateful.Counter, "its forward changes the attribute calls of Counter"),
        (stateful.Annealed, "its forward changes the attribute passes of Annealed"),
        (stateful.Toggle, "its forward changes the attribute odd of Toggle"),
        (stateful.History, "its forward changes the attribute notes of History"),
        (stateful.Iterated, "its forward changes the attribute scales of Iterated"),
        (stateful.NewBuffer, "its forward reassigns the buffer scale"),
        (stateful.NewInEval, "its forward reassigns the buffer scale"),
        (partial(odd_models.NewData, 3, 1), "its forward reassigns the parameter weight"),
        (odd_models.SomeSteps, "its parameter a.weight has no gradient in some steps"),
        (odd_models.Unused, "its parameter b.weight has no gradient in some steps"),
        (
            odd_models.Unfreezing,
            "its forward changes the attribute weight (frozen or not) of Linear a",
        ),
        (stateful.CachedMask, "its forward changes the attribute mask of CachedMask"),
        (
            stateful.SeldomOnClass,
            "its forward changes the attribute calls of the class SeldomOnClass",
        ),
        (partial(stateful.SeldomInGlobal, 3, 1), "its model keeps state outside of the module"),
        (
            partial(stateful.OnFunction, 3, 1),
            "its forward changes the attribute forward of the class OnFunction",
        ),
        (odd_models.with_backbone, "its models share 0."),
        (odd_models.OwnPermutation, "its stacked runs do not equal plain ones"),
        (
            partial(odd_models.TorchNoise, 3, 1),
            "its forward draws random numbers from torch's generator",
        ),
        (
            partial(odd_models.NumpyNoise, 3, 1),
            "its forward draws random numbers from numpy's generator",
        ),
        (odd_models.PythonDropout, "its forward draws random numbers from Python's generator"),
        (odd_models.OwnGenerator, "its forward changes the attribute draws of OwnGenerator"),
        (odd_models.hooked, "its stacked runs do not equal plain ones"),
        (odd_models.Mixed, "its parameters have more than one dtype"),
    ],
)
def test_model_that_a_stack_would_change_is_trained_plainly(model: Any, reason: str) -> None:
    chosen = planned(replace(BENCHMARK, model=model), spec())
    assert chosen.engine == "plain"
    assert chosen.reason.startswith(reason)
    assert "\n" not in chosen.reason


@pytest.mark.parametrize(
    ("model", "engine", "reason"),
    [
        (stateful.Teacher, "stacked_views", "its parameter t.weight is frozen"),
        (odd_models.Frozen, "stacked_views", "its parameter a.weight is frozen"),
        (partial(odd_models.Clamped, 3, 1), "stacked", ""),
        (stateful.BufferInPlace, "stacked", ""),
        (odd_models.Tied, "stacked", ""),
        (odd_models.normalised, "stacked", ""),
    ],
)
def test_model_that_a_stack_trains_equally_is_stacked(model: Any, engine: str, reason: str) -> None:
    chosen = planned(replace(BENCHMARK, model=model), spec())
    assert (chosen.engine, chosen.reason) == (engine, reason)


def test_weights_clamped_outside_autograd_end_equal_in_both_engines() -> None:
    planned(replace(BENCHMARK, model=partial(odd_models.ClampedData, 3, 1)), spec())


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (over_parameters(odd_optimizers.Lookahead), NOT_AS_DECLARED),
        (over_parameters(partial(odd_optimizers.Lookahead, every=100)), NOT_AS_DECLARED),
        (over_parameters(odd_optimizers.Clipped), NOT_AS_DECLARED),
        (over_parameters(odd_optimizers.TrustRatio), NOT_AS_DECLARED),
        (over_parameters(odd_optimizers.Centralized), NOT_AS_DECLARED),
        (over_parameters(odd_optimizers.Projected), NOT_AS_DECLARED),
        (odd_optimizers.by_width, NOT_AS_DECLARED),
        (odd_optimizers.by_ndim, "its optimizer has 2 parameter groups"),
        (odd_optimizers.by_name, "its optimizer has 6 parameter groups"),
        (odd_optimizers.with_names, "its optimizer knows parameters by name"),
        (odd_optimizers.last_only, "its optimizer does not hold all parameters in their order"),
        (
            odd_optimizers.some_decay,
            "its optimizer depends on the rate or the shapes in more than its steps",
        ),
        (
            odd_optimizers.decay_of_rate,
            "its optimizer depends on the rate or the shapes in more than its steps",
        ),
    ],
)
def test_optimizer_wrongly_declared_lr_linear_steps_each_run_separately(
    build: Any, reason: str
) -> None:
    chosen = planned(DEEP, spec(build))
    assert (chosen.engine, chosen.reason) == ("stacked_views", reason)
    honest = plan(DEEP, spec(build, lr_linear=False), tiny.line(), device="cpu", engine="stacked")
    assert (honest.engine, honest.reason) == ("stacked", "")


def test_optimizer_that_counts_its_steps_is_stacked() -> None:
    assert planned(DEEP, spec(over_parameters(odd_optimizers.WarmedUp))).engine == "stacked"


def test_optimizer_that_draws_random_numbers_is_trained_plainly() -> None:
    assert (
        planned(DEEP, spec(over_parameters(odd_optimizers.Noisy), lr_linear=False)).engine
        == "plain"
    )


@pytest.mark.parametrize(
    "model",
    [stateful.OnClass, partial(stateful.InGlobal, 3, 1), stateful.in_closure()],
    ids=["class", "global", "closure"],
)
@pytest.mark.parametrize("engine", ["plain", "stacked"])
def test_run_that_depends_on_earlier_runs_is_refused(model: Any, engine: str) -> None:
    with pytest.raises(InputError, match="depend on what was trained before"):
        plan(replace(BENCHMARK, model=model), spec(), tiny.line(), device="cpu", engine=engine)


@pytest.mark.parametrize(
    "state",
    [
        {"loss": stateful.RunningLoss()},
        {"metrics": {"error": stateful.RunningMetric()}},
        {"model": partial(stateful.ChangesInputs, 3, 1)},
    ],
    ids=["loss", "metric", "data"],
)
def test_state_that_runs_share_and_change_is_refused(state: dict[str, Any]) -> None:
    splits, original = tiny.line(), tiny.line()
    with pytest.raises(InputError, match="depend on what was trained before"):
        plan(replace(BENCHMARK, **state), spec(), splits, device="cpu")
    assert torch.equal(splits.validation[0], original.validation[0])


def test_loss_with_its_own_tensors_is_stacked() -> None:
    loss = odd_models.WeightedLoss()
    assert planned(replace(BENCHMARK, loss=loss), spec()).engine == "stacked"
    assert loss.weight.dtype == torch.float32


def test_model_that_insists_on_float32_is_tried_in_float32() -> None:
    class Insisting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.float())

    chosen = planned(replace(BENCHMARK, model=partial(Insisting, 3, 1)), spec())
    assert (chosen.engine, chosen.reason) == ("stacked", "")


def test_chaos_at_the_top_rate_is_tolerated() -> None:
    wild = replace(spec(over_parameters(Adam)), lr=LogUniform(low=1e-4, high=10.0))
    chosen = plan(DEEP, wild, tiny.line(), device="cpu", engine="stacked")
    assert (chosen.engine, chosen.reason) == ("stacked", "")


def test_loss_near_zero_repeats_up_to_rounding() -> None:
    chance = random.SystemRandom()
    given = tiny.line()
    exact = given.train[0], given.train[0] @ torch.tensor([[1.0], [-2.0], [3.0]])
    splits = replace(given, train=exact, validation=exact, test=exact)

    def rounded(noise: float) -> Benchmark:
        def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return (outputs - targets).square().mean() + noise * chance.random()

        return replace(BENCHMARK, metrics={}, loss=loss)

    for noise in (0.0, 1e-7):
        check_repeats(rounded(noise), spec(), splits, n_steps=400, device="cpu")
    with pytest.raises(InputError, match="random numbers without a seed"):
        check_repeats(rounded(1e-3), spec(), splits, n_steps=400, device="cpu")


def test_prepare_makes_the_driver_compute_like_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(False)
    prepare(replace(tiny.SUITE, optimizers=(spec(),)), device="cpu", engine="plain")
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_known_plan_needs_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> Iterator[Any]:
        raise AssertionError("trained")

    fresh = plan(BENCHMARK, spec(), tiny.line(), device="cpu", engine="stacked")
    monkeypatch.setattr(plain, "train", refuse)
    monkeypatch.setattr(check, "choose", refuse)
    known = ("stacked", "")
    assert plan(BENCHMARK, spec(), tiny.line(), device="cpu", known=known) == fresh
    refused = plan(BENCHMARK, spec(), tiny.line(), device="cpu", known=("plain", "it disagreed"))
    assert (refused.engine, refused.reason, refused.max_stack) == ("plain", "it disagreed", 1)
    asked = plan(BENCHMARK, spec(), tiny.line(), device="cpu", engine="plain", known=known)
    assert (asked.engine, asked.reason) == ("plain", "as asked")
