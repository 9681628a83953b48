"""The tensors of K runs in one flat tensor: a block per parameter, in it a slice per run.

The module of each run is a view of its slices.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Vectorized kernels treat the end of an array differently, which would change bits of the last
# runs. So stacks are padded to a multiple of PAD_TO runs, and flat tensors to a multiple of
# ALIGNMENT elements, four of the widest vectors.
PAD_TO = 8
ALIGNMENT = 64


class NotStackableError(RuntimeError):
    """Why runs cannot be stacked, in words that follow the name of a benchmark or optimizer."""


class Stack:
    """The parameters and buffers of K models; `base`, the first model, gives the structure.

    The models become views: their parameters, gradients and buffers are slices of the stack's,
    while each model keeps its own attributes and its own train or eval flags. A frozen parameter
    has no gradient here either. Raises NotStackableError if the models cannot be stacked.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.base = models[0]
        self.views = models
        self.size = len(models)
        named = [dict(model.named_parameters()) for model in models]
        if len({parameter.dtype for parameter in named[0].values()}) > 1:
            raise NotStackableError("its parameters have more than one dtype")
        first = next(iter(named[0].values()))
        n_elements = self.size * sum(parameter.numel() for parameter in named[0].values())
        n_aligned = math.ceil(n_elements / ALIGNMENT) * ALIGNMENT
        self.flat = torch.zeros(n_aligned, dtype=first.dtype, device=first.device)
        self.grad = torch.zeros_like(self.flat)
        self.parameters: dict[str, Tensor] = {}
        start = 0
        for name, parameter in named[0].items():
            end = start + parameter.numel() * self.size
            shape = (self.size, *parameter.shape)
            block = self.flat[start:end].view(shape)
            block.copy_(torch.stack([parameters[name].detach() for parameters in named]))
            own = block.detach()
            if parameter.requires_grad:
                own.requires_grad_()
                own.grad = self.grad[start:end].view(shape)  # backward adds to it in place
            self.parameters[name] = own
            start = end

        buffers = [dict(model.named_buffers()) for model in models]
        self.buffers: dict[str, Tensor] = {}
        for name in buffers[0]:
            self.buffers[name] = torch.stack([own[name] for own in buffers])
        for position, model in enumerate(models):
            self._point(model, position)

    def rates(self, rates: Sequence[float]) -> Tensor:
        """The rate of each element's run, in the layout of `flat`."""
        lr = torch.tensor(rates, dtype=self.flat.dtype, device=self.flat.device)
        sizes = [parameter[0].numel() for parameter in self.parameters.values()]
        used = torch.cat([lr.repeat_interleave(size) for size in sizes])
        return F.pad(used, (0, len(self.flat) - len(used)))

    def _point(self, model: nn.Module, position: int) -> None:
        """Make the tensors of a model views of its run's slices."""
        for name, parameter in model.named_parameters():
            stacked = self.parameters[name]
            parameter.data = stacked.detach()[position]
            parameter.grad = None if stacked.grad is None else stacked.grad[position]
        for name, buffer in model.named_buffers():
            buffer.data = self.buffers[name][position]
