"""Tensors of torch and arrays of numpy by all that they hold, as generators: see `code_parts`."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optsuite.training.canonical.code_parts import Steps


def tensor_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor of any dtype, as they lie in memory."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
    if flat.stride() != (1,):  # a single number may have any
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def tensor_steps(value: Tensor) -> Steps:
    """A tensor of any layout by its kind, dtype, shape and numbers."""
    kind = type(value)
    parts: list[Any] = [str(value.dtype), str(value.layout), value.device.type, value.requires_grad]
    if kind is not Tensor:
        parts.append((yield kind, "class"))
    if attributes := object.__getattribute__(value, "__dict__"):
        parts.append((yield dict(attributes), "vars"))
    with torch._C.DisableTorchFunctionSubclass():
        parts += _numbers(value.detach())
    return ["tensor", *parts]


def _numbers(value: Tensor) -> list[Any]:
    if value.is_nested:
        return ["nested", [_numbers(part) for part in value.unbind()]]
    shape = list(value.shape)
    if value.is_meta:
        return ["meta", shape, list(value.stride())]
    if value.is_quantized:
        scales = (
            value.q_scale()
            if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
            else ""
        )
        return [
            "quantized",
            shape,
            str(value.qscheme()),
            str(scales),
            _numbers(value.int_repr()),
            _numbers(value.dequantize()),
        ]
    if value.layout is torch.sparse_coo:
        return [shape, value.is_coalesced(), _numbers(value._indices()), _numbers(value._values())]
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [
            shape,
            _numbers(value.crow_indices()),
            _numbers(value.col_indices()),
            _numbers(value.values()),
        ]
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [
            shape,
            _numbers(value.ccol_indices()),
            _numbers(value.row_indices()),
            _numbers(value.values()),
        ]
    if value.layout is not torch.strided:
        value = value.to_dense()
    return [
        shape,
        str(value.dtype),
        hashlib.blake2b(tensor_bytes(value), digest_size=16).hexdigest(),
    ]


def array_steps(value: Any) -> Steps:
    """An array of numpy by its kind, dtype, shape and content; of objects and text by its elements."""
    kind = type(value)
    if issubclass(kind, np.ma.MaskedArray):
        return [
            "masked",
            (yield kind, "class"),
            (yield value.data, "data"),
            (yield value.mask, "mask"),
            str(value.fill_value),
        ]
    parts: list[Any] = ["array", str(value.dtype), list(value.shape)]
    plain = value.view(np.ndarray)
    if kind not in (np.ndarray, np.memmap):
        parts += [(yield kind, "class"), (yield dict(vars(value)), "vars")]
    if plain.dtype.names:
        for name in plain.dtype.names:
            parts.append([name, (yield plain[name], f"field {name}")])
    elif plain.dtype.hasobject or plain.dtype.kind == "T":
        parts.append((yield plain.ravel().tolist(), "elements"))
    else:
        parts += [
            plain.dtype.str,
            hashlib.blake2b(np.ascontiguousarray(plain).tobytes(), digest_size=16).hexdigest(),
        ]
    return parts
