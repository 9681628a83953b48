"""What a step of each optimizer costs: time and memory, measured in turn with the plain loop."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.device import synchronize
from optsuite.training.losses import placed
from optsuite.training.plain import batch_indices, initial_model
from optsuite.training.train_step import build, take_step

# Untimed steps, in which the optimizer creates its state.
WARM_UP = 3
# Steps timed together: some optimizers do most of their work every tenth or twentieth step.
STEPS = 20
# Every optimizer has its turn in each round, because the speed of a machine changes by the second.
ROUNDS = 8
# More rounds, for some seconds, if the machine is so busy that the fastest rounds differ.
MOST_ROUNDS = 40
EXTRA_SECONDS = 20.0
# On a quiet machine the third fastest round takes at most this many times the fastest.
STEADY = 1.03
# Nanoseconds on a core, nanoseconds waiting for one, number of times on a core.
SCHEDULING = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Milliseconds per step of the plain loop, and bytes of optimizer state per parameter.

    `relative_step_time` is the step time of the fastest round, in units of the fastest run of a
    fixed computation between the rounds. A busy or slow machine changes it little, so it can be
    compared over days.
    """

    milliseconds_per_step: float
    state_bytes_per_parameter: float
    relative_step_time: float


def measure_costs(
    benchmark: Benchmark,
    specs: Sequence[OptimizerSpec],
    splits: Splits,
    *,
    device: str,
    extra_seconds: float = EXTRA_SECONDS,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Cost]:
    """The cost of each optimizer, by name; empty once `stop` returns true.

    The splits lie on the device. Takes STEPS steps of each optimizer in each of ROUNDS to
    MOST_ROUNDS rounds, and only ROUNDS once `extra_seconds` are over. The time is the median over
    the rounds. Nothing else should run on the machine meanwhile.
    """
    loops = {spec.name: _Loop(benchmark, spec, splits, device) for spec in specs}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop.run(WARM_UP)
    reference: list[float] = []
    started = time.monotonic()
    for n in range(MOST_ROUNDS):
        if stop():
            return {}
        is_late = time.monotonic() - started > extra_seconds
        if n >= ROUNDS and (is_late or all(map(_is_steady, (reference, *seconds.values())))):
            break
        reference.append(_reference_seconds())
        for name, loop in loops.items():
            seconds[name].append(loop.run(STEPS))

    costs: dict[str, Cost] = {}
    for name, loop in loops.items():
        costs[name] = Cost(
            milliseconds_per_step=statistics.median(seconds[name]) / STEPS * 1e3,
            state_bytes_per_parameter=loop.state_bytes() / max(1, loop.n_parameters()),
            relative_step_time=min(seconds[name]) / STEPS / min(reference),
        )
    return costs


def _is_steady(seconds: Sequence[float]) -> bool:
    fastest = sorted(seconds)
    return fastest[2] <= STEADY * fastest[0]


def _reference_seconds() -> float:
    """Seconds for small matrix products and elementwise functions on the CPU, typical of a step."""
    x = torch.linspace(-1, 1, 128 * 128).view(128, 128)
    started = _now()
    for _ in range(100):
        x = torch.tanh(x @ x.T)
    return _now() - started


def _now() -> float:
    """Seconds on a clock that stops while this thread waits for a core, where the system tells."""
    while True:
        waited_before = _waited()
        now = time.perf_counter()
        waited = _waited()
        if waited_before == waited:  # otherwise the two clocks were read at different moments
            return now - waited


def _waited() -> float:
    """Seconds that this thread has waited for a core; 0 where the system does not tell."""
    try:
        return int(SCHEDULING.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class _Loop:
    """Takes the steps of the plain loop, some at a time."""

    def __init__(
        self, benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, device: str
    ) -> None:
        self._benchmark = placed(benchmark, device)
        self._spec = spec
        self._data = splits.train
        self._device = device
        self._batches = batch_indices(len(splits.train[0]), benchmark, 0)
        self._model = initial_model(benchmark, 0).to(device)
        self._optimizer = build(spec, self._model, spec.default_lr or spec.lr.low)

    def run(self, n_steps: int) -> float:
        """The seconds that this many steps take."""
        x, y = self._data
        synchronize(self._device)
        started = _now()
        for _ in range(n_steps):
            rows = next(self._batches).to(self._device)
            batch = x[rows], y[rows]
            take_step(self._benchmark, self._spec, self._model, self._optimizer, *batch, 0)
        synchronize(self._device)
        return _now() - started

    def n_parameters(self) -> int:
        """The number of the model's parameters."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def state_bytes(self) -> int:
        """The bytes of the optimizer's state without scalars, such as step counts."""
        n_bytes = 0
        for state in self._optimizer.state.values():
            for tensor in _tensors(state):
                if tensor.dim():
                    n_bytes += _bytes(tensor)
        return n_bytes


def _bytes(tensor: Tensor) -> int:
    """The bytes of a tensor; of a sparse one, those of its indices and values."""
    if tensor.layout is torch.sparse_coo:
        coalesced = tensor.coalesce()
        return coalesced.indices().nbytes + coalesced.values().nbytes
    return tensor.nbytes


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors at any depth of a value: some optimizers keep them in lists or in objects."""
    match value:
        case Tensor():
            yield value
        case Mapping():
            for part in value.values():
                yield from _tensors(part)
        case list() | tuple():
            for part in value:
                yield from _tensors(part)
        case _ if hasattr(value, "__dict__") and not callable(value):
            yield from _tensors(vars(value))
