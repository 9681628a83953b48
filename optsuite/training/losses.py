"""Losses and metrics that hold tensors: on the device and in the dtype of what they are given, and never changed by it."""

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
    """The benchmark whose losses and metrics hold their tensors on the device, numbers with a fraction in the dtype if given.

    These are modules with buffers, such as class weights, and partial functions. What is in place already is not copied.
    """
    loss = _placed(benchmark.loss, device, dtype)
    metrics = {
        name: _placed(function, device, dtype) for name, function in benchmark.metrics.items()
    }
    kept = loss is benchmark.loss and all(
        metrics[name] is function for name, function in benchmark.metrics.items()
    )
    return benchmark if kept else replace(benchmark, loss=loss, metrics=metrics)


def loss_buffers(benchmark: Benchmark) -> dict[str, Tensor]:
    """Copies of the buffers of losses and metrics that are modules, by name."""
    functions: Mapping[str, Callable[..., Any]] = {"loss": benchmark.loss, **benchmark.metrics}
    return {
        f"{name}: its buffer {key}": buffer.clone()
        for name, function in functions.items()
        if isinstance(function, nn.Module)
        for key, buffer in function.named_buffers()
    }


def check_unchanged(benchmark: Benchmark, before: Mapping[str, Tensor]) -> None:
    """Raise InputError where calling a loss or metric has changed its buffers: one run would train with the state of another."""
    for name, buffer in loss_buffers(benchmark).items():
        if not torch.equal(buffer.nan_to_num(), before[name].nan_to_num()):
            raise InputError(
                f"benchmark {benchmark.name}: its {name} changes when it is called; keep such state in the model"
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
        kept = all(a is b for a, b in zip(arguments, function.args, strict=True))
        kept = kept and all(keywords[name] is value for name, value in function.keywords.items())
        return (
            function if kept and inner is function.func else partial(inner, *arguments, **keywords)
        )
    return function


def _moved(value: Any, device: str, dtype: torch.dtype | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype if value.is_floating_point() else None)
