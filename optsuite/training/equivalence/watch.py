"""What a plain training does that a stack cannot, such as new buffers or missing gradients."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optsuite.training.equivalence.module_state import change, state_of

# The first steps are all inspected, to see a state that soon returns to itself; later ones seldom.
EACH_STEP = 3
EACH_LATER = 10


class StackRefusedError(Exception):
    """What rules out every kind of stack, as a clause."""


class Watch:
    """Inspects a model while it is trained. `check` and `finish` raise StackRefusedError."""

    def __init__(self) -> None:
        self._seen = ""
        self._n_steps = 0
        self._model: nn.Module | None = None

    def begin(self, model: nn.Module) -> None:
        """Inspect a model whose optimizer has been built."""
        self._model = model
        self._whole = state_of(model)
        self._before = state_of(model, contents=False)
        self._tensors = {name: (tensor, _where(tensor)) for name, tensor in _tensors(model)}
        model.register_forward_pre_hook(self._note_generators)

    def look(self, model: nn.Module) -> None:
        """Inspect the model before it is updated."""
        self._n_steps += 1
        if not self._seen and _is_close(self._n_steps):
            self._seen = self._draws() or self._changed()
        self._seen = self._seen or _without_gradient(model)

    def check(self) -> None:
        """Raise StackRefusedError for anything seen so far or now."""
        if reason := self._seen or self._changed():
            raise StackRefusedError(reason)

    def finish(self, view: nn.Module) -> None:
        """Compare all state with that before training, and with that of the run in a stack."""
        assert self._model is not None
        after = state_of(self._model)
        if changed := change(self._whole, after):
            raise StackRefusedError(f"its forward changes the attribute {changed}")
        if changed := change(after, state_of(view)):
            raise StackRefusedError(f"the attribute {changed} differs in a stack")

    def _changed(self) -> str:
        assert self._model is not None
        if changed := change(self._before, state_of(self._model, contents=False)):
            return f"its forward changes the attribute {changed}"
        for name, tensor in _tensors(self._model):
            before, where = self._tensors[name]
            if tensor is not before or _where(tensor) != where:
                kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
                return f"its forward reassigns the {kind} {name}"
        return ""

    def _note_generators(self, module: nn.Module, inputs: object) -> None:
        if _is_close(self._n_steps + 1):
            self._generators = _generators()

    def _draws(self) -> str:
        for (name, before), (_, after) in zip(self._generators, _generators(), strict=True):
            if before != after:
                return f"its forward draws random numbers from {name}"
        return ""


def _is_close(step: int) -> bool:
    return step <= EACH_STEP or step % EACH_LATER == 0


def _generators() -> list[tuple[str, object]]:
    """The states of the global generators, by name."""
    state: Any = np.random.get_state()
    return [
        ("torch's generator", torch.get_rng_state().numpy().tobytes()),
        ("Python's generator", random.getstate()),
        ("numpy's generator", (state[1].tobytes(), *state[2:])),
    ]


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _where(tensor: Tensor) -> int:
    return tensor.data_ptr()


def _without_gradient(model: nn.Module) -> str:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            return f"its parameter {name} has no gradient in some steps"
    return ""
