"""A benchmark as checks of engines train it: in float64 if possible, on few examples."""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Split, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.plain import initial_model
from optsuite.training.results import Measurement, Run, RunResult

N_BATCHES = 16  # of training data: enough for their order to matter
MEASURED = 64  # examples of the other splits: checks compare how engines measure, at little cost

Updates = Iterator[tuple[int, Measurement | RunResult]]


class CannotRunError(Exception):
    """A twin failed, which does not mean that the benchmark itself would."""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A benchmark made comparable.

    `dtype` is that of its arithmetic; `is_double` tells whether models are cast to float64.
    """

    benchmark: Benchmark
    splits: Splits
    dtype: torch.dtype
    is_double: bool
    device: str

    @property
    def floor(self) -> float:
        """The relative difference to which rounding adds up in a check without any chaos."""
        return max(1e-9, 1e3 * torch.finfo(self.dtype).eps)

    @property
    def perturbation(self) -> float:
        """The relative change of initial weights that reveals chaos, far above one rounding."""
        return max(1e-10, 16 * torch.finfo(self.dtype).eps)

    def model(self, seed: int) -> nn.Module:
        """The initial model of a seed, on the device and in the dtype of the check."""
        return self.converted(initial_model(self.benchmark, seed)).to(self.device)

    def converted(self, model: nn.Module) -> nn.Module:
        """The same model in the dtype of the twin."""
        return model.double() if self.is_double else model


def twins(
    benchmark: Benchmark, splits: Splits, *, max_steps: int, eval_every: int, device: str
) -> Iterator[Twin]:
    """The ways to try a benchmark, the most telling first.

    A float32 model comes in float64 first; then follow those of `own_twins`.
    """
    few = _few(benchmark, splits)
    short = replace(benchmark, max_steps=max_steps, eval_every=eval_every, target=None)
    if _dtypes(benchmark) == {torch.float32}:
        metrics = {name: doubled(metric) for name, metric in benchmark.metrics.items()}
        yield Twin(
            benchmark=replace(short, loss=doubled(benchmark.loss), metrics=metrics),
            splits=few.to(device, torch.float64),
            dtype=torch.float64,
            is_double=True,
            device=device,
        )
    yield from own_twins(
        benchmark, splits, max_steps=max_steps, eval_every=eval_every, device=device
    )


def own_twins(
    benchmark: Benchmark, splits: Splits, *, max_steps: int, eval_every: int, device: str
) -> Iterator[Twin]:
    """The benchmark in its own dtype, then without metrics, which may need more data."""
    few = _few(benchmark, splits)
    short = replace(benchmark, max_steps=max_steps, eval_every=eval_every, target=None)
    dtypes = [dtype.to_real() for dtype in _dtypes(benchmark)]
    coarsest = max(dtypes, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float32)
    own = Twin(
        benchmark=short, splits=few.to(device), dtype=coarsest, is_double=False, device=device
    )
    yield own
    if benchmark.metrics:
        yield replace(own, benchmark=replace(short, metrics={}))


def _dtypes(benchmark: Benchmark) -> set[torch.dtype]:
    """The floating-point and complex dtypes in its model."""
    model = initial_model(benchmark, 0)
    found: set[torch.dtype] = set()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() or tensor.is_complex():
            found.add(tensor.dtype)
    return found


def doubled(value: Any) -> Any:
    """The same function with its float32 tensors in float64: a module, or parts of a partial."""
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).double()
    if isinstance(value, functools.partial):
        keywords = {key: doubled(part) for key, part in value.keywords.items()}
        return functools.partial(doubled(value.func), *map(doubled, value.args), **keywords)
    return value


class Observed:
    """A training that advances from measurement to measurement and exposes its models.

    `change(index, model)` may change a model before it is trained. In plain trainings, `on_build`
    is called with the model when the optimizer has been built, and `before_step` when the gradients
    of a step have been computed.
    """

    def __init__(
        self,
        engine: Callable[..., Updates],
        twin: Twin,
        spec: OptimizerSpec,
        runs: Sequence[Run],
        *,
        change: Callable[[int, nn.Module], None] = lambda index, model: None,
        on_build: Callable[[nn.Module], None] | None = None,
        before_step: Callable[[nn.Module], None] = lambda model: None,
    ) -> None:
        self.models: list[nn.Module] = []
        self.ended: dict[int, RunResult] = {}
        self._live = set(range(len(runs)))

        def model() -> nn.Module:
            made = twin.converted(twin.benchmark.model())
            change(len(self.models), made)
            self.models.append(made)
            return made

        def build(model: nn.Module, lr: float, **fixed: Any) -> Any:
            optimizer: Any = spec.build(model, lr, **fixed)
            if on_build is not None:
                on_build(model)
                optimizer.step = _announced(optimizer.step, lambda: before_step(model))
            return optimizer

        benchmark = replace(twin.benchmark, model=model)
        self._updates = engine(
            benchmark, replace(spec, build=build), runs, twin.splits, device=twin.device
        )

    def advance(self) -> dict[int, Measurement]:
        """Train to the next measurement; return it for each run that has not ended.

        Raises CannotRunError if a run fails.
        """
        found: dict[int, Measurement] = {}
        while self._live and max(self._live) not in found:
            index, update = next(self._updates)
            if isinstance(update, Measurement):
                found[index] = update
                continue
            if update.outcome == "failed":
                raise CannotRunError(update.error)
            self.ended[index] = update
            self._live.discard(index)
        return found


def _announced(step: Callable[..., Any], before: Callable[[], None]) -> Callable[..., Any]:
    """The step of an optimizer, with a call of `before` in front of it."""

    @functools.wraps(step)  # torch's schedulers look for an attribute that they set on it
    def announced(*arguments: Any, **keywords: Any) -> Any:
        before()
        return step(*arguments, **keywords)

    return announced


def _few(benchmark: Benchmark, splits: Splits) -> Splits:
    n = min(benchmark.batch_size, MEASURED)
    return Splits(
        train=_first(splits.train, N_BATCHES * benchmark.batch_size),
        validation=_first(splits.validation, n),
        test=_first(splits.test, n),
    )


def _first(split: Split, n: int) -> Split:
    # Copies, because a forward pass may change its inputs.
    return split[0][:n].clone(), split[1][:n].clone()
