"""Modules are trained and measured in the modes in which model() returned them."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch.nn.functional as F
from support.numerics import LINE, checked, final, of
from torch import Tensor, nn

from optsuite.errors import InputError
from optsuite.training import plain, stacked


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
