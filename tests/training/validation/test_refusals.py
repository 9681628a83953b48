"""A definition that cannot be trained is refused in one line that names it; an odd one trains."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, LogUniform, OptimizerSpec, Splits, Suite, data
from optsuite.campaign.prepare import prepare
from optsuite.errors import InputError
from optsuite.training.engines import ENGINES
from optsuite.training.losses import placed
from optsuite.training.plain import train
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.step_cost import measure_costs
from optsuite.training.validation.definitions import check_benchmark, check_pair, load_splits

NAN, INF = float("nan"), float("inf")
SGD = OPTIMIZERS["sgd"]


def splits_of(x: Tensor, y: Tensor) -> Splits:
    """48 examples to train on, 24 to validate and 24 to test on."""
    return Splits(train=(x[:48], y[:48]), validation=(x[48:72], y[48:72]), test=(x[72:], y[72:]))


def numbers() -> Splits:
    """y (n, 1) is linear in x (n, 3)."""
    x = torch.randn(96, 3, generator=torch.Generator().manual_seed(1))
    return splits_of(x, x @ torch.tensor([[2.0], [0.0], [-1.0]]))


def classes() -> Splits:
    """y (n,) in 0..3 is the sign of two of the columns of x (n, 3)."""
    pairs = {}
    for name, (x, _) in vars(numbers()).items():
        positive = (x > 0).long()
        pairs[name] = (x, positive[:, 0] + 2 * positive[:, 1])
    return Splits(**pairs)


def words() -> Splits:
    """y (n,) in 0..1 is whether the five words of x (n, 5), in 0..19, have a large sum."""
    x = torch.randint(0, 20, (96, 5), generator=torch.Generator().manual_seed(2))
    return splits_of(x, (x.sum(dim=1) > 47).long())


def line() -> nn.Module:
    return nn.Linear(3, 1)


def classifier() -> nn.Module:
    return nn.Linear(3, 4)


def reader(**options: Any) -> nn.Module:
    return nn.Sequential(nn.Embedding(20, 4, **options), nn.Flatten(), nn.Linear(20, 2))


class Bag(nn.Module):
    """All its parameters have sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(20, 2, sparse=True)

    def forward(self, x: Tensor) -> Any:
        return self.table(x)


COMMON: dict[str, Any] = {"batch_size": 8, "max_steps": 20, "eval_every": 10}
LINE = Benchmark(name="line", dataset=numbers, model=line, loss=F.mse_loss, **COMMON)
CLASSES = Benchmark(
    name="classes", dataset=classes, model=classifier, loss=F.cross_entropy, **COMMON
)
WORDS = Benchmark(name="words", dataset=words, model=reader, loss=F.cross_entropy, **COMMON)


def refusal(benchmark: Benchmark, spec: OptimizerSpec = SGD) -> str:
    """The line that refuses the benchmark, or the optimizer on it; empty if both are accepted."""
    line = ""
    try:
        splits = load_splits(benchmark)
        check_benchmark(benchmark, splits)
        check_pair(benchmark, spec, splits)
    except InputError as error:
        line = str(error)
    assert not line or benchmark.name in line
    assert "\n" not in line
    return line


def losses(benchmark: Benchmark, spec: OptimizerSpec = SGD, *, lr: float = 0.1) -> list[float]:
    """The validation losses of one run, which must be accepted and finish."""
    assert refusal(benchmark, spec) == ""
    run = Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=0, kind="trial")
    *updates, (_, ended) = train(benchmark, spec, [run], benchmark.dataset())
    assert ended == RunResult(outcome="finished")
    measured = [update for _, update in updates if isinstance(update, Measurement)]
    return [measurement.values["validation/loss"] for measurement in measured]


def learns(benchmark: Benchmark, spec: OptimizerSpec = SGD, *, lr: float = 0.1) -> bool:
    first, *_, last = losses(benchmark, spec, lr=lr)
    return last < first


def flawed(
    make: Callable[[], Splits], split: str, part: int, index: Any, value: float
) -> Callable[[], Splits]:
    """The dataset with one value replaced."""

    def dataset() -> Splits:
        splits = make()
        getattr(splits, split)[part][index] = value
        return splits

    return dataset


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            flawed(numbers, "train", 0, (40, 1), NAN),
            "training inputs hold 1 NaN of 144 values, the first in row 40, column 1",
        ),
        (
            flawed(numbers, "train", 0, (40, 1), INF),
            "training inputs hold 1 infinite of 144 values, the first in row 40, col",
        ),
        (
            flawed(numbers, "train", 0, 5, -INF),
            "training inputs hold 3 infinite of 144 values, the first in row 5, column 0",
        ),
        (
            flawed(numbers, "train", 1, 3, NAN),
            "training targets hold 1 NaN of 48 values, the first in row 3, column 0",
        ),
        (
            flawed(numbers, "validation", 0, (23, 2), NAN),
            "validation inputs hold 1 NaN of 72 values, the first in row 23",
        ),
        (
            flawed(numbers, "validation", 1, 0, INF),
            "validation targets hold 1 infinite of 24 values, the first in row 0",
        ),
        (
            flawed(numbers, "test", 0, (2, 0), NAN),
            "test inputs hold 1 NaN of 72 values, the first in row 2, column 0",
        ),
        (
            flawed(numbers, "test", 1, slice(4, 9), NAN),
            "test targets hold 5 NaN of 24 values, the first in row 4, column 0",
        ),
    ],
)
def test_value_that_is_not_finite_is_named(dataset: Callable[[], Splits], message: str) -> None:
    assert f"benchmark line: its {message}" in refusal(replace(LINE, dataset=dataset))


def present(outputs: Tensor, targets: Tensor) -> Tensor:
    """The squared error where there is a target."""
    known = targets.isfinite()
    return (outputs[known] - targets[known]).square().mean()


def test_missing_targets_that_the_loss_ignores_train() -> None:
    assert learns(replace(LINE, dataset=flawed(numbers, "train", 1, 3, NAN), loss=present))


def test_image_that_is_not_finite_is_named_by_row_channel_and_pixel() -> None:
    def images() -> Splits:
        x = torch.zeros(96, 1, 2, 3)
        x[7, 0, 1, 2] = NAN
        return splits_of(x, torch.zeros(96, 1))

    def flat() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 1))

    benchmark = replace(LINE, dataset=images, model=flat)
    assert "1 NaN of 288 values, the first in row 7, column (0, 1, 2)" in refusal(benchmark)


def test_constant_columns_become_zero_as_in_scikit_learn() -> None:
    def part(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(n))
        x = x * torch.tensor([1.0, 5.0, 0.0, 0.0])
        x[:, 2] = 0.1
        x[:, 3] = 3.0 + 2.4e-7 * (torch.arange(n) % 2)  # as equal as rounding leaves them
        return x, torch.ones(n, 1)

    made = data.standardised(
        Splits(train=part(50), validation=part(20), test=part(20)), targets=True
    )
    x, y = made.train
    assert bool((x[:, 2] == 0).all())
    assert float(x[:, 3].abs().max()) < 1e-6
    assert bool((y == 0).all())
    scaler = StandardScaler().fit(part(50)[0].double().numpy())
    expected = scaler.transform(part(20)[0].double().numpy())
    unbiased = np.sqrt(49 / 50)  # torch's standard deviation divides by n - 1, scikit-learn's by n
    np.testing.assert_allclose(made.validation[0][:, :3], expected[:, :3] * unbiased, atol=1e-5)
    assert float(made.validation[0][:, 3].abs().max()) < 1e-6


def test_constant_column_that_varies_in_other_splits_is_only_shifted() -> None:
    ones, twos = torch.ones(6, 1), torch.full((6, 1), 2.0)
    made = data.standardised(Splits(train=(ones, ones), validation=(twos, twos), test=(twos, twos)))
    assert made.validation[0].tolist() == [[1.0]] * 6


def test_large_numbers_that_vary_little_are_scaled() -> None:
    x = torch.tensor([[2020.0], [2021.0], [2022.0]])
    made = data.standardised(Splits(train=(x, x), validation=(x, x), test=(x, x)))
    assert made.train[0].flatten().tolist() == [-1.0, 0.0, 1.0]
    single = data.standardised(Splits(train=(x[:1], x[:1]), validation=(x, x), test=(x, x)))
    assert single.train[0].tolist() == [[0.0]]


def test_standardised_names_what_it_cannot_scale() -> None:
    with pytest.raises(
        InputError, match=r"training inputs: got 1 NaN of 144 values, the first in row 4, column 2"
    ):
        data.standardised(flawed(numbers, "train", 0, (4, 2), NAN)())
    with pytest.raises(
        InputError,
        match=r"training inputs: got 'torch.int64', "
        r"allowed: a dtype with a fraction; use .float\(\)",
    ):
        data.standardised(words())


def ignoring(share: int) -> Callable[[], Splits]:
    """One in `share` training labels, the others -100, which cross_entropy ignores."""

    def dataset() -> Splits:
        splits = classes()
        kept = splits.train[1][::share].clone()
        splits.train[1][:] = -100
        splits.train[1][::share] = kept
        return splits

    return dataset


def test_batch_of_ignored_labels_only_is_named() -> None:
    line = refusal(replace(CLASSES, dataset=ignoring(2), batch_size=2))
    assert re.search(
        r"benchmark classes: the loss of the batch of step \d+, seed 0, "
        "is not finite although the outputs",
        line,
    )
    assert "ignored labels only?" in line


def test_ignored_labels_among_other_labels_train() -> None:
    assert learns(replace(CLASSES, dataset=ignoring(2), batch_size=24))


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_without_a_loss_late_in_training_fails_instead_of_diverging(engine: str) -> None:
    benchmark = replace(CLASSES, dataset=ignoring(2), batch_size=2)
    run = Run(benchmark="classes", optimizer="sgd", lr=0.1, seed=5, kind="trial")
    *_, (_, ended) = ENGINES[engine].train(benchmark, SGD, [run], benchmark.dataset())
    assert isinstance(ended, RunResult)
    assert ended.outcome == "failed"
    assert "does it hold ignored labels only?" in (ended.error or "")


def test_huge_rate_on_finite_data_is_diverged() -> None:
    run = Run(benchmark="line", optimizer="sgd", lr=1e30, seed=0, kind="trial")
    *_, (_, ended) = train(LINE, SGD, [run], numbers())
    assert ended == RunResult(outcome="diverged")


def test_validation_of_ignored_labels_only_is_named() -> None:
    line = refusal(replace(CLASSES, dataset=flawed(classes, "validation", 1, slice(None), -100)))
    assert "benchmark classes: its loss on the validation split is nan before training" in line


X, Y = torch.zeros(4, 3), torch.zeros(4, 1)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            (X.numpy(), Y.numpy()),
            "its inputs: got numpy.ndarray of dtype float32, "
            "allowed: a torch.Tensor; use torch.from_numpy",
        ),
        (
            (X, Y.numpy()),
            "its targets: got numpy.ndarray of dtype float32, "
            "allowed: a torch.Tensor; use torch.from_numpy(...)",
        ),
        (
            (X.tolist(), Y),
            "its inputs: got list, allowed: a torch.Tensor; use torch.as_tensor(...)",
        ),
        (
            (X, ["a", "b"]),
            "its targets: got list, allowed: a torch.Tensor; encode what are not numbers first",
        ),
        ((np.array(["a"]), Y), "encode what are not numbers first"),
        (
            (pd.DataFrame({"a": [1.0]}), Y),
            "its inputs: got pandas.DataFrame, allowed: a torch.Tensor; use torch.as_tensor(....to",
        ),
        ((X, 3), "its targets: got int, allowed: a torch.Tensor"),
        ((X, torch.tensor(3.0)), "its targets: got a tensor without dimensions"),
        (
            (X.to_sparse(), Y),
            "got a tensor of layout torch.sparse_coo, allowed: a dense one; use .to_dense()",
        ),
        (
            (X.clone().requires_grad_(), Y),
            "got a tensor that requires gradients, allowed: plain values; use .detach()",
        ),
        ((X.to("meta"), Y), "got a tensor on the device meta"),
        (
            (X, Y, Y),
            "validation split: got a tuple of 3, allowed: a tuple (inputs, targets) of two tensors",
        ),
        ((X,), "validation split: got a tuple of 1, allowed: a tuple (inputs, targets)"),
        (
            [X, Y],
            "validation split: got a list of 2, allowed: a tuple (inputs, targets) of two tensors",
        ),
        (
            torch.utils.data.TensorDataset(X, Y),
            "validation split: got a TensorDataset, allowed: a tuple",
        ),
        (
            (X, Y[:3]),
            "validation split: got 4 inputs and 3 targets, "
            "allowed: as many inputs as targets, at least one",
        ),
        (
            (X[:0], Y[:0]),
            "validation split: got 0 inputs and 0 targets, "
            "allowed: as many inputs as targets, at least one",
        ),
    ],
)
def test_split_that_is_not_a_pair_of_tensors_is_named(split: Any, message: str) -> None:
    def dataset() -> Splits:
        return Splits(train=(X, Y), validation=split, test=(X, Y))

    line = refusal(replace(LINE, dataset=dataset))
    assert line.startswith("benchmark line: its dataset validation split:")
    assert message in line


def frozen() -> nn.Module:
    return line().requires_grad_(False)


class Container(nn.Module):
    """A model with something odd inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


def traced() -> Any:
    return torch.jit.trace(line(), torch.zeros(2, 3))  # type: ignore[no-untyped-call]


class CompiledForward(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    @torch.compile
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def compiled_inside() -> nn.Module:
    inner: Any = torch.compile(line())
    return Container(inner)


def compiled_in_place() -> nn.Module:
    module = line()
    module.compile()
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Identity, "its model has no parameters, so there is nothing to train"),
        (
            frozen,
            "its model has no parameter that requires gradients, so nothing would be trained; "
            "unfreeze some of it",
        ),
        (
            lambda: nn.LazyLinear(1),
            "has weight without a shape because it is lazy; "
            "call the module once in model(): module(torch.zer",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyBatchNorm1d(), nn.Linear(4, 1)),
            "has 1.weight without a shape",
        ),
        (
            lambda: torch.compile(line()),
            "its model is compiled, which takes longer than the runs here",
        ),
        (compiled_inside, "its model inner is compiled"),
        (compiled_in_place, "its model is compiled"),
        (CompiledForward, "its model is compiled"),
        (
            lambda: torch.jit.script(line()),
            "its model is scripted by torch.jit, which leaves no source to identify it by",
        ),
        (traced, "its model is scripted by torch.jit"),
        (
            lambda: nn.DataParallel(line()),
            "its model is a DataParallel, but a run has one device; return the module inside",
        ),
        (lambda: nn.Linear(3, 1, device="meta"), "has weight on the device meta"),
        (
            lambda: nn.Linear(4, 1),
            "its model, given inputs (8, 3), raised RuntimeError: addmm: mat1 and mat2 shapes",
        ),
        (lambda: 3, "its model returned int; it must return an nn.Module"),
    ],
)
def test_model_that_cannot_be_trained_is_named(model: Callable[[], Any], message: str) -> None:
    line = refusal(replace(LINE, model=model))
    assert line.startswith(("benchmark line: its model ", "benchmark line: its model, "))
    assert message in line


@pytest.mark.filterwarnings("ignore")
def test_quantized_model_is_named() -> None:
    def quantized() -> Any:
        quantize: Any = torch.ao.quantization.quantize_dynamic
        return quantize(nn.Sequential(nn.Linear(3, 1)), {nn.Linear})

    line = refusal(replace(LINE, model=quantized))
    assert "its model has no parameters because 0 is quantized; return the module before" in line


def materialized() -> nn.Module:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    model(torch.zeros(2, 3))
    return model


def test_advice_for_lazy_modules_trains() -> None:
    assert "module(torch.zeros(2, 3))" in refusal(replace(LINE, model=lambda: nn.LazyLinear(1)))
    assert learns(replace(LINE, model=materialized))


def partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "muon"])
def test_partly_frozen_model_trains(name: str) -> None:
    assert learns(replace(LINE, model=partly_frozen), OPTIMIZERS[name], lr=0.01)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def single(splits: Splits) -> Splits:
    """One example to validate and one to test on."""
    (vx, vy), (tx, ty) = splits.validation, splits.test
    return Splits(train=splits.train, validation=(vx[:1], vy[:1]), test=(tx[:1], ty[:1]))


def test_batch_norm_is_measured_on_one_example() -> None:
    benchmark = replace(LINE, model=normed, dataset=lambda: single(numbers()))
    assert len(losses(benchmark)) == 3


def test_batch_norm_with_batches_of_one_is_named() -> None:
    line = refusal(replace(LINE, model=normed, batch_size=1))
    needed = "needs more than one example in a training batch, as batch norm does; got batch_size 1"
    assert needed in line


class Clamped(nn.Linear):
    """Keeps its weights within bounds, in place, in every forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(x)


def test_weights_that_a_forward_pass_changes_train() -> None:
    assert len(losses(replace(WORDS, model=partial(reader, max_norm=1.0)))) == 3
    assert len(losses(replace(LINE, model=lambda: Clamped(3, 1)))) == 3


def test_model_whose_weights_differ_each_time_is_refused() -> None:
    def drawn() -> nn.Module:
        model = nn.Linear(3, 1)
        nn.init.constant_(model.weight, float(torch.Generator().seed() % 997))
        return model

    assert "initial weights differ each time" in refusal(replace(LINE, model=drawn))


SPARSEADAM = OptimizerSpec(
    name="sparseadam",
    build=lambda model, lr: torch.optim.SparseAdam(model.parameters(), lr=lr),
    lr=LogUniform(low=1e-3, high=1e0),
)


@pytest.mark.parametrize(
    "spec",
    [OPTIMIZERS[n] for n in ("sgd", "momentum", "nesterov", "adagrad")] + [SPARSEADAM],
    ids=lambda s: s.name,
)
def test_sparse_gradients_train(spec: OptimizerSpec) -> None:
    assert learns(replace(WORDS, model=Bag, max_steps=60), spec, lr=0.5)


def test_cost_of_sparse_state_is_that_of_its_indices_and_values() -> None:
    spec = OPTIMIZERS["momentum"]
    costs = measure_costs(replace(WORDS, model=Bag), [spec], words(), device="cpu")
    n_rows, n_numbers = 20, 40
    assert costs["momentum"].state_bytes_per_parameter == (n_rows * 8 + n_numbers * 4) / n_numbers


def test_sparse_gradients_train_like_dense_ones() -> None:
    mixed = replace(WORDS, model=partial(reader, sparse=True))
    assert losses(mixed) == pytest.approx(losses(replace(WORDS, model=reader)), rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "muon", "adafactor", "asgd"])
def test_optimizer_without_sparse_gradients_names_those_with_them(name: str) -> None:
    line = refusal(replace(WORDS, model=partial(reader, sparse=True)), OPTIMIZERS[name])
    assert line.startswith(f"optimizer {name} on benchmark words: its step")
    assert "cannot train the sparse gradients of 0.weight" in line
    assert "of 0.weight; optimizers for sparse gradients: sgd, momentum, nesterov" in line


class Imaginary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 3, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.w).sum(dim=1, keepdim=True).abs()


def test_optimizer_without_complex_parameters_is_named() -> None:
    line = refusal(replace(LINE, model=Imaginary), OPTIMIZERS["muon"])
    assert "optimizer muon on benchmark line: its step" in line
    assert "cannot train the complex parameter w; take another optimizer" in line
    assert "take another optimizer, such as sgd, adam or adamw" in line
    assert refusal(replace(LINE, model=Imaginary), OPTIMIZERS["adam"]) == ""


def adam(name: str, **options: Any) -> OptimizerSpec:
    def build(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=lr, **options)

    return OptimizerSpec(name=name, build=build, lr=LogUniform(low=1e-3, high=1e0))


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"amsgrad": True}])
def test_variant_of_adam_trains_like_adam(options: dict[str, Any]) -> None:
    expected = losses(LINE, adam("adam", amsgrad="amsgrad" in options))
    assert losses(LINE, adam("variant", **options)) == pytest.approx(expected, rel=1e-4)


def test_variant_that_this_device_lacks_is_skipped_alone() -> None:
    optimizers = (adam("adam"), adam("capturable", capturable=True))
    suite = Suite(name="s", benchmarks=(LINE,), optimizers=optimizers)
    (problem,), (skipped,) = prepare(suite, device="cpu", named=["line"])
    assert set(problem.plans) == {"adam"}
    assert str(skipped).startswith(
        "Broken line capturable: optimizer capturable on benchmark line: its step"
    )
    with pytest.raises(InputError, match="optimizer capturable on benchmark line"):
        prepare(replace(suite, optimizers=suite.optimizers[1:]), device="cpu")


def cast(benchmark: Benchmark, dtype: torch.dtype, part: int) -> Benchmark:
    """The benchmark with its inputs (part 0) or targets (part 1) of another dtype."""

    def dataset() -> Splits:
        pairs = {}
        for name, (x, y) in vars(benchmark.dataset()).items():
            pairs[name] = (x.to(dtype), y) if part == 0 else (x, y.to(dtype))
        return Splits(**pairs)

    return replace(benchmark, dataset=dataset)


BINARY = replace(LINE, loss=F.binary_cross_entropy_with_logits)
HUBER = replace(LINE, loss=F.huber_loss)
UNFIT = [
    (LINE, torch.long, 0, "got inputs of dtype torch.int64, allowed: torch.float32; use"),
    (LINE, torch.uint8, 0, "got inputs of dtype torch.uint8, allowed: torch.float32"),
    (LINE, torch.bool, 0, "got inputs of dtype torch.bool, allowed: torch.float32"),
    (WORDS, torch.float32, 0, "got inputs of dtype torch.float32, allowed: torch.int64"),
    (CLASSES, torch.float32, 1, "got targets of dtype torch.float32, allowed: torch.int64"),
    (CLASSES, torch.int32, 1, "got targets of dtype torch.int32, allowed: torch.int64"),
    (CLASSES, torch.bool, 1, "got targets of dtype torch.bool, allowed: torch.int64"),
    (BINARY, torch.bool, 1, "got targets of dtype torch.bool, allowed: torch."),
    (HUBER, torch.long, 1, "got targets of dtype torch.int64, allowed: torch.float32"),
]


@pytest.mark.parametrize(("benchmark", "dtype", "part", "message"), UNFIT)
def test_dtype_that_does_not_fit_is_named(
    benchmark: Benchmark, dtype: torch.dtype, part: int, message: str
) -> None:
    assert message in refusal(cast(benchmark, dtype, part))


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 2, 5)),
            "its loss, given outputs (8, 4) and targets (8,), "
            "got labels from 0 to 5, allowed: 0 to 3, as the outputs have 4",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 47, 4)),
            "got labels from 0 to 4, allowed: 0 to 3",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "train", 1, 40, -1)),
            "got labels from -1 to 3, allowed: 0 to 3",
        ),
        (
            replace(CLASSES, dataset=flawed(classes, "validation", 1, 20, 7)),
            "validation split, rows",
        ),
        (replace(CLASSES, dataset=flawed(classes, "test", 1, 23, 7)), "test split, rows"),
        (
            replace(WORDS, dataset=flawed(words, "train", 0, (40, 2), 20)),
            "got inputs from 0 to 20, allowed: 0 to 19, the rows",
        ),
        (
            replace(WORDS, dataset=flawed(words, "test", 0, (3, 0), 99)),
            "to 99, allowed: 0 to 19, the rows of its embedding",
        ),
    ],
)
def test_label_or_word_out_of_range_is_named(benchmark: Benchmark, message: str) -> None:
    line = refusal(benchmark)
    assert line.startswith(f"benchmark {benchmark.name}: its ")
    assert message in line


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            lambda outputs, y: F.mse_loss(outputs.detach(), y),
            "has no gradient, because its value does not depend on the weights",
        ),
        (
            lambda outputs, y: (outputs.argmax(1, keepdim=True) - y).square().mean(),
            "has no gradient, because its value does not",
        ),
        (
            lambda outputs, y: F.mse_loss(outputs, y).item(),
            "returned float; it must return a tensor without dimensions",
        ),
    ],
)
def test_loss_without_a_gradient_is_named(loss: Any, message: str) -> None:
    assert message in refusal(replace(LINE, loss=loss))


class Temperature(nn.Module):
    """A loss with a parameter to train."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.scale * F.mse_loss(outputs, y)


class Counting(nn.MSELoss):
    """A loss that keeps state between its calls."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(outputs, y)


def test_loss_with_state_is_named() -> None:
    assert "its loss is compiled" in refusal(replace(LINE, loss=torch.compile(F.mse_loss)))
    assert "its loss has the parameter scale, which no optimizer receives; move it" in refusal(
        replace(LINE, loss=Temperature())
    )
    assert "its loss: its buffer calls changes when it is called" in refusal(
        replace(LINE, loss=Counting())
    )


WEIGHTS = torch.tensor([1.0, 2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1),
        partial(F.cross_entropy, weight=WEIGHTS),
    ],
)
def test_loss_that_holds_tensors_trains_and_follows_the_model(loss: Any) -> None:
    benchmark = replace(CLASSES, loss=loss)
    assert learns(benchmark)
    outputs, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 4
    moved = placed(benchmark, "cpu", torch.float64)
    assert moved.loss(outputs, y).item() == pytest.approx(loss(outputs.float(), y).item(), rel=1e-6)
    assert loss(outputs.float(), y).dtype is torch.float32  # the original is unchanged
    assert placed(benchmark, "cpu") is benchmark
    on_meta = placed(benchmark, "meta").loss(outputs.float().to("meta"), y.to("meta"))
    assert on_meta.device.type == "meta"


STRANGER = nn.Linear(3, 1)


def test_optimizer_over_another_model_is_refused() -> None:
    def stranger(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(STRANGER.parameters(), lr=lr)

    def some(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([next(model.parameters())], lr=lr)

    def views(model: nn.Module, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter.data for parameter in model.parameters()], lr=lr)

    spec = replace(SGD, fixed={}, lr_linear=False)
    assert "its build returned an optimizer over parameters of another model" in refusal(
        LINE, replace(spec, build=stranger)
    )
    assert learns(LINE, replace(spec, build=some))
    assert "another model" not in refusal(LINE, replace(spec, build=views))
