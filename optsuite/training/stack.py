"""The tensors of K runs in one: every parameter a block of one flat tensor, every run's module a view of its own slice."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Vectorised kernels treat the end of an array differently, which would show in the bits of the last runs:
PAD_TO = 8  # so stacks are padded to a multiple of this many runs,
ALIGNMENT = 64  # and flat tensors to one of this many elements, four of the widest vectors


class NotStackableError(RuntimeError):
    """Why runs cannot be trained as one stack, in words that follow the name of a benchmark or optimizer."""


class Stack:
    """The parameters and buffers of K models, of which `base` lends its structure.

    The models become views: their parameters, gradients and buffers are slices of the stack's, while each keeps its own
    attributes and its own train or eval flags. A frozen parameter has no gradient here either. Raises NotStackableError where
    the models cannot be stacked.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.base = models[0]
        self.views = models
        self.size = len(models)
        named = [dict(model.named_parameters()) for model in models]
        if len({parameter.dtype for parameter in named[0].values()}) > 1:
            raise NotStackableError("its parameters have more than one dtype")
        first = next(iter(named[0].values()))
        n = sum(parameter.numel() for parameter in named[0].values())
        self.flat = torch.zeros(
            -(-n * self.size // ALIGNMENT) * ALIGNMENT, dtype=first.dtype, device=first.device
        )
        self.grad = torch.zeros_like(self.flat)
        self.parameters: dict[str, Tensor] = {}
        start = 0
        for name, parameter in named[0].items():
            block = slice(start, start := start + parameter.numel() * self.size)
            shape = (self.size, *parameter.shape)
            self.flat[block].view(shape).copy_(
                torch.stack([parameters[name].detach() for parameters in named])
            )
            self.parameters[name] = self.flat[block].view(shape).detach()
            if parameter.requires_grad:
                self.parameters[name].requires_grad_()
                self.parameters[name].grad = self.grad[block].view(
                    shape
                )  # backward adds to it in place
        buffers = [dict(model.named_buffers()) for model in models]
        self.buffers = {name: torch.stack([own[name] for own in buffers]) for name in buffers[0]}
        for position, model in enumerate(models):
            self._point(model, position)

    def rates(self, rates: Sequence[float]) -> Tensor:
        """The rate of each element's run, in the layout of `flat`."""
        lr = torch.tensor(rates, dtype=self.flat.dtype, device=self.flat.device)
        blocks = [
            lr.repeat_interleave(parameter[0].numel()) for parameter in self.parameters.values()
        ]
        used = torch.cat(blocks)
        return F.pad(used, (0, len(self.flat) - len(used)))

    def _point(self, model: nn.Module, position: int) -> None:
        """Make the tensors of a model those of its run in the stack."""
        for name, parameter in model.named_parameters():
            parameter.data = self.parameters[name].detach()[position]
            gradient = self.parameters[name].grad
            parameter.grad = None if gradient is None else gradient[position]
        for name, buffer in model.named_buffers():
            buffer.data = self.buffers[name][position]
