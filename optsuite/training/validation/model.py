"""Refusing modules, losses and optimizers that no run can be trained with."""

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from optsuite.definitions.benchmark import Benchmark
from optsuite.errors import InputError

# The attribute that torch.compile sets on a function; torch has no public name for it.
COMPILED = "_torchdynamo_orig_callable"


def check_model(model: nn.Module, x: Tensor) -> None:
    """Raise InputError for a module that cannot be trained here, given the inputs it would get."""
    for name, module in model.named_modules():
        _check_module(name, module)
    _check_materialized(model, x)
    _check_trainable(model)
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise InputError(
                f"has {name} on the device meta, where it has no values; create it on the CPU"
            )


def _check_module(name: str, module: nn.Module) -> None:
    where = f"{name} is" if name else "is"
    if _is_compiled(module):
        raise InputError(
            f"{where} compiled, which takes longer than the runs here; "
            "return the module without torch.compile"
        )
    if isinstance(module, ScriptModule):
        raise InputError(
            f"{where} scripted by torch.jit, which leaves no source to identify it by; "
            "return the module before scripting"
        )
    if isinstance(module, DataParallel | DistributedDataParallel):
        raise InputError(
            f"{where} a {type(module).__name__}, but a run has one device; return the module inside"
        )


def _check_materialized(model: nn.Module, x: Tensor) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            shape = ", ".join(map(str, (2, *x.shape[1:])))
            dtype = "" if x.is_floating_point() else f", dtype={x.dtype}"
            raise InputError(
                f"has {name} without a shape because it is lazy; "
                f"call the module once in model(): module(torch.zeros({shape}{dtype}))"
            )


def _check_trainable(model: nn.Module) -> None:
    parameters = list(model.parameters())
    if any(parameter.requires_grad for parameter in parameters):
        return
    if parameters:
        raise InputError(
            "has no parameter that requires gradients, so nothing would be trained; "
            "unfreeze some of it"
        )
    for name, module in model.named_modules():
        if "quantized" in type(module).__module__:
            raise InputError(
                f"has no parameters because {name or 'it'} is quantized; "
                "return the module before quantization"
            )
    raise InputError("has no parameters, so there is nothing to train")


def check_losses(benchmark: Benchmark) -> None:
    """Raise InputError for a loss or metric that is compiled or has parameters to train."""
    for name, function in {"loss": benchmark.loss, **benchmark.metrics}.items():
        where = f"benchmark {benchmark.name}: its {name}"
        modules = list(function.modules()) if isinstance(function, nn.Module) else []
        if hasattr(function, COMPILED) or any(map(_is_compiled, modules)):
            raise InputError(
                f"{where} is compiled, which takes longer than the runs here; "
                "pass the function itself"
            )
        if not isinstance(function, nn.Module):
            continue
        for key, parameter in function.named_parameters():
            if parameter.requires_grad:
                raise InputError(
                    f"{where} has the parameter {key}, which no optimizer receives; "
                    "move it into the model"
                )


def check_parameters(model: nn.Module, optimizer: Optimizer) -> None:
    """Raise InputError if no parameter of the optimizer shares its memory with the model's."""
    stepped: set[int] = set()
    for group in optimizer.param_groups:
        stepped.update(map(_memory, group["params"]))
    if stepped.isdisjoint(map(_memory, model.parameters())):
        raise InputError(
            "returned an optimizer over parameters of another model; "
            "pass it those of the model that build receives"
        )


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is_compiled(module: nn.Module) -> bool:
    wrapper = type(module).__module__.startswith("torch._dynamo")
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return wrapper or in_place or hasattr(module.forward, COMPILED)
