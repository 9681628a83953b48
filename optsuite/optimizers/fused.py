"""Torch's fused steps, one kernel for all parameters, wherever they can be used, and the ordinary ones elsewhere."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.sparse import check_sparse_tensor_invariants

DEVICES = ("cpu", "cuda")  # where torch has fused kernels


def from_torch(kind: type[Optimizer], model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
    """An optimizer of torch.optim over all parameters of the model."""
    if any(embedding.sparse for embedding in _embeddings(model)) and not check_sparse_tensor_invariants.is_enabled():  # type: ignore[no-untyped-call]
        # They are disabled already, but torch warns until somebody has said so:
        check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]
    return kind(model.parameters(), lr=lr, **fixed)  # type: ignore[call-arg]


def fused(kind: type[Optimizer], model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
    """The same with the fused step where the model allows it; the others take torch's ordinary step from the start.

    A gradient that a fused step cannot take may also turn up later. From that step on, the ordinary step is used.
    """
    supported = can_fuse(model)
    optimizer = from_torch(kind, model, lr, fused=supported, **fixed)
    if supported:
        optimizer.register_step_pre_hook(_unfuse)
    return optimizer


def can_fuse(model: nn.Module) -> bool:
    """Whether all parameters are real numbers on one device that has fused kernels, and no embedding has sparse gradients."""
    parameters = list(model.parameters())
    if len({parameter.device for parameter in parameters}) != 1 or parameters[0].device.type not in DEVICES:
        return False
    if not all(parameter.is_floating_point() for parameter in parameters):
        return False
    return not any(embedding.sparse for embedding in _embeddings(model))


def _embeddings(model: nn.Module) -> list[nn.Embedding | nn.EmbeddingBag]:
    return [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]


def _unfuse(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Take the ordinary step from now on where the fused one would raise."""
    for group in optimizer.param_groups:
        if not group["fused"]:
            continue
        present = [parameter for parameter in group["params"] if parameter.grad is not None]
        sparse = any(parameter.grad.layout is not torch.strided for parameter in present)
        if sparse or (group.get("momentum") and _starts_late(optimizer, present)):
            group["fused"] = False


def _starts_late(optimizer: Optimizer, parameters: list[nn.Parameter]) -> bool:
    """Whether only some parameters have momentum, as the first gradients of others were None: fused SGD wants all or none."""
    started = {optimizer.state.get(parameter, {}).get("momentum_buffer") is not None for parameter in parameters}
    return len(started) > 1
