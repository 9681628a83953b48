"""Trying a definition before anything is started: does the data load, the loss fit the model, the optimizer build?"""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.definition import Benchmark, OptimizerSpec, Splits
from optsuite.errors import BadInput, one_line, require
from optsuite.training.plain import initial_model, mean_values
from optsuite.training.step import build, judged, set_rate, take_step


def check_device(device: str) -> None:
    """Raise BadInput unless tensors can be made on the device."""
    try:
        kind = torch.device(device)
        if kind.type not in ("cpu", "cuda", "mps") or (kind.type == "cpu" and kind.index):
            raise RuntimeError("not a device to train on")
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there = ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
        raise BadInput(f"device: got {device!r}, allowed on this machine: {', '.join(there)}") from error


def load_splits(benchmark: Benchmark) -> Splits:
    """The dataset of a benchmark. Raises BadInput, DatasetUnavailable among it."""
    with blamed(f"benchmark {benchmark.name}: its dataset"):
        splits = benchmark.dataset()
        if not isinstance(splits, Splits):
            raise BadInput(f"got {type(splits).__name__}, allowed: Splits")
    n = len(splits.train[0])
    if n < benchmark.batch_size:
        raise BadInput(f"benchmark {benchmark.name}: got batch_size {benchmark.batch_size}, allowed: at most {n}, its examples")
    return splits


def check_benchmark(benchmark: Benchmark, splits: Splits) -> None:
    """Run one forward and backward pass of the benchmark. Raises BadInput that names it and the shapes."""
    where = f"benchmark {benchmark.name}"
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    with blamed(f"{where}: its model"):
        model = initial_model(benchmark, 0)
        if not isinstance(model, nn.Module):
            raise BadInput(f"returned {type(model).__name__}, allowed: a function that returns an nn.Module")
    with blamed(f"{where}: its model, given inputs {tuple(x.shape)},"):
        outputs = model(x)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    for name, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        with blamed(f"{where}: its {name}, given outputs {shape} and targets {tuple(y.shape)},"):
            value = function(outputs, y)
            if not (isinstance(value, Tensor) and value.ndim == 0):
                received = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise BadInput(f"returned {received}, allowed: a tensor without dimensions, the mean over the examples")
            if name == "loss":
                if not value.isfinite():
                    raise BadInput(f"returned {value.item()}, allowed: a finite number before training")
                value.backward()  # type: ignore[no-untyped-call]
    for name in ("validation", "test"):
        x, y = (part[: benchmark.batch_size] for part in getattr(splits, name))
        with blamed(f"{where}: measuring its {name} split of inputs {tuple(x.shape)} and targets {tuple(y.shape)}"):
            mean_values(benchmark, model, (x, y))
    again = initial_model(benchmark, 0)
    if not all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)):
        raise BadInput(f"{where}: got a model whose initial weights differ each time, allowed: torch's generator alone")


def check_pair(benchmark: Benchmark, spec: OptimizerSpec, splits: Splits) -> None:
    """Build the optimizer for the benchmark's model and take a step. Raises BadInput that names both."""
    where = f"optimizer {spec.name} on benchmark {benchmark.name}"
    model = initial_model(benchmark, 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with blamed(f"{where}: its build"):
        optimizer = build(spec, model, spec.lr.low)
        if not isinstance(optimizer, Optimizer):
            raise BadInput(f"returned {type(optimizer).__name__}, allowed: a torch.optim.Optimizer")
        if not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
            raise BadInput("changed the weights of the model, allowed: leaving them, so that all optimizers start alike")
    with blamed(f"{where}: its step, called {'with' if spec.closure else 'without'} a closure,"):
        x, y = (part[: benchmark.batch_size] for part in splits.train)
        for step in (1, (1 + benchmark.max_steps) // 2, benchmark.max_steps):
            fraction = spec.fraction(step, benchmark.max_steps)
            usable = isinstance(fraction, int | float) and 0 <= fraction <= 1
            require(usable, f"its schedule at step {step}", fraction, "a fraction from 0 to 1")
        set_rate(optimizer, fraction)
        take_step(benchmark, spec, model, optimizer, x, y, 0)
        with judged([optimizer]):
            pass


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside after so long. Only in the main thread, and where there are alarms; elsewhere no limit."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
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
def blamed(culprit: str) -> Iterator[None]:
    """Turn what goes wrong inside, warnings about shapes included, into BadInput that names the culprit."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*target size.*")  # a loss that broadcasts is a wrong loss
            yield
    except BadInput as error:
        raise error if str(error).startswith("dataset:") else BadInput(f"{culprit} {error}") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"{culprit} raised {one_line(error)}") from error
