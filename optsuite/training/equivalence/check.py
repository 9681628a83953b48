"""Whether stacked runs equal plain ones: both engines train the same runs, which are compared.

The runs are two seeds at a small rate and two at the top of the interval. Beside each, the stack
trains the same run with slightly perturbed initial weights: where these two diverge from each
other, as chaos at high rates makes them, engines may differ too.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, one_line
from optsuite.training import plain, stacked
from optsuite.training.device import device_of_checks
from optsuite.training.equivalence.agreement import TINY, perturb
from optsuite.training.equivalence.comparison import Comparison
from optsuite.training.equivalence.definition_state import DefinitionState
from optsuite.training.equivalence.flat_check import why_not_flat
from optsuite.training.equivalence.twin import (
    CannotRunError,
    Observed,
    Twin,
    Updates,
    own_twins,
    twins,
)
from optsuite.training.equivalence.watch import StackRefusedError, Watch
from optsuite.training.plain import initial_model
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.stack import NotStackableError
from optsuite.training.train_step import is_out_of_memory

STEPS = 50  # enough for anything done every few, every ten or after twenty steps
EVERY = 7  # steps between comparisons; coprime to usual intervals
CHECK_SECONDS = 300  # less than the time limit for trying an optimizer, which would end the check
LACKS = "the check of stacks needs more {} than is available"

Values = Mapping[str, float]
Update = Measurement | RunResult


def choose(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, device: str
) -> tuple[str, str]:
    """The fastest engine that equals the plain one, and a clause: why no faster one, or empty.

    Raises InputError if the runs of the benchmark depend on what was trained before them.
    """
    on = device_of_checks(device)
    check_repeats(benchmark, spec, splits, n_steps=STEPS // 4, device=on)
    try:
        return _tried(benchmark, spec, splits, on)
    except Exception as error:
        if is_out_of_memory(error):
            return "plain", LACKS.format("memory")
        if isinstance(error, TimeoutError):
            return "plain", LACKS.format("time")
        raise


def _tried(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, device: str
) -> tuple[str, str]:
    """The same, without the check. Raises if memory is short, or after CHECK_SECONDS."""
    deadline = time.monotonic() + CHECK_SECONDS
    before = DefinitionState(benchmark, spec)
    if unfit := _shared(benchmark):
        return "plain", unfit
    n_steps = max(2, min(STEPS, benchmark.max_steps))
    every = min(EVERY, n_steps)
    failure = ""
    for twin in twins(benchmark, splits, max_steps=n_steps, eval_every=every, device=device):
        try:
            engine, reason = _choose(twin, spec, deadline)
        except CannotRunError as error:
            failure = failure or str(error)
            continue
        except StackRefusedError as refused:
            return "plain", str(refused)
        if engine != "plain" and (changed := before.change()):
            return "plain", changed
        return engine, reason
    return "plain", failure


def rates_tried(spec: OptimizerSpec) -> tuple[float, float]:
    """The lowest and the highest rate that a check covers: the interval and the default rate."""
    rates = [spec.lr.low, spec.lr.high]
    if spec.default_lr:
        rates.append(spec.default_lr)
    return min(rates), max(rates)


def check_repeats(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, n_steps: int, device: str
) -> None:
    """Raise InputError unless a run that is trained twice in this process measures the same."""
    run = _run(benchmark, spec, _middle(spec), 0)
    for twin in own_twins(benchmark, splits, max_steps=n_steps, eval_every=n_steps, device=device):
        first = _trained(twin, spec, run)
        second = _trained(twin, spec, run)
        if not _has_failed(first) and not _has_failed(second):
            break
    initial = _values(first[0])
    for one, other in zip(first, second, strict=False):
        if not _is_close(_values(one), _values(other), initial):
            raise InputError(
                "found that its runs depend on what was trained before them, or on random numbers "
                "without a seed; keep all state in the module that model() returns"
            )


def _trained(twin: Twin, spec: OptimizerSpec, run: Run) -> list[Update]:
    updates = plain.train(twin.benchmark, spec, [run], twin.splits, device=twin.device)
    return [update for _, update in updates]


def _has_failed(updates: Sequence[Update]) -> bool:
    return any(isinstance(one, RunResult) and one.outcome == "failed" for one in updates)


def _values(update: Update) -> Values:
    return update.values if isinstance(update, Measurement) else {}


def _is_close(one: Values, other: Values, initial: Values) -> bool:
    """Whether values are equal up to rounding.

    `initial` are those before training: losses near zero are rounded relative to them.
    """
    if one.keys() != other.keys():
        return False
    of_losses = TINY * abs(initial.get("validation/loss", 0.0))
    for name, value in one.items():
        abs_tol = of_losses if name.endswith("/loss") else 0.0
        if not math.isclose(value, other[name], rel_tol=1e-5, abs_tol=abs_tol):
            return False
    return True


def _shared(benchmark: Benchmark) -> str:
    """A tensor that two models have in common, as a clause: it would be cast and stacked."""
    models = [initial_model(benchmark, seed) for seed in (0, 1)]
    first, second = map(_addresses, models)
    for address in first.keys() & second.keys():
        return f"its models share {first[address]}"
    return ""


def _addresses(model: nn.Module) -> dict[int, str]:
    return {tensor.data_ptr(): name for name, tensor in _named(model) if tensor.numel()}


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _choose(twin: Twin, spec: OptimizerSpec, deadline: float) -> tuple[str, str]:
    """The fastest engine that passes, and what rules out a faster one."""
    if not spec.lr_linear:
        reason = _why_not(stacked.train, twin, spec, deadline)
        return ("plain", reason) if reason else ("stacked", "")
    against_flat = why_not_flat(twin, spec) or _why_not(stacked.train, twin, spec, deadline)
    if not against_flat:
        return "stacked", ""
    reason = _why_not(stacked.train_views, twin, spec, deadline)
    return ("plain", reason) if reason else ("stacked_views", against_flat)


def _why_not(
    engine: Callable[..., Updates], twin: Twin, spec: OptimizerSpec, deadline: float = math.inf
) -> str:
    """What rules out this kind of stack, as a clause; empty if nothing does.

    Raises StackRefusedError if every kind is ruled out, CannotRunError if the twin fails.
    """
    runs = _runs(twin, spec)
    watches: list[Watch] = []
    plains: list[Observed] = []
    for run in runs:
        watch = Watch()
        watches.append(watch)
        plains.append(_watched(twin, spec, run, watch))

    def change(index: int, model: nn.Module) -> None:
        if index >= len(runs):
            perturb(model, lambda dtype: twin.perturbation, seed=index)

    stack = Observed(engine, twin, spec, runs * 2, change=change)
    comparison = Comparison(twin, len(runs))
    for _ in range(2 + twin.benchmark.max_steps // twin.benchmark.eval_every):
        if time.monotonic() > deadline:
            raise TimeoutError
        expected = [training.advance() for training in plains]
        for watch in watches:
            watch.check()
        try:
            received = _advanced(stack)
        except NotStackableError as error:
            return str(error)
        if reason := comparison.disagreement(plains, expected, stack, received):
            return reason
    if left := comparison.left():
        return left
    for watch, view in zip(watches, stack.models, strict=False):
        watch.finish(view)
    return ""


def _watched(twin: Twin, spec: OptimizerSpec, run: Run, watch: Watch) -> Observed:
    """A plain training of the run."""
    return Observed(plain.train, twin, spec, [run], on_build=watch.begin, before_step=watch.look)


def _runs(twin: Twin, spec: OptimizerSpec) -> list[Run]:
    """Two seeds at a small rate, then two at the highest."""
    low, high = rates_tried(spec)
    if not twin.is_double:
        low = _middle(spec)  # in lower precision, the smallest rates do not move the weights
    return [_run(twin.benchmark, spec, lr, seed) for lr in (low, high) for seed in (0, 1)]


def _advanced(stack: Observed) -> dict[int, Measurement]:
    """What the stack measures next. Raises NotStackableError if it cannot train such runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vmap warns about slow operations
            return stack.advance()
    except (CannotRunError, NotStackableError, TimeoutError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(error).partition(". ")[0][:200]
        raise NotStackableError(f"torch cannot stack it ({reason})") from error


def _middle(spec: OptimizerSpec) -> float:
    return spec.default_lr or math.sqrt(spec.lr.low * spec.lr.high)


def _run(benchmark: Benchmark, spec: OptimizerSpec, lr: float, seed: int) -> Run:
    return Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
