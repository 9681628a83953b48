"""One update of one model, and what optimizers need around it: a rate, a closure, a mode."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.errors import InputError
from optsuite.training.device import seed_device
from optsuite.training.identity import derived_seed

# Our own keys in a parameter group: the rate as built, and the rate that we set last. `initial_lr`
# belongs to torch's schedulers.
BASE_LR = "optsuite_base_lr"
GIVEN_LR = "optsuite_given_lr"
# The first numbers that Python's and NumPy's generators draw after seed 0.
FIRST = (random.Random(0).random(), np.random.RandomState(0).random_sample())  # noqa: S311
OWN_RATE = (
    "sets its own learning rate, which a schedule would overwrite; leave its schedule constant"
)


def build(spec: OptimizerSpec, model: nn.Module, lr: float, seed: int = 0) -> Optimizer:
    """The optimizer of one model, ready to train.

    Seeds the generators, so that random numbers it draws depend only on the seed of the run.
    """
    first = next(model.parameters(), None)
    device = "cpu" if first is None else str(first.device)
    seed_generators(derived_seed("optimizer", seed), device)
    optimizer: Any = spec.build(model, lr, **spec.fixed)
    if _has_modes(optimizer):
        optimizer.train()
    return optimizer  # type: ignore[no-any-return]


def closure(
    benchmark: Benchmark,
    model: nn.Module,
    optimizer: Optimizer,
    x: Tensor,
    y: Tensor,
    seed: int,
    losses: list[Tensor],
) -> Callable[[], Tensor]:
    """A function that computes the loss of a batch and its gradients, and adds it to `losses`."""

    def loss_and_gradients() -> Tensor:
        seed_generators(seed, str(x.device))
        optimizer.zero_grad()
        loss = benchmark.loss(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        return loss

    return loss_and_gradients


def take_step(
    benchmark: Benchmark,
    spec: OptimizerSpec,
    model: nn.Module,
    optimizer: Optimizer,
    x: Tensor,
    y: Tensor,
    seed: int,
) -> Tensor:
    """Update the model from one batch and return the loss before it.

    The generators are seeded before each forward pass, so that models that draw random numbers
    stay paired by seed, and a closure draws the same numbers at each call. A step that calls a
    closure begins without gradients, because those of the batch before must not affect it.
    """
    losses: list[Tensor] = []
    loss_and_gradients = closure(benchmark, model, optimizer, x, y, seed, losses)
    if spec.closure:
        for parameter in model.parameters():
            parameter.grad = None
        optimizer.step(loss_and_gradients)  # type: ignore[arg-type]
        if not losses:
            raise InputError("never called it; closure=False is for a step that needs none")
    else:
        loss_and_gradients()
        optimizer.step()
    return losses[0]


def set_lr(optimizer: Optimizer, lr_multiplier: float) -> None:
    """Let the next step use this fraction of the rates that the optimizer was built with.

    A constant rate leaves the optimizer alone, which may have its own scheduler. Raises InputError
    if the optimizer changes its rate itself or has none.
    """
    for group in optimizer.param_groups:
        if lr_multiplier == 1 and BASE_LR not in group:
            continue
        if "lr" not in group:
            raise InputError(
                "its parameter groups have no lr that a schedule could set; give it schedule=None"
            )
        base = group.setdefault(BASE_LR, _copied(group["lr"]))
        if GIVEN_LR in group and bool(group["lr"] != group[GIVEN_LR]):
            raise InputError(OWN_RATE)
        group["lr"] = base * lr_multiplier
        group[GIVEN_LR] = _copied(group["lr"])


def _copied(rate: float | Tensor) -> float | Tensor:
    return rate.clone() if isinstance(rate, Tensor) else rate


def has_overflowed(model: nn.Module) -> bool:
    """Whether a weight is not finite, or a gradient too large to be squared.

    An exception of the optimizer then counts as divergence.
    """
    for parameter in model.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if not (parameter.isfinite().all() and gradient.norm().square().isfinite()):
            return True
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the machine or its device lacks memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU, torch raises a RuntimeError that only its text distinguishes.
    return any(text in str(error) for text in ("can't allocate memory", "bad_alloc"))


@contextmanager
def eval_mode(optimizers: Iterable[Optimizer]) -> Iterator[None]:
    """Switch optimizers that have modes, such as schedule-free ones, to the weights to evaluate.

    Switches back to the weights for training at the end.
    """
    own: list[Any] = [optimizer for optimizer in optimizers if _has_modes(optimizer)]
    for optimizer in own:
        optimizer.eval()
    try:
        yield
    finally:
        for optimizer in own:
            optimizer.train()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode, and each module back into its own mode at the end.

    Some modules stay in eval mode during training.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:  # parents first, since their modes are passed down
            if module.training != mode:
                module.train(mode)


def _has_modes(optimizer: Any) -> bool:
    return hasattr(optimizer, "train") and hasattr(optimizer, "eval")


def seed_generators(seed: int, device: str) -> None:
    """Seed the global generators of Python, NumPy, torch on the CPU, and the device, in 10 us."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # 1 us; torch.manual_seed takes 60 us
    seed_device(device, seed)


@contextmanager
def without_draws(device: str) -> Iterator[None]:
    """Raise RuntimeError if the body draws from Python's or NumPy's global generator.

    Seeds all generators.
    """
    seed_generators(0, device)
    yield
    if (random.random(), np.random.random_sample()) != FIRST:  # noqa: S311
        raise RuntimeError(
            "it draws random numbers of Python or NumPy, which all runs of a stack would share"
        )
