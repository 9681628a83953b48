"""Training follows definitions: dtypes, generators, modes, rates, gradients."""

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from suites import tiny
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits
from optsuite.errors import InputError
from optsuite.schedules import cosine
from optsuite.training import plain, stacked
from optsuite.training.identity import identify_benchmark
from optsuite.training.numerics import Fitted, fit, holds
from optsuite.training.plain import initial_model
from optsuite.training.plan import plan
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.train_step import build, set_lr, take_step
from optsuite.training.validation.definitions import check_benchmark, check_pair, check_repeatable

SGD, ADAM = OPTIMIZERS["sgd"], OPTIMIZERS["adam"]
LINE = tiny.line()
INTERVAL = LogUniform(low=1e-4, high=1e0)


@pytest.fixture
def default_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def of(splits: Splits = LINE, **change: Any) -> Benchmark:
    """A variant of the tiny benchmark with these data."""
    benchmark = replace(tiny.BENCHMARK, dataset=lambda: splits, target=None)
    return replace(benchmark, **change)


def mapped(change: Any, splits: Splits = LINE) -> Splits:
    """The splits, inputs and targets changed by a function."""
    return Splits(**{name: change(*split) for name, split in vars(splits).items()})


def final(
    benchmark: Benchmark,
    spec: OptimizerSpec = SGD,
    *,
    lr: float = 0.05,
    engine: Any = plain,
    seed: int = 0,
) -> Any:
    """The last measured values of one run, on the data cast for the model."""
    splits = fit(benchmark, benchmark.dataset(), device="cpu").splits
    run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
    found = engine.train(benchmark, spec, [run], splits)
    updates = [update for index, update in found if index == 0]
    assert updates[-1] == RunResult(outcome="finished"), updates[-1]
    assert isinstance(updates[-2], Measurement)
    return updates[-2].values


def checked(benchmark: Benchmark) -> tuple[str, ...]:
    """The notes on a benchmark. Raises InputError like a command."""
    return check_benchmark(benchmark, fit(benchmark, benchmark.dataset(), device="cpu").splits)


class Recast(nn.Module):
    """A linear layer of a dtype that casts its own inputs."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.a = nn.Linear(3, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x.to(self.a.weight.dtype)).float()  # type: ignore[no-any-return]


class Spectral(nn.Module):
    """A filter with complex weights."""

    def __init__(self, dtype: torch.dtype = torch.complex64) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(9, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * self.w, n=16)  # type: ignore[no-any-return]


def shifted() -> Splits:
    x = torch.randn(96, 16, generator=torch.Generator().manual_seed(0))
    return split_96(x, lambda part: part.roll(3, 1))


def split_96(x: Tensor, targets: Callable[[Tensor], Tensor]) -> Splits:
    """The 96 inputs, 64 of them to train on, with targets that are a function of them."""
    train, validation, test = torch.split(x, [64, 16, 16])
    return Splits(
        train=(train, targets(train)),
        validation=(validation, targets(validation)),
        test=(test, targets(test)),
    )


@pytest.mark.parametrize("engine", [plain, stacked])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_model_trains_in_its_own_dtype(dtype: torch.dtype, engine: Any) -> None:
    seen = set()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets)

    class Watched(Recast):
        def forward(self, x: Tensor) -> Tensor:
            seen.add(self.a.weight.dtype)
            return super().forward(x)

    benchmark = of(model=lambda: Watched(dtype), loss=loss)
    assert final(benchmark, engine=engine)["validation/loss"] < 1.0
    assert seen == {dtype}
    fitted = fit(benchmark, LINE, device="cpu")
    assert fitted == Fitted(splits=fitted.splits, dtype=str(dtype).removeprefix("torch."))


def test_float64_run_equals_a_handwritten_float64_loop() -> None:
    benchmark = of(model=lambda: nn.Linear(3, 1, dtype=torch.float64), max_steps=4, eval_every=4)
    splits = mapped(lambda x, y: (x.double(), y.double()))
    model = initial_model(benchmark, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    batches = plain.batch_indices(64, benchmark, 0)
    total = 0.0
    for _ in range(4):
        batch = next(batches)
        optimizer.zero_grad()
        loss = F.mse_loss(model(splits.train[0][batch]), splits.train[1][batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    found = final(replace(benchmark, dataset=lambda: splits))
    assert found["train/loss"] == pytest.approx(total / 4, rel=1e-15)
    x, y = splits.validation
    assert found["validation/loss"] == F.mse_loss(model(x), y).item()


@pytest.mark.parametrize("engine", [plain, stacked])
def test_complex_weights_keep_their_imaginary_part(engine: Any) -> None:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=lr)

    adam = replace(ADAM, build=build, fixed={})
    benchmark = of(shifted(), model=Spectral, max_steps=200, eval_every=100)
    assert final(benchmark, adam, lr=0.1, engine=engine)["validation/loss"] < 1e-3
    assert fit(benchmark, shifted(), device="cpu").dtype == "complex64"


def test_parameters_of_several_dtypes_are_trained_one_by_one() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x).double()).float()  # type: ignore[no-any-return]

    benchmark = of(model=Mixed)
    assert fit(benchmark, LINE, device="cpu").dtype == "float32, float64"
    assert final(benchmark)["validation/loss"] < 1.0
    assert plan(benchmark, replace(SGD, lr_linear=True), LINE, device="cpu").engine == "plain"


def test_default_dtype_set_by_the_user_is_kept(default_float64: None) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + torch.zeros(1)  # type: ignore[no-any-return]

    splits = mapped(lambda x, y: (x.double(), x.double().sum(1, keepdim=True)))
    benchmark = of(splits, model=Net, max_steps=300, eval_every=100)
    assert fit(benchmark, splits, device="cpu").dtype == "float64"
    assert final(benchmark, lr=0.2)["validation/loss"] < 1e-20  # far below what float32 resolves
    in_float64 = identify_benchmark(benchmark, splits, dtype="float64", device="cpu")
    torch.set_default_dtype(torch.float32)
    now = identify_benchmark(benchmark, splits, dtype="float64", device="cpu")
    assert now.digest == in_float64.digest
    assert now.environment_digest != in_float64.environment_digest


def test_float64_data_that_float32_can_hold_are_cast_and_reported() -> None:
    splits = mapped(lambda x, y: (x.double(), y.double()))
    fitted = fit(of(splits), splits, device="cpu")
    assert fitted.cast == "inputs float64 to float32"
    inputs, targets = fitted.splits.train
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.float64)
    float64 = fit(of(model=lambda: nn.Linear(3, 1, dtype=torch.float64)), LINE, device="cpu")
    assert (float64.cast, float64.dtype) == ("inputs float32 to float64", "float64")


def test_data_that_the_model_casts_itself_stay_unchanged() -> None:
    splits = mapped(lambda x, y: (x.double() + 1e8, y.double()))

    class Centered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            assert x.dtype == torch.float64
            return self.a((x - 1e8).float())  # type: ignore[no-any-return]

    fitted = fit(of(splits, model=Centered), splits, device="cpu")
    assert (fitted.cast, fitted.splits.train[0].dtype) == ("", torch.float64)
    assert final(of(splits, model=Centered))["validation/loss"] < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (x.double() + 1e8, y.double()),
            "its train inputs are float64, its model is float32, which cannot hold",
        ),
        (
            lambda x, y: (torch.cat([x[:, :2], x[:, 2:].double() * 1e300], 1), y),
            "its train inputs are float64",
        ),
        (lambda x, y: (torch.stack([x[:, 0], x[:, 1], x[:, 2] / 50 + 1.7e9], 1).double(), y), None),
        (
            lambda x, y: (
                torch.stack([x[:, 0].double(), x[:, 1], x[:, 2].double() * 50 + 1.7e9], 1),
                y,
            ),
            "cannot hold",
        ),
    ],
    ids=["offset", "overflow", "rounded before", "times"],
)
def test_data_that_the_dtype_cannot_hold_are_refused(change: Any, message: str | None) -> None:
    splits = mapped(change)
    if message is None:
        assert fit(of(splits), splits, device="cpu").cast
        return
    with pytest.raises(InputError, match=f"benchmark tiny_line: .*{message}"):
        fit(of(splits), splits, device="cpu")


def test_dtype_holds_data_that_it_resolves() -> None:
    x = torch.randn(100, 2)
    assert not holds(torch.bfloat16, x)
    assert holds(torch.bfloat16, x.sign())
    assert holds(torch.float32, torch.full((5, 2), 0.1).double())
    assert holds(torch.float32, torch.randn(9, 2, dtype=torch.complex128))
    missing = torch.cat([torch.rand(99, 1).double() + 1e9, torch.zeros(1, 1).double()])
    assert not holds(torch.float32, missing)  # although its range is wide
    nan = torch.tensor([[1.0], [math.nan], [math.inf], [2.0]]).double()
    assert holds(torch.float32, nan)
    kelvin = 273.15 + 10 * torch.randn(100, 1).double()
    assert holds(torch.float32, torch.cat([kelvin, torch.tensor([[1e30]]).double()]))
    assert not holds(torch.float16, kelvin)
    coded = (torch.rand(100, 1) < 0.5).double()
    assert holds(torch.float16, coded)
    assert not holds(torch.float32, coded + 1e9)


@pytest.mark.parametrize(
    "model", [lambda: nn.Linear(3, 1, dtype=torch.float64), Spectral, nn.BatchNorm1d(3).double]
)
def test_dtype_that_mps_lacks_is_refused(model: Any) -> None:
    splits = shifted() if model is Spectral else LINE
    with pytest.raises(InputError, match="which mps cannot train; use --device cpu"):
        fit(of(splits, model=model), splits, device="mps")


class RandomDepth(nn.Module):
    """Stochastic depth and initial weights drawn with a generator that is not torch's."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.draw = draw
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1)
        with torch.no_grad():
            self.b.weight.fill_(draw())

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.draw() < 0.7:
            x = x + self.a(x)
        return self.b(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.random, lambda: np.random.normal()],
    ids=["python", "numpy", "normal"],
)
def test_generators_of_python_and_numpy_are_seeded_with_the_run_and_the_step(draw: Any) -> None:
    benchmark = of(model=lambda: RandomDepth(draw))
    assert checked(benchmark) == ()
    first = final(benchmark, seed=1)
    random.random(), np.random.random()
    assert final(benchmark, seed=1) == first
    assert final(benchmark, seed=2) != first
    chosen = plan(benchmark, replace(SGD, lr_linear=True), LINE, device="cpu", engine="stacked")
    assert chosen.engine == "plain"
    assert chosen.reason.startswith(
        ("its forward draws random numbers from", "its forward changes the attribute draw")
    )


def test_optimizer_that_draws_when_built_is_paired_by_seed() -> None:
    def noisy(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        chance = random.random() + np.random.random() + torch.rand(()).item()
        return torch.optim.SGD(model.parameters(), lr=lr * (1 + chance))

    spec = replace(SGD, build=noisy, fixed={}, lr_linear=False)
    assert final(of(), spec, seed=3) == final(of(), spec, seed=3)
    built = [build(spec, initial_model(of(), 0), 1.0, seed) for seed in (0, 0, 1)]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in built]
    assert rates[0] == rates[1] != rates[2]


def frozen() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    net[1].eval()
    return net


@pytest.mark.parametrize("engine", [plain, stacked])
def test_module_stays_in_the_mode_it_came_in(engine: Any) -> None:
    found = final(of(model=frozen), engine=engine)["validation/loss"]
    expected = final(of(model=lambda: replaced(frozen())), engine=engine)["validation/loss"]
    assert found == pytest.approx(expected, rel=1e-4)


def replaced(net: nn.Sequential) -> nn.Module:
    net[1] = Identity()
    return net


class Identity(nn.BatchNorm1d):
    """Computes the same as a BatchNorm in eval mode with its initial statistics."""

    def __init__(self) -> None:
        super().__init__(8)

    def forward(self, x: Tensor) -> Tensor:
        return x / math.sqrt(1 + self.eps) * self.weight + self.bias


def test_measuring_restores_the_mode_of_each_module() -> None:
    model = frozen()
    plain.measure(of(model=frozen), model, LINE, 0)
    assert [module.training for module in model] == [True, False, True, True]
    model.eval()
    plain.measure(of(model=frozen), model, LINE, 0)
    assert not any(module.training for module in model.modules())
    assert checked(of(model=lambda: frozen().eval()))[0].endswith(
        "is trained in eval mode, the mode in which model() returned it"
    )


class OwnScheduler(torch.optim.SGD):
    """Holds one of torch's schedulers."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self, 0.9)

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        self.scheduler.step()
        return result


class OwnRate(torch.optim.SGD):
    """Halves its own rate at every step."""

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        self.param_groups[0]["lr"] *= 0.5
        return result


def spec_of(kind: Any, **change: Any) -> OptimizerSpec:
    return OptimizerSpec(
        name="own", build=lambda model, lr: kind(model.parameters(), lr), lr=INTERVAL, **change
    )


@pytest.mark.parametrize(("kind", "factor"), [(OwnScheduler, 0.9), (OwnRate, 0.5)])
def test_optimizer_with_its_own_rates_keeps_them_unless_scheduled(kind: Any, factor: float) -> None:
    benchmark, spec = of(max_steps=5, eval_every=5), spec_of(kind)
    check_pair(benchmark, spec, LINE)

    def decay(step: int, max_steps: int) -> float:
        return factor ** (step - 1)

    by_schedule = replace(spec_of(torch.optim.SGD), schedule=decay)
    expected = final(benchmark, by_schedule, lr=0.1)["validation/loss"]
    found = final(benchmark, spec, lr=0.1)["validation/loss"]
    assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(
        InputError, match=r"own on benchmark tiny_line: its step.*sets its own learning rate"
    ):
        check_pair(benchmark, replace(spec, schedule=cosine), LINE)


def test_rate_changed_later_or_missing_from_a_group_is_refused() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    for fraction in (0.5, 0.25):
        set_lr(optimizer, fraction)
        assert optimizer.param_groups[0]["lr"] == fraction
    assert "initial_lr" not in optimizer.param_groups[0]
    optimizer.param_groups[0]["lr"] = 7.0
    with pytest.raises(InputError, match="leave its schedule constant"):
        set_lr(optimizer, 0.5)
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(InputError, match="schedule=None"):
        set_lr(optimizer, 0.5)


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimization that reads gradients before it calls its closure.

    Without gradients it fails if `strict`; with `calls_first` it calls the closure for them.
    """

    def __init__(
        self, params: Any, lr: float, *, strict: bool = False, calls_first: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr})
        self.strict, self.calls_first = strict, calls_first

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        parameters = [p for group in self.param_groups for p in group["params"]]
        if self.calls_first:
            with torch.enable_grad():
                closure()
        if self.strict:
            moves = [p.grad * 0.05 for p in parameters]
        else:
            moves = [torch.zeros_like(p) if p.grad is None else p.grad * 0.05 for p in parameters]
        for p, move in zip(parameters, moves, strict=True):
            p += move
        with torch.enable_grad():
            closure()
        for p, move in zip(parameters, moves, strict=True):
            p -= move
            p -= self.param_groups[0]["lr"] * p.grad


class NeedsClosure(torch.optim.SGD):
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        return super().step(closure)


class TakesNone(torch.optim.SGD):
    def step(self) -> Any:  # type: ignore[override]
        return super().step()


class IgnoresIt(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step()


def strict_sam(params: Any, lr: float) -> Sam:
    return Sam(params, lr, strict=True)


@pytest.mark.parametrize(
    ("kind", "closure", "message"),
    [
        (Sam, True, "reads gradients before it calls its closure; call the closure first"),
        (strict_sam, True, "reads gradients before it calls its closure; call the closure first"),
        (Sam, False, "set closure=True"),
        (NeedsClosure, False, "set closure=True"),
        (TakesNone, True, "set closure=False"),
        (IgnoresIt, True, "closure=False is for a step that needs none"),
    ],
)
def test_closure_that_does_not_fit_is_refused(kind: Any, closure: bool, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_pair(of(), spec_of(kind, closure=closure), LINE)
    assert str(error.value).startswith(
        "optimizer own on benchmark tiny_line: its step, called with"
    )
    assert "\n" not in str(error.value)


def ema() -> nn.Module:
    class Teacher(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.s = nn.Linear(3, 1)
            self.t = copy.deepcopy(self.s).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return self.t(x)  # type: ignore[no-any-return]
            with torch.no_grad():
                for p, q in zip(self.t.parameters(), self.s.parameters(), strict=True):
                    p.mul_(0.9).add_(q, alpha=0.1)
            return self.s(x)  # type: ignore[no-any-return]

    return Teacher()


@pytest.mark.parametrize("model", [lambda: nn.Linear(3, 1), ema])
def test_step_that_calls_its_closure_first_trains(model: Any) -> None:
    def build(model: nn.Module, lr: float) -> Sam:
        return Sam([p for p in model.parameters() if p.requires_grad], lr, calls_first=True)

    spec = OptimizerSpec(name="sam", build=build, lr=INTERVAL, closure=True)
    benchmark = of(model=model)
    check_pair(benchmark, spec, LINE)
    check_pair(benchmark, OPTIMIZERS["lbfgs"], LINE)
    assert final(benchmark, spec, lr=0.05)["validation/loss"] < 1.0


def test_gradients_of_the_previous_batch_are_gone_when_a_step_begins() -> None:
    seen: list[bool] = []

    class Watching(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            parameters = [p for group in self.param_groups for p in group["params"]]
            seen.append(any(p.grad is not None for p in parameters))
            return super().step(closure)

    benchmark, spec = of(), spec_of(Watching, closure=True)
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, 0.1)
    for _ in range(3):
        take_step(benchmark, spec, model, optimizer, LINE.train[0][:16], LINE.train[1][:16], 0)
    assert seen == [False] * 3


def embedded() -> nn.Module:
    return nn.Sequential(nn.Embedding(20, 8, max_norm=1.0), nn.Flatten(), nn.Linear(40, 2))


def words() -> Splits:
    x = torch.randint(0, 20, (96, 5), generator=torch.Generator().manual_seed(0))
    return split_96(x, lambda part: part.sum(1) % 2)


def clamped() -> nn.Module:
    class Clamped(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.weight.clamp_(-0.1, 0.1)
            return super().forward(x)

    return Clamped(3, 1)


@pytest.mark.parametrize(
    "benchmark",
    [of(words(), model=embedded, loss=F.cross_entropy), of(model=ema), of(model=clamped)],
    ids=["norm", "ema", "clamp"],
)
def test_weights_that_a_forward_pass_changes_are_accepted(benchmark: Benchmark) -> None:
    assert checked(benchmark) == ()
    final(benchmark)


def test_initial_weights_drawn_elsewhere_or_shared_are_refused() -> None:
    generator, weight, layer = np.random.default_rng(), torch.ones(3, 1), nn.Linear(3, 1)

    def drawn() -> nn.Module:
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.fill_(generator.random())
        return model

    class Sharing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(weight)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.w

    with pytest.raises(InputError, match="initial weights differ each time"):
        checked(of(model=drawn))
    for model, name in ((Sharing, "w"), (lambda: layer, "weight")):
        with pytest.raises(
            InputError, match=f"its model shares the weight {name} with the next one"
        ):
            checked(of(model=model))


def test_checks_use_the_modes_of_training_and_measuring() -> None:
    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    few = replace(LINE, validation=(LINE.validation[0][:1], LINE.validation[1][:1]))
    few = replace(few, test=few.validation)
    assert checked(of(few, model=normed)) == ()
    final(of(few, model=normed))

    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Any:
            return (self.a(x), self.b(x)) if self.training else self.a(x)

    def always(outputs: Any, targets: Tensor) -> Tensor:
        main, auxiliary = outputs
        return F.mse_loss(main, targets) + 0.3 * F.mse_loss(auxiliary, targets)

    def either(outputs: Any, targets: Tensor) -> Tensor:
        if isinstance(outputs, tuple):
            return always(outputs, targets)
        return F.mse_loss(outputs, targets)

    with pytest.raises(
        InputError, match=r"its loss, given outputs \(16, 1\) of the model in eval mode, raised"
    ):
        checked(of(model=Auxiliary, loss=always))
    assert checked(of(model=Auxiliary, loss=either, metrics={"error": F.l1_loss})) == ()


@pytest.mark.parametrize(
    "draw", [lambda: torch.tensor(np.random.randn(96, 3)).float(), lambda: torch.randn(96, 3)]
)
def test_data_that_differ_each_time_are_refused(draw: Any) -> None:
    def noisy() -> Splits:
        return split_96(draw(), lambda part: part.sum(1, keepdim=True))

    with pytest.raises(
        InputError,
        match="its dataset differs each time it is made; seed a generator inside the function",
    ):
        check_repeatable(of(dataset=noisy), noisy())
    cached = cache(noisy)
    with pytest.raises(InputError, match="its dataset differs"):
        check_repeatable(of(dataset=cached), cached())
    check_repeatable(of(), LINE)
