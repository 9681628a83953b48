"""Losses and metrics that are not means over examples have a note or are refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.measured import Distribution, Penalised, classes, line, notes, of, perplexity
from torch import Tensor, nn

from optsuite import Benchmark, Splits, accuracy
from optsuite.errors import InputError


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
