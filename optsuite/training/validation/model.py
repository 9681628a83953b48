"""What no run can be trained with: modules that are compiled, scripted, lazy or without trainable parameters, and the like."""

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark
from optsuite.errors import InputError

COMPILED = "_torchdynamo_orig_callable"  # what torch.compile leaves on a function, and torch has no public name for


def check_model(model: nn.Module, x: Tensor) -> None:
    """Raise InputError for a module that cannot be trained here, given the inputs that it would get."""
    for name, module in model.named_modules():
        where = f"{name} is" if name else "is"
        if _is_compiled(module):
            raise InputError(
                f"{where} compiled, which takes longer than runs here; allowed: the module without torch.compile"
            )
        if isinstance(module, ScriptModule):
            raise InputError(
                f"{where} scripted by torch.jit, which leaves no source to identify it by; allowed: the module before that"
            )
        if isinstance(module, DataParallel | DistributedDataParallel):
            raise InputError(
                f"{where} a {type(module).__name__}, and a run has one device; allowed: the module inside"
            )
    lazy = [
        name
        for name, parameter in (*model.named_parameters(), *model.named_buffers())
        if is_lazy(parameter)
    ]
    if lazy:
        example = f"torch.zeros({', '.join(map(str, (2, *x.shape[1:])))}{'' if x.is_floating_point() else f', dtype={x.dtype}'})"
        raise InputError(
            f"has {lazy[0]} without a shape, as it is lazy; call the module once in model(): module({example})"
        )
    parameters = list(model.parameters())
    if not parameters:
        quantized = [
            name for name, module in model.named_modules() if "quantized" in type(module).__module__
        ]
        why = (
            f", as {quantized[0] or 'it'} is quantized; allowed: the module before that"
            if quantized
            else ""
        )
        raise InputError(f"has no parameters{why or '; allowed: one with something to train'}")
    if not any(parameter.requires_grad for parameter in parameters):
        raise InputError(
            "has no parameter that requires gradients, so nothing would be trained; leave some of it unfrozen"
        )
    odd = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if odd:
        raise InputError(f"has {odd[0]} on the device meta, where it has no values; allowed: cpu")


def check_losses(benchmark: Benchmark) -> None:
    """Raise InputError for a loss or metric that nobody would train, or that is compiled."""
    for name, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        where = f"benchmark {benchmark.name}: its {name}"
        if hasattr(function, COMPILED) or (
            isinstance(function, nn.Module) and any(map(_is_compiled, function.modules()))
        ):
            raise InputError(
                f"{where} is compiled, which takes longer than runs here; allowed: the function itself"
            )
        if isinstance(function, nn.Module):
            trainable = [
                key for key, parameter in function.named_parameters() if parameter.requires_grad
            ]
            if trainable:
                raise InputError(
                    f"{where} has the parameter {trainable[0]}, which no optimizer is given; move it into the model"
                )


def check_parameters(model: nn.Module, optimizer: Optimizer) -> None:
    """Raise InputError where none of the optimizer's parameters shares its memory with the model's."""
    stepped = {
        _memory(parameter) for group in optimizer.param_groups for parameter in group["params"]
    }
    if not stepped & {_memory(parameter) for parameter in model.parameters()}:
        raise InputError(
            "returned an optimizer over parameters of another model, allowed: those of the model that it was given"
        )


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is_compiled(module: nn.Module) -> bool:
    wrapper = type(module).__module__.startswith("torch._dynamo")
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return wrapper or in_place or hasattr(module.forward, COMPILED)
