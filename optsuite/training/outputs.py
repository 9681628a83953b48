"""Outputs of a model: a tensor, or tensors nested in tuples, lists, mappings and dataclasses."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from optsuite.errors import InputError

PLAIN = (bool, int, float, complex, str, type(None))  # leaves that belong to all examples


def leaves(outputs: Any) -> Iterator[Any]:
    """The tensors and all other leaves of the outputs, in order."""
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
    """The outputs of some of `n` examples. Raises ValueError if a leaf has no row for each."""
    chosen: list[Any] = []
    for leaf in leaves(outputs):
        if isinstance(leaf, PLAIN) or (isinstance(leaf, Tensor) and leaf.ndim == 0):
            chosen.append(leaf)
        elif isinstance(leaf, Tensor) and len(leaf) == n:
            chosen.append(leaf[rows])
        else:
            raise ValueError("its outputs cannot be divided by examples")
    return with_leaves(outputs, iter(chosen))


def joined(parts: Sequence[Any], lengths: Sequence[int]) -> Any:
    """The outputs of all examples from those of consecutive chunks. Raises InputError.

    `lengths` has the number of examples in each chunk.
    """
    if len(parts) == 1:
        return parts[0]
    leaves_of_parts = [list(leaves(part)) for part in parts]
    columns = zip(*leaves_of_parts, strict=True)
    return with_leaves(parts[0], iter([_joined_leaf(own, lengths) for own in columns]))


def _joined_leaf(own: tuple[Any, ...], lengths: Sequence[int]) -> Any:
    """One leaf from those of all chunks: their rows, or the value they share. Raises InputError."""
    first = own[0]
    if all(isinstance(leaf, Tensor) for leaf in own):
        if all(leaf.ndim and len(leaf) == n for leaf, n in zip(own, lengths, strict=True)):
            return torch.cat(own)
        if all(torch.equal(leaf, first) for leaf in own):
            return first
    elif all(isinstance(leaf, PLAIN) and leaf == first for leaf in own):
        return first
    raise InputError(
        "the model's outputs for several chunks of a split cannot be put together; "
        "return tensors (n, ...)"
    )
