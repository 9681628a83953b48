"""Trying a definition before anything is started: its data, its model, its loss, its optimizer."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, require
from optsuite.training.explain import explained_step
from optsuite.training.identity import hash_splits
from optsuite.training.losses import check_unchanged, loss_buffers
from optsuite.training.plain import initial_model, values_of
from optsuite.training.train_step import build, evaluating
from optsuite.training.validation.contexts import error_context
from optsuite.training.validation.data import check_batches, check_finite, check_ranges
from optsuite.training.validation.means import check_means
from optsuite.training.validation.model import check_losses, check_model, check_parameters
from optsuite.training.validation.passes import check_measuring, check_training
from optsuite.training.validation.step import try_steps


def load_splits(benchmark: Benchmark) -> Splits:
    """The dataset of a benchmark. Raises InputError, or its subclass DatasetUnavailableError."""
    with error_context(f"benchmark {benchmark.name}: its dataset"):
        splits = benchmark.dataset()
        if not isinstance(splits, Splits):
            raise InputError(f"returned {type(splits).__name__}; it must return Splits")
    n = len(splits.train[0])
    if n < benchmark.batch_size:
        raise InputError(
            f"benchmark {benchmark.name}: got batch_size {benchmark.batch_size}, "
            f"allowed: at most {n}, the number of its training examples"
        )
    return splits


def check_repeatable(benchmark: Benchmark, splits: Splits) -> None:
    """Make the data again. Raises InputError if they differ, as they would in every worker."""
    # Each process has its own functools.cache, so it would hide a difference in this one.
    forget = getattr(benchmark.dataset, "cache_clear", None)
    if forget:
        forget()
    again = load_splits(benchmark)
    if hash_splits(again) != hash_splits(splits):
        raise InputError(
            f"benchmark {benchmark.name}: its dataset differs each time it is made; "
            "seed a generator inside the function, such as torch.Generator().manual_seed(0)"
        )


def check_benchmark(benchmark: Benchmark, splits: Splits) -> tuple[str, ...]:
    """Try the benchmark on fresh models, the way training and measuring use it.

    Returns notes for the user, one line each. Raises InputError that names the benchmark and what
    is wrong with it.
    """
    with error_context(f"benchmark {benchmark.name}: its model"):
        model, other = initial_model(benchmark, 0), initial_model(benchmark, 0)
        if not isinstance(model, nn.Module):
            raise InputError(f"returned {type(model).__name__}; it must return an nn.Module")
        check_model(model, splits.train[0])
    check_losses(benchmark)
    buffers = loss_buffers(benchmark)
    _check_weights(benchmark, model, other)
    check_finite(benchmark, other, splits)
    check_training(benchmark, model, splits)
    check_ranges(benchmark, other, splits)
    check_measuring(benchmark, other, splits)
    check_batches(benchmark, other, splits)
    check_unchanged(benchmark, buffers)
    notes: list[str] = []
    if not other.training:
        notes.append(
            f"benchmark {benchmark.name}: its model is trained in eval mode, "
            "the mode in which model() returned it"
        )
    notes += check_means(benchmark, other, splits)
    notes += _check_target(benchmark, splits)
    return tuple(notes)


def _check_weights(benchmark: Benchmark, model: nn.Module, other: nn.Module) -> None:
    """Raise InputError unless two models of one seed have equal weights and share none."""
    where = f"benchmark {benchmark.name}"
    own = dict([*model.named_parameters(), *model.named_buffers()])
    others = dict([*other.named_parameters(), *other.named_buffers()])
    if own.keys() != others.keys() or not all(_equal(own[name], others[name]) for name in own):
        raise InputError(
            f"{where}: its model's initial weights differ each time; draw them only with the "
            "global generators of torch, NumPy and Python, which each run seeds"
        )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and _address(parameter) == _address(others[name]) is not None:
            raise InputError(
                f"{where}: its model shares the weight {name} with the next one that its function "
                "returns, so runs would not start afresh; create or clone it inside the function"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    if is_lazy(one) or is_lazy(other):
        return type(one) is type(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    both_nan = (one != one) & (other != other)
    return bool(((one == other) | both_nan).all())


def _address(tensor: Tensor) -> int | None:
    """The address of the numbers of a tensor; None if it has none."""
    empty = is_lazy(tensor) or not tensor.numel()
    return None if empty else tensor.untyped_storage().data_ptr()


@torch.no_grad()
def _check_target(benchmark: Benchmark, splits: Splits) -> list[str]:
    """A note if an untrained model meets the target.

    Raises InputError if it does not state its direction: the guess was wrong.
    """
    target = benchmark.target
    if target is None:
        return []
    model = initial_model(benchmark, 0)
    split, _, curve = target.metric.partition("/")
    with evaluating(model):
        value = values_of(benchmark, model, getattr(splits, split))[curve]
    if not target.reached({target.metric: value}):
        return []
    met = f"benchmark {benchmark.name}: its target {target} is met before training ({value:.4g})"
    if target.value is None:
        return [f"{met}, so it tells nothing about optimizers"]
    other = "at_least" if target.is_upper else "at_most"
    raise InputError(
        f"{met}; if {'higher' if target.is_upper else 'lower'} is better, write "
        f"Target({target.metric!r}, {other}={target.value:g})"
    )


def check_pair(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Build the optimizer for the benchmark's model and take a step.

    Raises InputError that names both.
    """
    where = f"optimizer {spec.name} on benchmark {benchmark.name}"
    model = initial_model(benchmark, 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with error_context(f"{where}: its build"):
        optimizer = build(spec, model, spec.lr.low)
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"returned {type(optimizer).__name__}; it must return a torch.optim.Optimizer"
            )
        if not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
            raise InputError(
                "changed the weights of the model; all optimizers must start from the same weights"
            )
        check_parameters(model, optimizer)
    with error_context(f"{where}: its schedule"):
        for step in (1, (1 + benchmark.max_steps) // 2, benchmark.max_steps):
            lr_multiplier = spec.lr_multiplier(step, benchmark.max_steps)
            usable = isinstance(lr_multiplier, int | float) and 0 <= lr_multiplier <= 1
            require(usable, f"at step {step}", lr_multiplier, "a fraction from 0 to 1")
    called = "with" if spec.closure else "without"
    stepping = f"{where}: its step, called {called} a closure,"
    with error_context(stepping), explained_step(benchmark, model, splits):
        try_steps(benchmark, spec, splits)
