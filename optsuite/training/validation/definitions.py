"""Trying a definition before anything is started: does the data load, the loss fit the model, the optimizer build?"""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, one_line, require
from optsuite.training.explain import backward, call_loss, call_model, explained_step
from optsuite.training.identity import hash_splits
from optsuite.training.losses import check_unchanged, loss_buffers
from optsuite.training.outputs import joined
from optsuite.training.plain import CHUNK, initial_model, values_of
from optsuite.training.train_step import build, evaluating
from optsuite.training.validation.data import check_batches, check_finite, check_ranges
from optsuite.training.validation.means import check_means
from optsuite.training.validation.model import check_losses, check_model, check_parameters
from optsuite.training.validation.step import try_steps


def load_splits(benchmark: Benchmark) -> Splits:
    """The dataset of a benchmark. Raises InputError, DatasetUnavailableError among it."""
    with error_context(f"benchmark {benchmark.name}: its dataset"):
        splits = benchmark.dataset()
        if not isinstance(splits, Splits):
            raise InputError(f"got {type(splits).__name__}, allowed: Splits")
    n = len(splits.train[0])
    if n < benchmark.batch_size:
        raise InputError(
            f"benchmark {benchmark.name}: got batch_size {benchmark.batch_size}, allowed: at most {n}, its examples"
        )
    return splits


def check_repeatable(benchmark: Benchmark, splits: Splits) -> None:
    """Make the data again. Raises InputError where they differ from the splits, as they then would in every worker."""
    forget = getattr(
        benchmark.dataset, "cache_clear", None
    )  # of functools.cache, which every process has its own of
    if forget:
        forget()
    again = load_splits(benchmark)
    if hash_splits(again) != hash_splits(splits):
        raise InputError(
            f"benchmark {benchmark.name}: its dataset differs each time it is made; "
            "seed a generator inside the function, as torch.Generator().manual_seed(0)"
        )


def check_benchmark(benchmark: Benchmark, splits: Splits) -> tuple[str, ...]:
    """Try the benchmark on fresh models, as training and measuring use it; return what a person should know, in lines.

    Raises InputError that names the benchmark and what is wrong with it.
    """
    with error_context(f"benchmark {benchmark.name}: its model"):
        model, other = initial_model(benchmark, 0), initial_model(benchmark, 0)
        if not isinstance(model, nn.Module):
            raise InputError(
                f"returned {type(model).__name__}, allowed: a function that returns an nn.Module"
            )
        check_model(model, splits.train[0])
    check_losses(benchmark)
    buffers = loss_buffers(benchmark)
    _check_weights(benchmark, model, other)
    check_finite(benchmark, other, splits)
    _check_training(benchmark, model, splits)
    check_ranges(benchmark, other, splits)
    _check_measuring(benchmark, other, splits)
    check_batches(benchmark, other, splits)
    check_unchanged(benchmark, buffers)
    notes = (
        []
        if other.training
        else [f"benchmark {benchmark.name}: its model is trained in eval mode, as model() gave it"]
    )
    notes += check_means(benchmark, other, splits)
    _check_target(benchmark, splits)
    return tuple(notes)


def _check_weights(benchmark: Benchmark, model: nn.Module, other: nn.Module) -> None:
    """Raise InputError unless two models of one seed have equal weights, and none in common."""
    where = f"benchmark {benchmark.name}"
    own, others = (dict([*m.named_parameters(), *m.named_buffers()]) for m in (model, other))
    if own.keys() != others.keys() or not all(_equal(own[name], others[name]) for name in own):
        raise InputError(
            f"{where}: got a model whose initial weights differ each time, allowed: "
            "the global generators of torch, NumPy and Python alone, which each run seeds"
        )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and _address(parameter) == _address(others[name]) is not None:
            raise InputError(
                f"{where}: its model shares the weight {name} with the next one that its function makes, so that no run would "
                "start afresh; make or clone it inside the function"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    if is_lazy(one) or is_lazy(other):
        return type(one) is type(other)
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and bool(((one == other) | ((one != one) & (other != other))).all())
    )


def _address(tensor: Tensor) -> int | None:
    """Where the numbers of a tensor lie; None where it has none."""
    empty = is_lazy(tensor) or not tensor.numel()
    return None if empty else tensor.untyped_storage().data_ptr()


def _check_training(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """A forward and a backward pass on the first batch, in the modes that the model came in."""
    where = f"benchmark {benchmark.name}"
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    with error_context(f"{where}: its model, given inputs {tuple(x.shape)},"):
        outputs = call_model(model, x)
    with error_context(
        f"{where}: its loss, given outputs {_shape(outputs)} and targets {tuple(y.shape)},"
    ):
        loss = _scalar(call_loss(benchmark.loss, outputs, y))
        if not loss.isfinite():
            raise InputError(f"returned {loss.item()}, allowed: a finite number before training")
        backward(benchmark.loss, loss, outputs, y)


@torch.no_grad()
def _check_measuring(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """The loss and the metrics of some examples in eval mode, as all are measured."""
    for name in ("validation", "test"):
        split = getattr(splits, name)
        with evaluating(model):
            try:
                _measure(benchmark, model, name, split, benchmark.batch_size)
            except InputError:  # some need more than a few, as an AUC needs both classes
                _measure(benchmark, model, name, split, CHUNK)
            if benchmark.whole_split and len(split[0]) > CHUNK:
                with error_context(f"benchmark {benchmark.name}: whole_split:"):
                    joined([model(split[0][:2]), model(split[0][2:5])], [2, 3])


def _measure(benchmark: Benchmark, model: nn.Module, name: str, split: Split, n: int) -> None:
    x, y = split[0][:n], split[1][:n]
    where = f"benchmark {benchmark.name}: measuring its {name} split of inputs {tuple(x.shape)} and targets {tuple(y.shape)}"
    with error_context(f"{where}: its model in eval mode"):
        outputs = model(x)
    for key, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        with error_context(
            f"{where}: its {key}, given outputs {_shape(outputs)} of the model in eval mode,"
        ):
            _scalar(function(outputs, y)).item()


def _shape(outputs: object) -> object:
    return tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__


def _scalar(value: object) -> Tensor:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    received = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise InputError(
        f"returned {received}, allowed: a tensor without dimensions, the mean over the examples"
    )


@torch.no_grad()
def _check_target(benchmark: Benchmark, splits: Splits) -> None:
    """Raise InputError where a target that does not say its direction is met by an untrained model."""
    target = benchmark.target
    if target is None or target.value is None:
        return
    model = initial_model(benchmark, 0)
    split, _, curve = target.metric.partition("/")
    with evaluating(model):
        value = values_of(benchmark, model, getattr(splits, split))[curve]
    if target.reached({target.metric: value}):
        raise InputError(
            f"benchmark {benchmark.name}: its target {target} is met before training ({value:.4g}); "
            f"say at_most={target.value:g} or at_least={target.value:g}"
        )


def check_pair(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Build the optimizer for the benchmark's model and take a step. Raises InputError that names both."""
    where = f"optimizer {spec.name} on benchmark {benchmark.name}"
    model = initial_model(benchmark, 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with error_context(f"{where}: its build"):
        optimizer = build(spec, model, spec.lr.low)
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"returned {type(optimizer).__name__}, allowed: a torch.optim.Optimizer"
            )
        if not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
            raise InputError(
                "changed the weights of the model, allowed: leaving them, so that all optimizers start alike"
            )
        check_parameters(model, optimizer)
    with error_context(f"{where}: its schedule"):
        for step in (1, (1 + benchmark.max_steps) // 2, benchmark.max_steps):
            lr_multiplier = spec.lr_multiplier(step, benchmark.max_steps)
            usable = isinstance(lr_multiplier, int | float) and 0 <= lr_multiplier <= 1
            require(usable, f"at step {step}", lr_multiplier, "a fraction from 0 to 1")
    stepping = f"{where}: its step, called {'with' if spec.closure else 'without'} a closure,"
    with error_context(stepping), explained_step(benchmark, model, splits):
        try_steps(benchmark, spec, splits)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside after so long. Only in the main thread, and where there are alarms; elsewhere no limit."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def expire(number: int, frame: object) -> None:
        raise TimeoutError(f"it has not ended after {seconds:.0f} seconds")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def error_context(culprit: str) -> Iterator[None]:
    """Turn what goes wrong inside, warnings about shapes included, into InputError that names the culprit."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "error", message=".*target size.*"
            )  # a loss that broadcasts is a wrong loss
            yield
    except InputError as error:
        raise (
            error if str(error).startswith("dataset:") else InputError(f"{culprit} {error}")
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{culprit} raised {one_line(error)}") from error
