"""Trying the steps of an optimizer: does it need a closure, read gradients first, set its rates?"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, one_line
from optsuite.schedules import constant
from optsuite.training.plain import initial_model
from optsuite.training.train_step import OWN_RATE, build, closure, eval_mode, set_lr, take_step

N_STEPS = 3  # for an optimizer that has a schedule or calls a closure
READS_FIRST = (
    "reads gradients before it calls its closure; "
    "call the closure first in step, to compute them on this batch"
)


def try_steps(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Take the steps. Raises InputError with advice if any fits, else the step's own error."""
    try:
        _train(benchmark, spec, splits, 1)
    except InputError:
        raise
    except Exception as error:
        if spec.closure and _works(benchmark, spec, splits, gradients_first=True):
            raise InputError(READS_FIRST) from error
        flipped = replace(spec, closure=not spec.closure, lr_linear=False)
        if _works(benchmark, flipped, splits):
            raise InputError(f"raised {one_line(error)}; set closure={flipped.closure}") from error
        raise
    if spec.closure:
        _try_gradients(benchmark, spec, splits)
    if spec.schedule not in (None, constant):
        _try_rates(benchmark, spec, splits)


def _works(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, gradients_first: bool = False
) -> bool:
    try:
        _train(benchmark, spec, splits, 1, gradients_first=gradients_first)
    except Exception:
        return False
    return True


def _train(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    splits: Splits,
    n_steps: int,
    *,
    gradients_first: bool = False,
) -> list[Tensor]:
    """The weights after `n_steps`; each step may begin with the gradients of its batch."""
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, spec.lr.low)
    for step in range(n_steps):
        x, y = _batch(benchmark, splits, step)
        if gradients_first:
            _hold_gradients(benchmark, model, x, y)
            evaluate = closure(benchmark, model, optimizer, x, y, 0, [])
            optimizer.step(evaluate)  # type: ignore[arg-type]
        else:
            take_step(benchmark, spec, model, optimizer, x, y, 0)
    with eval_mode([optimizer]):
        pass
    return [parameter.detach() for parameter in model.parameters()]


def _batch(benchmark: Benchmark, splits: Splits, step: int) -> tuple[Tensor, Tensor]:
    n_batches = len(splits.train[0]) // benchmark.batch_size
    start = step % n_batches * benchmark.batch_size
    x, y = (part[start : start + benchmark.batch_size] for part in splits.train)
    return x, y


def _hold_gradients(benchmark: Benchmark, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Set the gradients of the batch, from a twin because a forward pass may change a model."""
    twin = initial_model(benchmark, 0)
    with torch.no_grad():
        for own, other in zip(twin.parameters(), model.parameters(), strict=True):
            own.copy_(other)
    benchmark.loss(twin(x), y).backward()  # type: ignore[no-untyped-call]
    for own, other in zip(twin.parameters(), model.parameters(), strict=True):
        other.grad = own.grad


def _try_gradients(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Raise InputError if gradients that exist before the step begins change what it does."""
    without = _train(benchmark, spec, splits, N_STEPS)
    try:
        given = _train(benchmark, spec, splits, N_STEPS, gradients_first=True)
    except Exception:
        return
    for one, other in zip(without, given, strict=True):
        if not torch.equal(one.nan_to_num(), other.nan_to_num()):
            raise InputError(READS_FIRST)


def _try_rates(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Raise InputError if an optimizer with a schedule sets its own rates."""
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, spec.lr.low)
    # torch's schedulers leave this key.
    if any("initial_lr" in group for group in optimizer.param_groups):
        raise InputError(OWN_RATE)
    for step in range(1, N_STEPS + 1):
        set_lr(optimizer, spec.lr_multiplier(step, benchmark.max_steps))
        given = _rates(optimizer)
        take_step(benchmark, spec, model, optimizer, *_batch(benchmark, splits, step), 0)
        if _rates(optimizer) != given:
            raise InputError(OWN_RATE)


def _rates(optimizer: Optimizer) -> list[object]:
    rates = [group.get("lr") for group in optimizer.param_groups]
    return [rate.item() if isinstance(rate, Tensor) else rate for rate in rates]
