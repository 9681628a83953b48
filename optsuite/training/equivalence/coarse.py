"""Whether a benchmark computes in a dtype coarser than float32, in which engines differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.training.plain import initial_model

FINEST = torch.finfo(torch.float32).eps


class _Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first dtype coarser than float32 among tensors and results of operations."""

    found = ""

    def note(self, value: object) -> None:
        for leaf in tree_leaves(value):
            if not self.found and isinstance(leaf, Tensor) and _is_coarse(leaf.dtype):
                self.found = str(leaf.dtype).removeprefix("torch.")

    def __torch_dispatch__(
        self,
        op: Any,
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        returned = op(*args, **(kwargs or {}))
        self.note(returned)
        return returned


def coarse_arithmetic(benchmark: Benchmark, splits: Splits) -> str:
    """A dtype coarser than float32 in training or measuring, as a clause; empty if there is none.

    Under vmap, products are summed in a different order. In bfloat16 that moved scores by 10 %,
    though a change of the weights by one unit in the last place moved them by nothing. Models of
    float32 compute so too, if they use autocast.
    """
    x, y = (part[: benchmark.batch_size] for part in splits.train)
    model = initial_model(benchmark, 0)
    watched = _Watched()  # type: ignore[no-untyped-call]
    watched.note([*model.parameters(), *model.buffers()])
    inputs = x.clone(), x.clone()
    targets = y.clone(), y.clone()
    with watched:
        benchmark.loss(model(inputs[0]), targets[0]).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            benchmark.loss(model.eval()(inputs[1]), targets[1])
    return f"it computes in {watched.found}, in which engines differ" if watched.found else ""


def _is_coarse(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point and torch.finfo(dtype).eps > FINEST
