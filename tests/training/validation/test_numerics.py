"""A model trains in its own dtype, on data that this dtype can hold."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.numerics import ADAM, LINE, SGD, final, of, split_96
from torch import Tensor, nn

from optsuite import Splits
from optsuite.errors import InputError
from optsuite.training import plain, stacked
from optsuite.training.identity import identify_benchmark
from optsuite.training.numerics import Fitted, fit, holds
from optsuite.training.plain import initial_model
from optsuite.training.plan import plan


@pytest.fixture
def default_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def mapped(change: Any, splits: Splits = LINE) -> Splits:
    """The splits, inputs and targets changed by a function."""
    return Splits(**{name: change(*split) for name, split in vars(splits).items()})


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
