"""Optimizers of other packages, which the extra `optimizers` installs; each is imported when it is first built."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from typing import Any

from torch import nn
from torch.optim import Optimizer

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.space import LogUniform

# The text of these functions is part of what identifies an optimizer: it keeps the older names.
from optsuite.errors import InputError as BadInput
from optsuite.errors import UnknownNameError as UnknownName
from optsuite.optimizers.native import ADAM
from optsuite.optimizers.odd import CLOSURES, FIXED, first_argument, require_usable
from optsuite.schedules import constant

PYTORCH_OPTIMIZER = "pytorch_optimizer"
SECOND_RATES = {"final_lr", "init_lr"}  # which nobody would tune
DECAYS = ("weight_decay", "weight_decay_1d", "adamw_wd")
AROUND = 100  # an optimizer that nobody has entered here is searched two decades to each side of its default rate


@cache
def installed_version(package: str) -> str:
    """The version of a package; empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class Packaged:
    """Builds an optimizer of a package over all parameters of a model. `rates` are the arguments that take the rate.

    An optimizer that wants groups of parameters or the model itself is given these: see `odd.first_argument`.

    The version is a part of its identity: another one may step otherwise.
    """

    package: str
    kind: str
    rates: tuple[str, ...] = ("lr",)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", installed_version(self.package))

    def __call__(self, model: nn.Module, lr: float, **fixed: Any) -> Optimizer:
        """Raise BadInput where the package is not installed."""
        kind = getattr(imported(self.package), self.kind)
        first, more = first_argument(kind, model, lr)
        optimizer: Optimizer = kind(first, **dict.fromkeys(self.rates, lr), **more, **fixed)
        return optimizer


def imported(package: str) -> Any:
    """The module of a package. Raises BadInput where it is not installed."""
    if not installed_version(package):
        raise BadInput(f"got the package {package}, which is not installed; allowed after: pip install 'optsuite[optimizers]'")
    return import_module(package)


def is_available(spec: OptimizerSpec) -> bool:
    """Whether all is installed that the optimizer needs."""
    return not isinstance(spec.build, Packaged) or bool(spec.build.version)


def any_of_pytorch_optimizer(name: str) -> OptimizerSpec:
    """The entry of an optimizer of pytorch-optimizer, by the name it has there: its own defaults, without weight decay.

    Raises BadInput for one that wants what cannot be given here, and says what that is.
    """
    package = imported(PYTORCH_OPTIMIZER)
    if name not in package.get_supported_optimizers():
        raise UnknownName(f"optimizer of {PYTORCH_OPTIMIZER}", name, package.get_supported_optimizers())
    kind = package.load_optimizer(name)
    require_usable(name, kind)
    arguments: Mapping[str, inspect.Parameter] = inspect.signature(kind).parameters
    default = _default_rate(name, arguments)
    decays = [argument for argument in DECAYS if argument in arguments]
    return OptimizerSpec(
        name=f"{PYTORCH_OPTIMIZER}:{name}",
        build=Packaged(PYTORCH_OPTIMIZER, kind.__name__, rates=tuple(rate for rate in ("lr", "lr_1d") if rate in arguments)),
        lr=LogUniform(low=default / AROUND, high=default * AROUND),
        default_lr=default,
        closure=name in CLOSURES,
        fixed={**dict.fromkeys(decays, 0.0), **FIXED.get(name, {})},
        schedule=None if hasattr(kind, "train") and hasattr(kind, "eval") else constant,
        source=f"defaults of pytorch-optimizer {installed_version(PYTORCH_OPTIMIZER)}",
    )


def _default_rate(name: str, arguments: Mapping[str, inspect.Parameter]) -> float:
    """The default of the one rate. Raises BadInput where there is none, or another rate beside it."""
    where = f"optimizer {PYTORCH_OPTIMIZER}:{name}"
    others = sorted(SECOND_RATES & arguments.keys())
    if others:
        raise BadInput(f"{where} has two learning rates, lr and {others[0]}; write an OptimizerSpec for it in your suite file")
    default = arguments["lr"].default if "lr" in arguments else None
    if isinstance(default, bool) or not isinstance(default, int | float) or default <= 0:
        raise BadInput(f"{where} has no default learning rate; write an OptimizerSpec for it in your suite file")
    return float(default)


SPECS = (
    OptimizerSpec(
        name="lion",
        build=Packaged(PYTORCH_OPTIMIZER, "Lion"),
        lr=LogUniform(low=1e-6, high=1e-2),
        default_lr=1e-4,
        lr_linear=True,
        fixed={"betas": (0.9, 0.99), "weight_decay": 0.0},
        source="Chen et al. 2023; default rate of pytorch-optimizer",
        limitations="small batches: it uses only the signs, which noise dominates",
    ),
    OptimizerSpec(
        name="soap",
        build=Packaged(PYTORCH_OPTIMIZER, "SOAP"),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=3e-3,
        fixed={"betas": (0.95, 0.95), "precondition_frequency": 10, "weight_decay": 0.0},
        source="Vyas et al. 2024",
        limitations="models without large matrices: a step costs more than it saves",
    ),
    OptimizerSpec(
        name="shampoo",
        build=Packaged(PYTORCH_OPTIMIZER, "ScalableShampoo"),
        lr=LogUniform(low=1e-4, high=1e0),
        default_lr=1e-3,
        fixed={"betas": (0.9, 0.999), "preconditioning_compute_steps": 20, "weight_decay": 0.0},
        source="Gupta, Koren and Singer 2018, in the form of Anil et al. 2021, its size that of SGD; rate of pytorch-optimizer",
        limitations="cheap models: every twentieth step takes roots of matrices",
    ),
    OptimizerSpec(
        name="schedulefree_sgd",
        build=Packaged("schedulefree", "SGDScheduleFree"),
        lr=LogUniform(low=1e-2, high=1e2),
        default_lr=1.0,
        schedule=None,
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        source="Defazio et al. 2024; default rate of schedulefree",
        limitations="a schedule, which its averaging replaces; models with batch norm need its statistics recomputed",
    ),
    OptimizerSpec(
        name="schedulefree_adamw",
        build=Packaged("schedulefree", "AdamWScheduleFree"),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=0.0025,
        schedule=None,
        fixed=ADAM,
        source="Defazio et al. 2024; default rate of schedulefree",
        limitations="a schedule, which its averaging replaces; models with batch norm need its statistics recomputed",
    ),
    OptimizerSpec(
        name="prodigy",
        build=Packaged(PYTORCH_OPTIMIZER, "Prodigy"),
        lr=LogUniform(low=1e-2, high=1e2),
        default_lr=1.0,
        fixed=ADAM,
        source="Mishchenko and Defazio 2023, where the rate is 1",
        limitations="very short budgets: it spends its first steps on finding a scale",
    ),
    OptimizerSpec(
        name="adopt",
        build=Packaged(PYTORCH_OPTIMIZER, "ADOPT"),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=1e-3,
        lr_linear=True,
        fixed={"betas": (0.9, 0.9999), "eps": 1e-6, "weight_decay": 0.0},
        source="Taniguchi et al. 2024",
        limitations="very short budgets: its second moments forget slowly",
    ),
    OptimizerSpec(
        name="ademamix",
        build=Packaged(PYTORCH_OPTIMIZER, "AdEMAMix"),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=1e-3,
        lr_linear=True,
        fixed={"betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "eps": 1e-8, "weight_decay": 0.0},
        source="Pagliardini, Ablin and Grangier 2024; default rate of pytorch-optimizer",
        limitations="short budgets: its slow average looks back ten thousand steps",
    ),
    OptimizerSpec(
        name="mars",
        build=Packaged(PYTORCH_OPTIMIZER, "MARS", rates=("lr", "lr_1d")),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=3e-3,
        fixed={"betas": (0.95, 0.99), "gamma": 0.025, "eps": 1e-8, "weight_decay": 0.0, "weight_decay_1d": 0.0},
        source="Yuan et al. 2024, the approximate form of MARS-AdamW",
        limitations="vectors, which it leaves to AdamW",
    ),
    OptimizerSpec(
        name="adan",
        build=Packaged(PYTORCH_OPTIMIZER, "Adan"),
        lr=LogUniform(low=1e-5, high=1e-1),
        default_lr=1e-3,
        lr_linear=True,
        fixed={"betas": (0.98, 0.92, 0.99), "eps": 1e-8, "weight_decay": 0.0},
        source="Xie et al. 2022",
        limitations="little memory: it keeps four values a parameter",
    ),
)
