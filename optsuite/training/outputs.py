"""What a model returns, which may be a tensor or nest tensors in tuples, lists, mappings and dataclasses."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from optsuite.errors import InputError

PLAIN = (bool, int, float, complex, str, type(None))  # what belongs to all examples


def leaves(outputs: Any) -> Iterator[Any]:
    """The tensors in the outputs, and whatever else is in them, in order."""
    match outputs:
        case Mapping():
            for value in outputs.values():
                yield from leaves(value)
        case list() | tuple():
            for value in outputs:
                yield from leaves(value)
        case _ if is_dataclass(outputs) and not isinstance(outputs, type):
            for field in fields(outputs):
                yield from leaves(getattr(outputs, field.name))
        case _:
            yield outputs


def with_leaves(outputs: Any, values: Iterator[Any]) -> Any:
    """The same structure with other leaves."""
    match outputs:
        case Mapping():
            changed: Any = copy.copy(outputs)
            for key in outputs:
                changed[key] = with_leaves(outputs[key], values)
            return changed
        case list() | tuple():
            own = [with_leaves(value, values) for value in outputs]
            return type(outputs)(*own) if hasattr(outputs, "_fields") else type(outputs)(own)
        case _ if is_dataclass(outputs) and not isinstance(outputs, type):
            changed = copy.copy(outputs)
            for field in fields(outputs):
                part = with_leaves(getattr(outputs, field.name), values)
                object.__setattr__(changed, field.name, part)
            return changed
    return next(values)


def sliced(outputs: Any, n: int, rows: slice | Tensor) -> Any:
    """The outputs of some of `n` examples. Raises ValueError where a leaf cannot be told to have a row for each."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, PLAIN) or (isinstance(leaf, Tensor) and leaf.ndim == 0):
            return leaf
        if isinstance(leaf, Tensor) and len(leaf) == n:
            return leaf[rows]
        raise ValueError("its outputs cannot be divided by examples")

    return with_leaves(outputs, iter([one(leaf) for leaf in leaves(outputs)]))


def joined(parts: Sequence[Any], lengths: Sequence[int]) -> Any:
    """The outputs of all examples from those of one chunk after another. Raises InputError where that cannot be told."""
    if len(parts) == 1:
        return parts[0]

    def one(own: tuple[Any, ...]) -> Any:
        tensors = all(isinstance(leaf, Tensor) for leaf in own)
        if tensors and all(
            leaf.ndim and len(leaf) == n for leaf, n in zip(own, lengths, strict=True)
        ):
            return torch.cat(own)
        if all(
            torch.equal(leaf, own[0]) if tensors else isinstance(leaf, PLAIN) and leaf == own[0]
            for leaf in own
        ):
            return own[0]
        raise InputError(
            "the model's outputs for several chunks of a split cannot be put together; return tensors (n, ...)"
        )

    columns = zip(*(list(leaves(part)) for part in parts), strict=True)
    return with_leaves(parts[0], iter([one(own) for own in columns]))
