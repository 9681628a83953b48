"""The line of Python that builds an optimizer at a rate, for somebody's own training loop."""

from functools import partial
from typing import Any

from torch.optim import Optimizer

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.optimizers import OPTIMIZERS


def code_line(spec: OptimizerSpec, lr: float) -> str:
    """The call that builds the optimizer for `model`, with the rate to three digits.

    Empty if what builds it has no name.
    """
    arguments = [f"lr={lr:.3g}", *(f"{name}={value!r}" for name, value in spec.fixed.items())]
    build = spec.build
    kind = _kind_of_torch(build)
    if kind is not None:
        return f"torch.optim.{kind.__name__}({', '.join(['model.parameters()', *arguments])})"
    if OPTIMIZERS.get(spec.name) is spec:
        called = f'optsuite.OPTIMIZERS["{spec.name}"].build'
    elif hasattr(build, "__qualname__"):
        called = str(build.__qualname__)  # its module has other names in a worker or a notebook
    else:
        return ""
    return f"{called}({', '.join(['model', *arguments])})"


def _kind_of_torch(build: Any) -> type[Optimizer] | None:
    """The class of torch.optim that a function of the registry builds; None for all others."""
    if not isinstance(build, partial) or build.keywords or len(build.args) != 1:
        return None
    (kind,) = build.args
    ours = build.func.__module__ == "optsuite.optimizers.fused"
    if ours and isinstance(kind, type) and kind.__module__.startswith("torch.optim."):
        return kind
    return None
