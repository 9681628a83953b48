"""The benchmark as trials train it: in float64 where it can be, on few examples, with its models in sight."""

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

N_BATCHES = 16  # of training data: enough that their order matters
MEASURED = 64  # examples of the other splits; measuring them is part of the trial, its cost is not

Facts = Iterator[tuple[int, Measurement | RunResult]]


class CannotRunError(Exception):
    """A twin that fails where the benchmark itself may not."""


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A benchmark made comparable: `dtype` is that of its arithmetic, `is_double` whether models are cast to float64."""

    benchmark: Benchmark
    splits: Splits
    dtype: torch.dtype
    is_double: bool
    device: str

    @property
    def floor(self) -> float:
        """The relative difference that rounding makes without any chaos: it adds up over the steps of a trial."""
        return min(0.1, max(1e-9, 1e3 * torch.finfo(self.dtype).eps))

    @property
    def perturbation(self) -> float:
        """The relative change of initial weights that shows what chaos makes of differences; far above one rounding."""
        return min(1e-2, max(1e-10, 16 * torch.finfo(self.dtype).eps))

    def model(self, seed: int) -> nn.Module:
        """The initial model of a seed, where and in the dtype that trials train it."""
        return self.converted(initial_model(self.benchmark, seed)).to(self.device)

    def converted(self, model: nn.Module) -> nn.Module:
        """The same model in the dtype of the twin."""
        return model.double() if self.is_double else model


def twins(
    benchmark: Benchmark, splits: Splits, *, max_steps: int, eval_every: int, device: str
) -> Iterator[Twin]:
    """The ways to try a benchmark, the most telling first: in float64 where its model is float32, and as it is."""
    few = _few(benchmark, splits)
    short = replace(benchmark, max_steps=max_steps, eval_every=eval_every, target=None)
    if _dtypes(benchmark) == {torch.float32}:
        metrics = {name: doubled(metric) for name, metric in benchmark.metrics.items()}
        double = replace(short, loss=doubled(benchmark.loss), metrics=metrics)
        numbers = few.to(device, torch.float64)
        yield Twin(
            benchmark=double, splits=numbers, dtype=torch.float64, is_double=True, device=device
        )
    yield from own_twins(
        benchmark, splits, max_steps=max_steps, eval_every=eval_every, device=device
    )


def own_twins(
    benchmark: Benchmark, splits: Splits, *, max_steps: int, eval_every: int, device: str
) -> Iterator[Twin]:
    """The benchmark in its own dtype; and without metrics, which may need more data than a trial measures."""
    few = _few(benchmark, splits)
    short = replace(benchmark, max_steps=max_steps, eval_every=eval_every, target=None)
    dtypes = _dtypes(benchmark)
    coarsest = max(
        (dtype.to_real() for dtype in dtypes),
        key=lambda dtype: torch.finfo(dtype).eps,
        default=torch.float32,
    )
    own = Twin(
        benchmark=short, splits=few.to(device), dtype=coarsest, is_double=False, device=device
    )
    yield own
    if benchmark.metrics:
        yield replace(own, benchmark=replace(short, metrics={}))


def _dtypes(benchmark: Benchmark) -> set[torch.dtype]:
    """Of the numbers with fractions in its model."""
    tensors = [*(model := initial_model(benchmark, 0)).parameters(), *model.buffers()]
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()}


def doubled(value: Any) -> Any:
    """The same function with float64 in place of float32 among its own tensors: a module, or what a partial holds."""
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).double()
    if isinstance(value, functools.partial):
        keywords = {key: doubled(part) for key, part in value.keywords.items()}
        return functools.partial(doubled(value.func), *map(doubled, value.args), **keywords)
    return value


class Observed:
    """A training that advances from measurement to measurement, with its models in sight.

    `change(index, model)` may change a model before it is trained. Of plain trainings, `on_build(model)` is called when the
    optimizer has been built, and `before_step(model)` when the gradients of a step are there.
    """

    def __init__(
        self,
        engine: Callable[..., Facts],
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
            if on_build is None:
                return optimizer
            on_build(model)
            step = optimizer.step

            @functools.wraps(step)  # schedulers of torch look for a mark of theirs on it
            def watched(*arguments: Any, **keywords: Any) -> Any:
                before_step(model)
                return step(*arguments, **keywords)

            optimizer.step = watched
            return optimizer

        benchmark = replace(twin.benchmark, model=model)
        self._updates = engine(
            benchmark, replace(spec, build=build), runs, twin.splits, device=twin.device
        )

    def advance(self) -> dict[int, Measurement]:
        """Train to the next measurement; what each run measured that has not ended. Raises CannotRunError where one fails."""
        found: dict[int, Measurement] = {}
        while self._live and not found.keys() >= {max(self._live)}:
            index, update = next(self._updates)
            if isinstance(update, Measurement):
                found[index] = update
                continue
            if update.outcome == "failed":
                raise CannotRunError(update.error)
            self.ended[index] = update
            self._live.discard(index)
        return found


def _few(benchmark: Benchmark, splits: Splits) -> Splits:
    def first(split: Split, n: int) -> Split:  # copies: a forward pass may change its inputs
        return split[0][:n].clone(), split[1][:n].clone()

    n = min(benchmark.batch_size, MEASURED)
    return Splits(
        train=first(splits.train, N_BATCHES * benchmark.batch_size),
        validation=first(splits.validation, n),
        test=first(splits.test, n),
    )
