"""A loss without a gradient or with state is named; one that holds tensors trains."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.refusals import CLASSES, LINE, learns, refusal
from torch import Tensor, nn

from optsuite.training.losses import placed


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
