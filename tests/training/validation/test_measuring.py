"""Measuring follows definitions: means over examples, whole splits, targets, ties, accuracies."""

import logging
import math
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from frames import frame, run, seeds, study
from suites import tiny
from torch import Tensor, nn

from optsuite import OPTIMIZERS, Benchmark, Splits, Target, accuracy, models
from optsuite.analysis.leaderboard import leaderboard
from optsuite.analysis.statements import warnings
from optsuite.errors import InputError, warn_once
from optsuite.reporting.text import readable
from optsuite.training import plain, stacked
from optsuite.training.identity import define
from optsuite.training.outputs import joined, leaves, sliced
from optsuite.training.plain import initial_model, values_of
from optsuite.training.results import Measurement, Run
from optsuite.training.validation.definitions import check_benchmark
from optsuite.tuning.search import Trial, best_rate, tied

SGD = OPTIMIZERS["sgd"]


def classes(n: int = 48, n_classes: int = 4, *, is_sorted: bool = False) -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64 + 2 * n, 3, generator=generator)
    y = (x @ torch.randn(3, n_classes, generator=generator)).argmax(1)
    if is_sorted:
        x, y = x[y.argsort()], y.sort().values
    parts = zip(
        ("train", "validation", "test"),
        torch.split(x, [64, n, n]),
        torch.split(y, [64, n, n]),
        strict=True,
    )
    return Splits(**{name: (own, targets) for name, own, targets in parts})


def of(n: int = 48, **change: Any) -> Benchmark:
    benchmark = replace(
        tiny.BENCHMARK,
        dataset=lambda: classes(n),
        model=lambda: nn.Linear(3, 4),
        loss=F.cross_entropy,
        target=None,
    )
    return replace(benchmark, **change)


def line(change: Any = lambda x, y: (x, y), **others: Any) -> Benchmark:
    splits = Splits(**{name: change(*split) for name, split in vars(tiny.line()).items()})
    benchmark = replace(tiny.BENCHMARK, target=None, dataset=lambda: splits)
    return replace(benchmark, **others)


def notes(benchmark: Benchmark) -> tuple[str, ...]:
    return check_benchmark(benchmark, benchmark.dataset())


def f1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of class 2 against the others; 0 where nothing is found."""
    found, true = outputs.argmax(1) == 2, targets == 2
    both = (found & true).sum()
    return 2 * both / (found.sum() + true.sum()).clamp(min=1)


def auc(outputs: Tensor, targets: Tensor) -> Tensor:
    """The chance that an example of class 2 is scored above another; fails without one of each."""
    above = outputs[targets == 2, 2][:, None] > outputs[targets != 2, 2]
    if not above.numel():
        raise ValueError("only one class")
    return above.float().mean()


def rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets).sqrt()


def perplexity(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets).exp()


def contrastive(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)))


def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs + torch.randn_like(outputs), targets)


WEIGHTED = nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 2.0, 1.0, 0.5]))


@pytest.mark.parametrize(
    "benchmark",
    [
        of(
            metrics={
                "accuracy": accuracy,
                "percent": lambda o, y: 100 * accuracy(o, y),
                "top": lambda o, y: o.amax(1).mean(),
            }
        ),
        of(loss=noisy),
        of(
            model=lambda: nn.Linear(3, 4).bfloat16(),
            loss=lambda o, y: F.cross_entropy(o, y),
            dataset=lambda: bfloat16(),
        ),
        line(metrics={"mae": F.l1_loss, "bias": lambda o, y: (o - y).mean()}),
        line(loss=lambda o, y: F.mse_loss(o, y, reduction="sum") / len(y)),
        line(model=lambda: Penalised(), loss=lambda o, y: F.mse_loss(o[0], y) + o[1]),
        line(model=lambda: Distribution(), loss=lambda o, y: -o.log_prob(y).mean()),
        of(1),
        of(2, metrics={"accuracy": accuracy}),
    ],
    ids=[
        "metrics",
        "random",
        "bfloat16",
        "line",
        "sum of mean",
        "penalty",
        "distribution",
        "one",
        "two",
    ],
)
def test_mean_over_examples_has_no_note(benchmark: Benchmark) -> None:
    assert notes(benchmark) == ()


def bfloat16() -> Splits:
    return Splits(**{name: (x.bfloat16(), y) for name, (x, y) in vars(classes()).items()})


class Penalised(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x), 0.1 * self.weight.square().sum()


class Distribution(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: Tensor) -> Any:
        return torch.distributions.Normal(super().forward(x), 1.0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"metrics": {"f1": f1}}, "f1 is not a mean"),
        ({"metrics": {"auc": auc}}, "auc is not a mean"),
        (
            {"metrics": {"perplexity": perplexity, "accuracy": accuracy, "f1": f1}},
            "perplexity and f1 are not means",
        ),
        ({"loss": WEIGHTED}, "loss is not a mean"),
        ({"loss": contrastive}, "loss is not a mean"),
        ({"loss": lambda o, y: F.cross_entropy(o, y).sqrt()}, "loss is not a mean"),
        (
            {"loss": lambda o, y: F.cross_entropy(o, y.masked_fill(y == 3, -100))},
            "loss is not a mean",
        ),
    ],
    ids=["f1", "auc", "two", "weighted", "contrastive", "root", "ignored"],
)
def test_metric_that_is_not_a_mean_has_a_note_or_is_refused(change: Any, name: str) -> None:
    (note,) = notes(of(300, **change))
    assert note == (
        f"benchmark tiny_line: its {name} over the examples; "
        "measured on each whole split (set whole_split=True to declare that)"
    )
    with pytest.raises(
        InputError,
        match=f"tiny_line: its {name} over the examples, but splits of more than 2000",
    ) as error:
        notes(of(2_100, **change))
    assert "set whole_split=True" in str(error.value)
    assert notes(of(2_100, whole_split=True, **change)) == ()


def test_f1_of_a_constant_model_has_a_note() -> None:
    def constant() -> nn.Module:
        model = nn.Linear(3, 4)
        with torch.no_grad():
            model.bias[1] = 100.0
        return model

    assert len(notes(of(model=constant, metrics={"f1": f1}))) == 1


def test_weighted_loss_on_sorted_splits_has_a_note() -> None:
    assert len(notes(of(dataset=lambda: classes(300, is_sorted=True), loss=WEIGHTED))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"loss": nn.MSELoss(reduction="sum")},
        {"loss": lambda o, y: ((o - y) ** 2).sum()},
        {"loss": lambda o, y: len(y) * F.mse_loss(o, y)},
        {"metrics": {"errors": lambda o, y: ((o - y).abs() > 0.1).sum().float()}},
    ],
)
def test_sum_over_examples_is_refused_by_name(change: Any) -> None:
    name = next(iter(change.get("metrics", {"loss": 0})))
    with pytest.raises(
        InputError,
        match=f"tiny_line: its {name} is the sum over the examples instead of their mean; use",
    ):
        notes(line(**change))


@pytest.mark.parametrize(
    ("change", "others"),
    [
        (lambda x, y: (x, y[:, 0]), {"loss": lambda o, y: ((o - y) ** 2).mean()}),
        (lambda x, y: (x, y[:, 0]), {"loss": lambda o, y: ((o - y) ** 2).sum() / len(y)}),
        (
            lambda x, y: (x, y[:, 0]),
            {"loss": lambda o, y: (o - y).abs().mean(), "whole_split": True},
        ),
        (
            lambda x, y: (x, y),
            {
                "model": lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)),
                "loss": lambda o, y: (o - y).square().mean(),
            },
        ),
        (lambda x, y: (x, y[:, None]), {"loss": lambda o, y: ((o - y) ** 2).mean()}),
    ],
    ids=["targets (n,)", "sum / n", "whole", "outputs (n,)", "targets (n, 1, 1)"],
)
def test_loss_that_broadcasts_is_refused(change: Any, others: Any) -> None:
    with pytest.raises(
        InputError, match="tiny_line: its loss broadcasts outputs and targets of different shapes"
    ):
        notes(line(change, **others))


def test_metric_that_broadcasts_classes_is_refused() -> None:
    splits = Splits(**{name: (x, y[:, None]) for name, (x, y) in vars(classes()).items()})
    benchmark = of(
        dataset=lambda: splits,
        loss=lambda o, y: F.cross_entropy(o, y[:, 0]),
        metrics={"accuracy": lambda o, y: (o.argmax(1) == y).float().mean()},
    )
    with pytest.raises(InputError, match="its accuracy broadcasts"):
        notes(benchmark)


@pytest.mark.parametrize("engine", [plain, stacked])
def test_whole_split_is_measured_at_once(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = of(100, metrics={"perplexity": perplexity}, whole_split=True, max_steps=10)
    x, y = benchmark.dataset().test
    expected = perplexity(initial_model(benchmark, 0)(x), y).item()
    monkeypatch.setattr(plain, "CHUNK", 7)
    one = Run(benchmark="tiny_line", optimizer="sgd", lr=0.1, seed=0, kind="trial")
    chunked = replace(benchmark, whole_split=False)
    _, whole = next(iter(engine.train(benchmark, SGD, [one], benchmark.dataset())))
    _, in_chunks = next(iter(engine.train(chunked, SGD, [one], benchmark.dataset())))
    assert isinstance(whole, Measurement)
    assert isinstance(in_chunks, Measurement)
    assert whole.values["test/perplexity"] == pytest.approx(expected)
    assert in_chunks.values["test/perplexity"] != pytest.approx(expected, abs=1e-3)
    assert whole.values["test/loss"] == pytest.approx(in_chunks.values["test/loss"])


Pair = namedtuple("Pair", "a b")


@dataclass
class Named:
    logits: Tensor
    scale: float


@pytest.mark.parametrize(
    "nested",
    [
        lambda t: t,
        lambda t: (t, None),
        lambda t: [t, t],
        lambda t: {"a": t, "b": (t,)},
        lambda t: Pair(t, 1),
        lambda t: Named(t, 2.0),
    ],
)
def test_outputs_of_any_structure_are_joined_and_sliced(nested: Any) -> None:
    whole = torch.randn(10, 3)
    together = joined([nested(whole[:4]), nested(whole[4:])], [4, 6])
    assert type(together) is type(nested(whole))
    for own, expected in zip(leaves(together), leaves(nested(whole)), strict=True):
        assert torch.equal(own, expected) if isinstance(own, Tensor) else own == expected
    part = sliced(together, 10, slice(2, 5))
    assert all(torch.equal(leaf, whole[2:5]) for leaf in leaves(part) if isinstance(leaf, Tensor))


def test_outputs_that_cannot_be_joined_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "CHUNK", 5)
    benchmark = line(model=Distribution, loss=lambda o, y: -o.log_prob(y).mean(), whole_split=True)
    with pytest.raises(ValueError, match="cannot be put together; return tensors"):
        values_of(benchmark, initial_model(benchmark, 0), benchmark.dataset().validation)
    large = Splits(
        **{name: (x.repeat(32, 1), y.repeat(32, 1)) for name, (x, y) in vars(tiny.line()).items()}
    )
    with monkeypatch.context() as patch:
        patch.setattr("optsuite.training.validation.passes.CHUNK", 5)
        with pytest.raises(
            InputError, match="tiny_line: whole_split: the model's outputs for several chunks"
        ):
            notes(replace(benchmark, dataset=lambda: large))
    penalized = line(
        model=Penalised, loss=lambda o, y: F.mse_loss(o[0], y) + o[1], whole_split=True
    )
    model, split = initial_model(penalized, 0), penalized.dataset().validation
    (value,) = values_of(penalized, model, split).values()
    assert value == pytest.approx(penalized.loss(model(split[0]), split[1]).item())


def test_target_states_exactly_one_direction() -> None:
    error, loss = Target("validation/error", at_most=0.1), Target("test/loss", at_least=3)
    reached = [error.reached({"validation/error": v}) for v in (0.2, 0.1, math.nan)]
    assert reached == [False, True, False]
    assert [loss.reached({"test/loss": v}) for v in (2, 3)] == [False, True]
    assert (str(error), str(loss)) == ("validation/error <= 0.1", "test/loss >= 3")
    for wrong in ({}, {"at_least": 1.0, "at_most": 2.0}, {"value": 1.0, "at_most": 2.0}):
        with pytest.raises(
            InputError,
            match=r"target validation/a: got .*, allowed: either at_least=\.\.\. or at_most",
        ):
            Target("validation/a", **wrong)
    with pytest.raises(InputError, match="target at_most: got nan"):
        Target("validation/a", at_most=math.nan)


def test_older_form_of_a_target_keeps_its_meaning_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "optsuite"):
        older = [Target("validation/loss", 1.0) for _ in range(3)]
        other = Target("validation/accuracy", 0.5)
    assert caplog.messages == [
        "Target('validation/loss', 1) has no direction; write Target('validation/loss', at_most=1)",
        "Target('validation/accuracy', 0.5) has no direction; "
        "write Target('validation/accuracy', at_least=0.5)",
    ]
    newer = Target("validation/loss", at_most=1.0)
    assert str(older[0]) == str(newer)
    assert other.reached({"validation/accuracy": 0.5})
    sgd = tiny.SUITE.optimizers[0]
    identity = define(line(target=older[0]), sgd, tiny.line()).benchmark
    # Following the advice trains nothing again.
    assert define(line(target=newer), sgd, tiny.line()).benchmark == identity
    opposite = line(target=Target("validation/loss", at_least=1.0))
    assert define(opposite, sgd, tiny.line()).benchmark.digest != identity.digest


def test_older_form_of_a_target_met_untrained_is_refused() -> None:
    def error(outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - accuracy(outputs, targets)

    guessed = of(metrics={"error": error}, target=Target("validation/error", 0.1))
    with pytest.raises(
        InputError,
        match=r"target validation/error >= 0.1 is met before training \(0.*"
        "set at_most=0.1 or at_least=0.1",
    ):
        notes(guessed)
    assert notes(replace(guessed, target=Target("validation/error", at_most=0.1))) == ()
    assert notes(replace(guessed, target=Target("validation/error", at_least=0.1))) == ()


@pytest.mark.parametrize(
    ("scores", "best", "n_tied"),
    [
        ({1e-4: 0, 1e-3: 0, 1e-2: 0, 1e-1: 0.2}, 1e-3, 3),
        ({1e-4: 0, 1e-3: 0.1, 1e-2: 0, 3e-2: 0, 1e-1: 0, 1: 0, 10: math.nan}, 1e-1, 5),
        ({1e-4: 0, 1e-3: 0.1, 1e-2: 0.1, 1: 0}, 1e-4, 2),
        ({1e-4: 0, 1e-3: math.nan, 1e-2: 0, 2e-2: 0}, 1e-2, 3),
        ({1e-4: 0.3, 1e-3: 0.1, 1e-2: 0.2}, 1e-3, 1),
        ({1e-4: math.nan, 1e-3: math.nan}, 1e-4, 0),
        ({0.01: 1.0, 0.0101: 1.0, 0.0102: 1.0, 0.1: 1.0}, 0.0102, 4),
    ],
)
def test_tied_rates_resolve_to_the_middle_of_the_widest_plateau(
    scores: dict[float, float], best: float, n_tied: int
) -> None:
    for order in (1, -1):
        trials = [Trial(lr=lr, score=score) for lr, score in list(scores.items())[::order]]
        assert best_rate(trials) == best
        assert len(tied(trials)) == n_tied


def test_study_of_tied_rates_warns_in_its_row() -> None:
    runs = frame(
        *seeds("a", [1.0, 1.1]),
        *[run("b", 2.0, seed) for seed in (0, 1)],
        study("b", 2, n_tied=6.0),
    )
    shown = {row["optimizer"]: warnings(row) for row in leaderboard(runs).to_dict("records")}
    assert shown == {"a": "", "b": "6 rates tied in tuning: the middle was taken"}


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.9, 0.5], ["90.0%", "50.0%"]),
        ([95.0, 0.5], ["95", "0.5"]),
        ([1.0, 0.0], ["100.0%", "0.0%"]),
    ],
)
def test_accuracy_in_percent_is_not_shown_as_a_fraction(
    values: Sequence[float], shown: list[str]
) -> None:
    rows = [
        row
        for name, value in zip("ab", values, strict=True)
        for row in (run(name, 1.0) | {"best/test_accuracy": value}, study(name))
    ]
    table = readable(leaderboard(frame(*rows)))
    assert sorted(table["test acc."]) == sorted(shown)


def test_accuracy_of_bfloat16_outputs_is_exact() -> None:
    outputs, targets = torch.eye(2).repeat(500, 1).bfloat16(), torch.zeros(1_000, dtype=torch.long)
    targets[1:10:2] = 1
    assert models.accuracy(outputs, targets).item() == pytest.approx(0.505)
