"""Trying a model, a loss and metrics on a few examples: forward, backward and measuring."""

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.errors import InputError
from optsuite.training.explain import backward, call_loss, call_model
from optsuite.training.outputs import joined
from optsuite.training.plain import CHUNK
from optsuite.training.train_step import evaluating
from optsuite.training.validation.contexts import error_context


def check_training(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Try a forward and a backward pass on the first batch, in the modes the model came in.

    Raises InputError that names what fails.
    """
    where = f"benchmark {benchmark.name}"
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    with error_context(f"{where}: its model, given inputs {tuple(x.shape)},"):
        outputs = call_model(model, x)
    given = f"given outputs {_shape(outputs)} and targets {tuple(y.shape)}"
    with error_context(f"{where}: its loss, {given},"):
        loss = _scalar(call_loss(benchmark.loss, outputs, y))
        if not loss.isfinite():
            raise InputError(f"returned {loss.item()} before training; it must be finite there")
        backward(benchmark.loss, loss, outputs, y)


@torch.no_grad()
def check_measuring(benchmark: Benchmark, model: nn.Module, splits: Splits) -> None:
    """Try the loss and the metrics on some examples in eval mode, in which all are measured.

    Raises InputError that names what fails.
    """
    for name in ("validation", "test"):
        split = getattr(splits, name)
        with evaluating(model):
            try:
                _measure(benchmark, model, name, split, benchmark.batch_size)
            except InputError:  # some metrics need more examples: an AUC needs both classes
                _measure(benchmark, model, name, split, CHUNK)
            if benchmark.whole_split and len(split[0]) > CHUNK:
                with error_context(f"benchmark {benchmark.name}: whole_split:"):
                    joined([model(split[0][:2]), model(split[0][2:5])], [2, 3])


def _measure(benchmark: Benchmark, model: nn.Module, name: str, split: Split, n: int) -> None:
    x, y = split[0][:n], split[1][:n]
    shapes = f"inputs {tuple(x.shape)} and targets {tuple(y.shape)}"
    where = f"benchmark {benchmark.name}: measuring its {name} split of {shapes}"
    with error_context(f"{where}: its model in eval mode"):
        outputs = model(x)
    given = f"given outputs {_shape(outputs)} of the model in eval mode"
    for key, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        with error_context(f"{where}: its {key}, {given},"):
            _scalar(function(outputs, y)).item()


def _shape(outputs: object) -> object:
    return tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__


def _scalar(value: object) -> Tensor:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    received = type(value).__name__
    if isinstance(value, Tensor):
        received = f"shape {tuple(value.shape)}"
    raise InputError(
        f"returned {received}; it must return a tensor without dimensions, "
        "the mean over the examples"
    )
