"""An optimizer that sets its own rates keeps them unless it has a schedule."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.numerics import LINE, final, of, spec_of

from optsuite.errors import InputError
from optsuite.schedules import cosine
from optsuite.training.train_step import set_lr
from optsuite.training.validation.definitions import check_pair


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
