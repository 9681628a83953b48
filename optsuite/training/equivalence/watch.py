"""What a plain training does that a stack cannot do after it: state in attributes, buffers made anew, missing gradients."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optsuite.training.equivalence.module_state import change, state_of

EACH_STEP = 3  # steps after which all is looked at each time: what soon returns to itself is seen,
EACH_LATER = 10  # and later only now and then


class StackRefusedError(Exception):
    """What stands against every kind of stack, in one clause."""


class Watch:
    """Looks at one model while it is trained. `check` and `finish` raise StackRefusedError for what was seen."""

    def __init__(self) -> None:
        self._seen = ""
        self._n_steps = 0
        self._model: nn.Module | None = None

    def begin(self, model: nn.Module) -> None:
        """Look at a model whose optimizer has been built."""
        self._model = model
        self._whole, self._before = state_of(model), state_of(model, contents=False)
        self._tensors = {name: (tensor, _where(tensor)) for name, tensor in _tensors(model)}
        model.register_forward_pre_hook(self._note_generators)

    def look(self, model: nn.Module) -> None:
        """Look at the model before it is updated."""
        self._n_steps += 1
        if not self._seen and _is_close(self._n_steps):
            self._seen = self._draws() or self._changed()
        self._seen = self._seen or _without_gradient(model)

    def check(self) -> None:
        """Raise StackRefusedError for what was seen so far, or is to be seen now."""
        if reason := self._seen or self._changed():
            raise StackRefusedError(reason)

    def finish(self, view: nn.Module) -> None:
        """Compare the contents of all state with what it was before, and with that of the same run in a stack."""
        assert self._model is not None
        after = state_of(self._model)
        if changed := change(self._whole, after):
            raise StackRefusedError(f"its forward changes the attribute {changed}")
        if changed := change(after, state_of(view)):
            raise StackRefusedError(f"the attribute {changed} is another in a stack")

    def _changed(self) -> str:
        assert self._model is not None
        if changed := change(self._before, state_of(self._model, contents=False)):
            return f"its forward changes the attribute {changed}"
        for name, tensor in _tensors(self._model):
            before, where = self._tensors[name]
            if tensor is not before or _where(tensor) != where:
                kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
                return f"its forward assigns the {kind} {name} anew"
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
    """The states of the generators that forward could draw from."""
    state: Any = np.random.get_state()  # the one that models without an own generator use
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
