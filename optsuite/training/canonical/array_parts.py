"""Tensors of torch and arrays of numpy by all that they hold, as generators: see `steps`."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optsuite.training.canonical.steps import Steps

SCALED = (torch.per_tensor_affine, torch.per_tensor_symmetric)  # schemes with one scale


def tensor_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor of any dtype, in the order of its indices."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
    if flat.stride() != (1,):  # A single number may have any stride.
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
        return ["quantized", shape, *_quantized(value)]
    if value.layout is torch.sparse_coo:
        return [shape, value.is_coalesced(), _numbers(value._indices()), _numbers(value._values())]
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        indices = [value.crow_indices(), value.col_indices()]
        return [shape, *map(_numbers, indices), _numbers(value.values())]
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        indices = [value.ccol_indices(), value.row_indices()]
        return [shape, *map(_numbers, indices), _numbers(value.values())]
    if value.layout is not torch.strided:
        value = value.to_dense()
    return [shape, str(value.dtype), _hashed(tensor_bytes(value))]


def _quantized(value: Tensor) -> list[Any]:
    scheme = value.qscheme()
    scale = str(value.q_scale()) if scheme in SCALED else ""
    return [str(scheme), scale, _numbers(value.int_repr()), _numbers(value.dequantize())]


def _hashed(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def array_steps(value: Any) -> Steps:
    """An array of numpy by its kind, dtype, shape and content; objects and text by element."""
    kind = type(value)
    if issubclass(kind, np.ma.MaskedArray):
        described = yield kind, "class"
        data = yield value.data, "data"
        mask = yield value.mask, "mask"
        return ["masked", described, data, mask, str(value.fill_value)]
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
        parts += [plain.dtype.str, _hashed(np.ascontiguousarray(plain).tobytes())]
    return parts
