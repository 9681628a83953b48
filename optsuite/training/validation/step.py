"""Trying the steps of an optimizer: does it want a closure, does it read gradients first, does it set its own rates?"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, one_line
from optsuite.schedules import constant
from optsuite.training.plain import initial_model
from optsuite.training.train_step import OWN_RATE, build, closure, eval_mode, set_lr, take_step

N_STEPS = 3  # for which an optimizer is tried that has a schedule, or that calls a closure
READS_FIRST = "reads gradients before it calls its closure; call the closure first in step, to compute them on this batch"


def try_steps(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Take the steps. Raises InputError that says what to do, or whatever the step raises."""
    try:
        _train(benchmark, spec, splits, 1)
    except InputError:
        raise
    except Exception as error:
        if spec.closure and _works(benchmark, spec, splits, gradients_first=True):
            raise InputError(READS_FIRST) from error
        flipped = replace(spec, closure=not spec.closure, lr_linear=False)
        if _works(benchmark, flipped, splits):
            raise InputError(f"raised {one_line(error)}; say closure={flipped.closure}") from error
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
    """The weights after so many steps, each begun with the gradients of its batch if so asked."""
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, spec.lr.low)
    for step in range(n_steps):
        x, y = _batch(benchmark, splits, step)
        if gradients_first:
            _hold_gradients(benchmark, model, x, y)
            optimizer.step(closure(benchmark, model, optimizer, x, y, 0, []))  # type: ignore[arg-type]
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
    """Let the next step begin with the gradients of its batch, computed by a twin: a forward pass may change a model."""
    twin = initial_model(benchmark, 0)
    with torch.no_grad():
        for own, other in zip(twin.parameters(), model.parameters(), strict=True):
            own.copy_(other)
    benchmark.loss(twin(x), y).backward()  # type: ignore[no-untyped-call]
    for own, other in zip(twin.parameters(), model.parameters(), strict=True):
        other.grad = own.grad


def _try_gradients(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Raise InputError where the step differs when the gradients of its batch are there before it begins."""
    without = _train(benchmark, spec, splits, N_STEPS)
    try:
        given = _train(benchmark, spec, splits, N_STEPS, gradients_first=True)
    except Exception:
        return
    if not all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(without, given, strict=True)
    ):
        raise InputError(READS_FIRST)


def _try_rates(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Raise InputError where the optimizer of a schedule sets its rates by itself."""
    model = initial_model(benchmark, 0)
    optimizer = build(spec, model, spec.lr.low)
    if any(
        "initial_lr" in group for group in optimizer.param_groups
    ):  # the mark of torch's schedulers
        raise InputError(OWN_RATE)
    for step in range(1, N_STEPS + 1):
        set_lr(optimizer, spec.lr_multiplier(step, benchmark.max_steps))
        given = [_number(group.get("lr")) for group in optimizer.param_groups]
        take_step(benchmark, spec, model, optimizer, *_batch(benchmark, splits, step), 0)
        if given != [_number(group.get("lr")) for group in optimizer.param_groups]:
            raise InputError(OWN_RATE)


def _number(rate: object) -> object:
    return rate.item() if isinstance(rate, Tensor) else rate
