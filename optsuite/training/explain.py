"""Explains in one line why a model, a loss or a step raised, by trying what would not raise."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from optsuite.definitions.benchmark import Benchmark, Splits
from optsuite.errors import InputError
from optsuite.training.outputs import leaves
from optsuite.training.train_step import evaluating

SPARSE = "sgd, momentum, nesterov, adagrad, or torch's SparseAdam in your suite file"


def call_model(model: nn.Module, x: Tensor) -> Any:
    """The outputs. Raises InputError if the model cannot take the inputs' dtype or an index."""
    try:
        return model(x)
    except Exception as error:
        reason = _why_model_raised(model, x, error)
        if reason:
            raise InputError(reason) from error
        raise


def call_loss(function: Callable[[Any, Tensor], Any], outputs: Any, y: Tensor) -> Any:
    """The loss or metric. Raises InputError if it cannot take the targets' dtype or a label."""
    try:
        return function(outputs, y)
    except Exception as error:
        reason = _why_loss_raised(function, outputs, y)
        if reason:
            raise InputError(reason) from error
        raise


def backward(
    function: Callable[[Any, Tensor], Any], value: Tensor, outputs: Any, y: Tensor
) -> None:
    """Compute the gradients of a loss.

    Raises InputError if the loss has no gradient, or none for the dtype of the targets.
    """
    if not value.requires_grad:
        what = "its value does" if _requires_grad(outputs) else "the outputs do"
        raise InputError(
            f"has no gradient, because {what} not depend on the weights: "
            "detach, argmax, no_grad or .item() on the way?"
        )
    try:
        value.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = _why_loss_raised(function, outputs, y, with_gradients=True)
        if reason:
            raise InputError(reason) from error
        raise


@contextmanager
def explained_step(benchmark: Benchmark, model: nn.Module, splits: Splits) -> Iterator[None]:
    """Raise InputError for an exception that sparse gradients or complex parameters explain."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        x, y = splits.train
        first = slice(benchmark.batch_size)
        benchmark.loss(model(x[first]), y[first]).backward()  # type: ignore[no-untyped-call]
        reason = _why_step_raised(model, error)
        if reason:
            raise InputError(reason) from error
        raise


def batch_without_loss(
    benchmark: Benchmark,
    model: nn.Module,
    splits: Splits,
    batches: Iterable[tuple[int, Tensor]],
    seed: int,
) -> str:
    """A line about the first batch with a loss that is not finite, although the outputs are.

    Empty if there is no such batch. `batches` are pairs of a step and the indices of its examples.
    Because a pass through the model costs more than the loss, all batches are tried with the same
    outputs first, and with their own only if that loss is not finite.
    """
    x, y = splits.train
    with evaluating(model), torch.no_grad():
        outputs = model(x[: benchmark.batch_size])
        for step, batch in batches:
            rows = batch.to(x.device)
            if benchmark.loss(outputs, y[rows]).isfinite():
                continue
            own = model(x[rows])
            if _all_finite(own) and not benchmark.loss(own, y[rows]).isfinite():
                return _of_batch(step, seed)
    return ""


def _of_batch(step: int, seed: int) -> str:
    """The line about a batch with a loss that is not finite, whatever the weights."""
    return (
        f"the loss of the batch of step {step}, seed {seed}, is not finite although the outputs "
        "are: does it hold ignored labels only? Take larger batches, leave such rows out, or let "
        "the loss return 0 for them"
    )


def _why_step_raised(model: nn.Module, error: Exception) -> str:
    """Why an optimizer could not step the model, which has its gradients; empty if unknown."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and parameter.grad.layout is not torch.strided:
            return (
                f"cannot train the sparse gradients of {name}; "
                f"optimizers for sparse gradients: {SPARSE}"
            )
    imaginary = [name for name, parameter in model.named_parameters() if parameter.is_complex()]
    if imaginary and "complex" in str(error).lower():
        return (
            f"cannot train the complex parameter {imaginary[0]}; take another optimizer, such as "
            "sgd, adam or adamw, or store the parameter as torch.view_as_real gives it"
        )
    return ""


def _why_model_raised(model: nn.Module, x: Tensor, error: Exception) -> str:
    """Why a model could not take the inputs; empty if unknown."""
    if isinstance(error, IndexError) and not x.is_floating_point():
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        rows = [embedding.num_embeddings for embedding in embeddings]
        if rows and not 0 <= int(x.min()) <= int(x.max()) < min(rows):
            allowed = f"0 to {min(rows) - 1}, the rows of its embedding"
            return f"got inputs from {x.min()} to {x.max()}, allowed: {allowed}"
    if len(x) == 1 and model.training and _raises_nothing(model.eval(), x):
        model.train()
        return (
            "needs more than one example in a training batch, as batch norm does; got batch_size 1"
        )
    own = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    for dtype in _others(x.dtype, (own, torch.float32, torch.long)):
        if _raises_nothing(model, x.to(dtype)):
            remedy = f"use .to({dtype}) in its dataset or its model"
            return f"got inputs of dtype {x.dtype}, allowed: {dtype}; {remedy}"
    return ""


def _why_loss_raised(
    function: Callable[..., Any], outputs: Any, y: Tensor, *, with_gradients: bool = False
) -> str:
    """Why a loss could not take the targets; empty if unknown."""

    def works(targets: Tensor) -> bool:
        fresh = outputs
        if isinstance(outputs, Tensor):
            fresh = outputs.detach().requires_grad_(with_gradients)
        try:
            value = function(fresh, targets)
            if with_gradients:
                value.backward()
        except Exception:
            return False
        return isinstance(value, Tensor) and value.ndim == 0

    may_be_labels = not (y.is_floating_point() or y.dtype is torch.bool)
    if may_be_labels and isinstance(outputs, Tensor) and outputs.ndim > 1:
        n_classes = outputs.shape[1]
        if not 0 <= int(y.min()) <= int(y.max()) < n_classes and works(y.clamp(0, n_classes - 1)):
            allowed = f"0 to {n_classes - 1}, as the outputs have {n_classes} classes"
            return f"got labels from {y.min()} to {y.max()}, allowed: {allowed}"
    own = outputs.dtype if isinstance(outputs, Tensor) else torch.float32
    for dtype in _others(y.dtype, (torch.long, own, torch.float32)):
        if works(y.to(dtype)):
            remedy = f"use .to({dtype}) in its dataset or its loss"
            return f"got targets of dtype {y.dtype}, allowed: {dtype}; {remedy}"
    return ""


def _others(own: torch.dtype, candidates: Sequence[torch.dtype]) -> list[torch.dtype]:
    return [dtype for dtype in dict.fromkeys(candidates) if dtype is not own]


def _raises_nothing(model: nn.Module, x: Tensor) -> bool:
    try:
        with torch.no_grad():
            model(x)
    except Exception:
        return False
    return True


def _requires_grad(outputs: Any) -> bool:
    return any(leaf.requires_grad for leaf in leaves(outputs) if isinstance(leaf, Tensor))


def _all_finite(outputs: Any) -> bool:
    return all(bool(leaf.isfinite().all()) for leaf in leaves(outputs) if isinstance(leaf, Tensor))
