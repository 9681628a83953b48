"""One update of one model, and what optimizers want around it: a rate, a closure, a mode."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optsuite.definition import Benchmark, OptimizerSpec


def build(spec: OptimizerSpec, model: nn.Module, lr: float) -> Optimizer:
    """The optimizer of one model, ready to train."""
    optimizer: Any = spec.build(model, lr, **spec.fixed)
    if _has_modes(optimizer):
        optimizer.train()
    return optimizer  # type: ignore[no-any-return]


def take_step(
    benchmark: Benchmark, spec: OptimizerSpec, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, seed: int
) -> Tensor:
    """Update the model from one batch and return the loss before it.

    The generators are seeded before each forward pass, so that one that draws random numbers stays paired by seed, and a
    closure draws the same ones whenever it is called.
    """
    losses: list[Tensor] = []

    def loss_and_gradients() -> Tensor:
        seed_generators(seed, str(x.device))
        optimizer.zero_grad()
        loss = benchmark.loss(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        return loss

    if spec.closure:
        optimizer.step(loss_and_gradients)  # type: ignore[arg-type]
    else:
        loss_and_gradients()
        optimizer.step()
    return losses[0]


def set_rate(optimizer: Optimizer, fraction: float) -> None:
    """Let the next step use this fraction of the rates that the optimizer was built with."""
    for group in optimizer.param_groups:
        if fraction != 1 or "initial_lr" in group:  # a constant rate leaves the optimizer alone
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * fraction


def has_overflown(model: nn.Module) -> bool:
    """Whether a weight is not finite, or a gradient too large to be squared: then an error of an optimizer is divergence."""
    for parameter in model.parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if not (parameter.isfinite().all() and gradient.norm().square().isfinite()):
            return True
    return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine or its device lacks memory; on a CPU, torch says so in words alone."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        text in str(error) for text in ("can't allocate memory", "bad_alloc")
    )


@contextmanager
def judged(optimizers: Iterable[Optimizer]) -> Iterator[None]:
    """Put the weights in place that an optimizer wants to be judged by, where it trains with others, and back again."""
    own: list[Any] = [optimizer for optimizer in optimizers if _has_modes(optimizer)]
    for optimizer in own:
        optimizer.eval()
    try:
        yield
    finally:
        for optimizer in own:
            optimizer.train()


def _has_modes(optimizer: Any) -> bool:
    return hasattr(optimizer, "train") and hasattr(optimizer, "eval")


def seed_generators(seed: int, device: str) -> None:
    """Seed torch's generators of the CPU and of the device. torch.manual_seed, at 60 us against 1, is no match for a step."""
    torch.default_generator.manual_seed(seed)
    if torch.device(device).type == "cuda":
        index = torch.device(device).index
        torch.cuda.default_generators[torch.cuda.current_device() if index is None else index].manual_seed(seed)
    elif torch.device(device).type == "mps":
        torch.mps.manual_seed(seed)
