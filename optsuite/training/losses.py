"""Moves losses and metrics that hold tensors to a device and dtype; detects changes by calls."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark
from optsuite.errors import InputError


def placed(benchmark: Benchmark, device: str, dtype: torch.dtype | None = None) -> Benchmark:
    """The benchmark with the tensors of its loss and metrics on the device.

    Such tensors are the parameters and buffers of modules, such as class weights, and the arguments
    of partial functions. `dtype`, if given, is that of their floating-point numbers. What is in
    place already is not copied.
    """
    loss = _placed(benchmark.loss, device, dtype)
    is_in_place = loss is benchmark.loss
    metrics: dict[str, Callable[..., Any]] = {}
    for name, function in benchmark.metrics.items():
        metrics[name] = _placed(function, device, dtype)
        is_in_place = is_in_place and metrics[name] is function
    return benchmark if is_in_place else replace(benchmark, loss=loss, metrics=metrics)


def loss_buffers(benchmark: Benchmark) -> dict[str, Tensor]:
    """Copies of the buffers of losses and metrics that are modules, by name."""
    functions: Mapping[str, Callable[..., Any]] = {"loss": benchmark.loss, **benchmark.metrics}
    copies: dict[str, Tensor] = {}
    for name, function in functions.items():
        if isinstance(function, nn.Module):
            for key, buffer in function.named_buffers():
                copies[f"{name}: its buffer {key}"] = buffer.clone()
    return copies


def check_unchanged(benchmark: Benchmark, before: Mapping[str, Tensor]) -> None:
    """Raise InputError if calling a loss or metric has changed its buffers since `before`.

    One run would otherwise train with the state of another.
    """
    for name, buffer in loss_buffers(benchmark).items():
        if not torch.equal(buffer.nan_to_num(), before[name].nan_to_num()):
            raise InputError(
                f"benchmark {benchmark.name}: its {name} changes when it is called; "
                "keep such state in the model"
            )


def _placed(
    function: Callable[..., Any], device: str, dtype: torch.dtype | None
) -> Callable[..., Any]:
    if isinstance(function, nn.Module):
        tensors = [*function.parameters(), *function.buffers()]
        if all(_moved(tensor, device, dtype) is tensor for tensor in tensors):
            return function
        return copy.deepcopy(function).to(device, dtype)
    if isinstance(function, partial):
        inner = _placed(function.func, device, dtype)
        arguments = [_moved(value, device, dtype) for value in function.args]
        keywords = {name: _moved(value, device, dtype) for name, value in function.keywords.items()}
        before = (function.func, *function.args, *function.keywords.values())
        after = (inner, *arguments, *keywords.values())
        if all(new is old for new, old in zip(after, before, strict=True)):
            return function
        return partial(inner, *arguments, **keywords)
    return function


def _moved(value: Any, device: str, dtype: torch.dtype | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype if value.is_floating_point() else None)
