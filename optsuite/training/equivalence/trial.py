"""Whether stacked runs are plain ones: both engines train the same few runs, and all that they hold is compared.

The runs are two seeds at a small rate and two at the top of the interval. Beside each, the stack trains a twin with slightly
other initial weights: where twins part, as chaos at high rates has it, engines may part as well.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError, one_line
from optsuite.training import plain, stacked
from optsuite.training.device import trial_device
from optsuite.training.equivalence.agreement import TINY, nudge
from optsuite.training.equivalence.comparison import Comparison
from optsuite.training.equivalence.definition_state import DefinitionState
from optsuite.training.equivalence.flat_trial import why_not_flat
from optsuite.training.equivalence.twin import (
    CannotRunError,
    Facts,
    Observed,
    Twin,
    own_twins,
    twins,
)
from optsuite.training.equivalence.watch import StackRefusedError, Watch
from optsuite.training.plain import initial_model
from optsuite.training.results import Measurement, Run, RunResult
from optsuite.training.stack import NotStackableError
from optsuite.training.train_step import is_out_of_memory

STEPS = 50  # enough for what is done every few, every ten or after twenty steps
EVERY = 7  # steps between comparisons; it divides nothing that is done every so often
TRIAL_SECONDS = 300  # fewer than an optimizer has to be tried out: else a slow trial would end it
LACKS = "the trial of stacks needs more {} than there is"

Values = Mapping[str, float]


def choose(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, device: str
) -> tuple[str, str]:
    """The engine that trains as the plain one does, and why it is not the fastest, in one clause; empty where it is.

    Raises InputError where the runs of the benchmark depend on what was trained before them.
    """
    on = trial_device(device)
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
    """The same. Raises whatever says that a trial lacks memory, and TimeoutError after TRIAL_SECONDS."""
    deadline = time.monotonic() + TRIAL_SECONDS
    before = DefinitionState(benchmark, spec)
    if shared := _shared(benchmark):
        return "plain", shared
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
    """The lowest and the highest rate that a trial speaks for: those of the interval, and the default rate beside it."""
    rates = (spec.lr.low, spec.lr.high, *([spec.default_lr] if spec.default_lr else []))
    return min(rates), max(rates)


def check_repeats(
    benchmark: Benchmark, spec: OptimizerSpec, splits: Splits, *, n_steps: int, device: str
) -> None:
    """Raise InputError unless a run that is trained twice in this process measures the same."""
    run = _run(benchmark, spec, _middle(spec), 0)
    for twin in own_twins(benchmark, splits, max_steps=n_steps, eval_every=n_steps, device=device):
        first, second = (
            [
                update
                for _, update in plain.train(
                    twin.benchmark, spec, [run], twin.splits, device=device
                )
            ]
            for _ in range(2)
        )
        if not any(
            isinstance(update, RunResult) and update.outcome == "failed"
            for update in (*first, *second)
        ):
            break
    for one, other in zip(first, second, strict=False):
        values = [
            update.values if isinstance(update, Measurement) else {} for update in (one, other)
        ]
        if not _is_close(
            *values, near=first[0].values if isinstance(first[0], Measurement) else {}
        ):
            raise InputError(
                "found that its runs depend on what was trained before them, or on chance that has no seed; "
                "keep all state in the module, which model() makes anew"
            )


def _is_close(one: Values, other: Values, *, near: Values) -> bool:
    """Whether values are the same but for rounding; `near` are those before training, which losses near zero came from."""
    before = abs(near.get("validation/loss", 0.0))
    return one.keys() == other.keys() and all(
        math.isclose(
            value,
            other[name],
            rel_tol=1e-5,
            abs_tol=TINY * before if name.endswith("/loss") else 0.0,
        )
        for name, value in one.items()
    )


def _shared(benchmark: Benchmark) -> str:
    """What two models have in common that should be one's own, in a clause: a global backbone would be cast and stacked."""
    models = [initial_model(benchmark, seed) for seed in (0, 1)]
    own = [
        {tensor.data_ptr(): name for name, tensor in _named(model) if tensor.numel()}
        for model in models
    ]
    for pointer in own[0].keys() & own[1].keys():
        return f"its models share {own[0][pointer]}"
    return ""


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _choose(twin: Twin, spec: OptimizerSpec, deadline: float) -> tuple[str, str]:
    """The fastest engine that passes, and what stands against a faster one."""
    if not spec.lr_linear:
        reason = _why_not(stacked.train, twin, spec, deadline)
        return ("plain", reason) if reason else ("stacked", "")
    against_flat = why_not_flat(twin, spec) or _why_not(stacked.train, twin, spec, deadline)
    if not against_flat:
        return "stacked", ""
    reason = _why_not(stacked.train_views, twin, spec, deadline)
    return ("plain", reason) if reason else ("stacked_views", against_flat)


def _why_not(
    engine: Callable[..., Facts], twin: Twin, spec: OptimizerSpec, deadline: float = math.inf
) -> str:
    """What stands against this way to stack. Raises StackRefusedError for what stands against any, CannotRunError for a twin that fails."""
    low, high = rates_tried(spec)
    if not twin.is_double:
        low = _middle(spec)  # in lower precision, the smallest rates move nothing
    runs = [_run(twin.benchmark, spec, lr, seed) for lr in (low, high) for seed in (0, 1)]
    watches = [Watch() for _ in runs]
    plains = [
        Observed(plain.train, twin, spec, [run], on_build=watch.begin, before_step=watch.look)
        for run, watch in zip(runs, watches, strict=True)
    ]

    def perturb(index: int, model: nn.Module) -> None:
        if index >= len(runs):
            nudge(model, lambda dtype: twin.perturbation, seed=index)

    stack = Observed(engine, twin, spec, runs * 2, change=perturb)
    comparison = Comparison(twin, len(runs))
    for _ in range(2 + twin.benchmark.max_steps // twin.benchmark.eval_every):
        if time.monotonic() > deadline:
            raise TimeoutError
        expected = [training.advance() for training in plains]
        for watch in watches:
            watch.check()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what vmap does slowly
                received = stack.advance()
        except (CannotRunError, TimeoutError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return (
                str(error)
                if isinstance(error, NotStackableError)
                else one_line(error).partition(". ")[0][:200]
            )
        if parted := comparison.parted(plains, expected, stack, received):
            return parted
    if left := comparison.left():
        return left
    for watch, view in zip(watches, stack.models, strict=False):
        watch.finish(view)
    return ""


def _middle(spec: OptimizerSpec) -> float:
    return spec.default_lr or math.sqrt(spec.lr.low * spec.lr.high)


def _run(benchmark: Benchmark, spec: OptimizerSpec, lr: float, seed: int) -> Run:
    return Run(benchmark=benchmark.name, optimizer=spec.name, lr=lr, seed=seed, kind="trial")
