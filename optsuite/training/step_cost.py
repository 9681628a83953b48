"""What a step of each optimizer costs: time and memory, measured alone, in turn, away from any stack."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.device import synchronize
from optsuite.training.losses import placed
from optsuite.training.plain import batch_indices, initial_model
from optsuite.training.train_step import build, take_step

WARM_UP = 3  # steps that make the optimizer's state, and are not timed
ROUNDS = 8  # in each, every optimizer has its turn: the speed of a machine changes by the second
MOST_ROUNDS = 40  # where others use the machine: then the fastest rounds differ
EXTRA_SECONDS = 20.0
STEADY = 1.03  # times the fastest round is what the third fastest takes on a quiet machine
SCHEDULING = Path(
    "/proc/thread-self/schedstat"
)  # nanoseconds on a core, nanoseconds waiting for one, and how often
STEPS = (
    20  # timed together: some optimizers do the most of their work every tenth or twentieth step
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Milliseconds of one step of the plain loop, and bytes of optimizer state a parameter.

    `relative_step_time` is the fastest round's, in units of the fastest of a fixed computation between the rounds: what else
    goes on, or a machine that is slow today, moves it little, so that it can be compared over days.
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
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Cost]:
    """The cost of each optimizer on a benchmark, whose splits lie on the device; nothing once `stop` says so.

    Takes ROUNDS to MOST_ROUNDS times STEPS steps of each, but no more than ROUNDS once EXTRA_SECONDS are over. The time is
    the median over the rounds. Nothing else should run on the machine meanwhile.
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
        is_late = time.monotonic() - started > EXTRA_SECONDS
        if n >= ROUNDS and (is_late or all(map(_is_steady, (reference, *seconds.values())))):
            break
        reference.append(_reference_seconds())
        for name, loop in loops.items():
            seconds[name].append(loop.run(STEPS))
    return {
        name: Cost(
            milliseconds_per_step=statistics.median(seconds[name]) / STEPS * 1e3,
            state_bytes_per_parameter=_state_bytes(loop.optimizer)
            / max(1, _n_parameters(loop.model)),
            relative_step_time=min(seconds[name]) / STEPS / min(reference),
        )
        for name, loop in loops.items()
    }


def _is_steady(seconds: Sequence[float]) -> bool:
    fastest = sorted(seconds)
    return fastest[2] <= STEADY * fastest[0]


def _reference_seconds() -> float:
    """Of small matrix products and functions of their elements on one thread of the CPU, as steps spend their time."""
    x = torch.linspace(-1, 1, 128 * 128).view(128, 128)
    started = _now()
    for _ in range(100):
        x = torch.tanh(x @ x.T)
    return _now() - started


def _now() -> float:
    """Seconds on a clock that stands still while this thread waits for a core that others have, where the system tells."""
    while True:
        before, now, after = _waited(), time.perf_counter(), _waited()
        if before == after:  # it did not wait between the two clocks
            return now - after


def _waited() -> float:
    try:
        return int(SCHEDULING.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class _Loop:
    """The steps of the plain loop, some at a time."""

    def __init__(
        self, benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, device: str
    ) -> None:
        self._benchmark = placed(benchmark, device)
        self._spec = spec
        self._data = splits.train
        self._device = device
        self._batches = batch_indices(len(splits.train[0]), benchmark, 0)
        self.model = initial_model(benchmark, 0).to(device)
        self.optimizer = build(spec, self.model, spec.default_lr or spec.lr.low)

    def run(self, n_steps: int) -> float:
        """The seconds that so many steps take."""
        x, y = self._data
        synchronize(self._device)
        started = _now()
        for _ in range(n_steps):
            batch = next(self._batches).to(self._device)
            take_step(
                self._benchmark, self._spec, self.model, self.optimizer, x[batch], y[batch], 0
            )
        synchronize(self._device)
        return _now() - started


def _n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _state_bytes(optimizer: Optimizer) -> int:
    """Less scalars, which are steps and the like."""
    return sum(
        _bytes(tensor)
        for state in optimizer.state.values()
        for tensor in _tensors(state)
        if tensor.dim()
    )


def _bytes(tensor: Tensor) -> int:
    """What a tensor takes; of a sparse one, its indices and values."""
    if tensor.layout is torch.sparse_coo:
        held = tensor.coalesce()
        return held.indices().nbytes + held.values().nbytes
    return tensor.nbytes


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors in a value, however deep: some optimizers keep lists of them, or objects that hold them."""
    match value:
        case Tensor():
            yield value
        case Mapping():
            yield from (tensor for part in value.values() for tensor in _tensors(part))
        case list() | tuple():
            yield from (tensor for part in value for tensor in _tensors(part))
        case _ if hasattr(value, "__dict__") and not callable(value):
            yield from _tensors(vars(value))
