"""The optimizers of pytorch-optimizer that want more than parameters and a rate: what they are given, or why they are not.

Knows the package's names and arguments, those of version 4, and imports nothing of it.
"""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

# The text of these functions is part of what identifies an optimizer: it keeps the older name.
from optsuite.errors import InputError as BadInput

HEADS = ("q_proj.weight", "k_proj.weight", "wq.weight", "wk.weight", "attn.attn.weight", "attn.qkv.weight")

SECOND_ORDER = "gradients of gradients, loss.backward(create_graph=True), which no step here computes"
IN_BACKWARD = "its own fused_backward(loss, lr), which updates weights within the backward pass and no step here calls"
PROCESSES = "a group of processes, torch.distributed.init_process_group(...), and a run here has one process"
NOT_HERE: Mapping[str, str] = MappingProxyType(
    {
        "adahessian": SECOND_ORDER,
        "sophiah": SECOND_ORDER,
        "lomo": IN_BACKWARD,
        "adalomo": IN_BACKWARD,
        "distributedmuon": PROCESSES,
        "demo": PROCESSES,
        "muonclip": "the largest attention logits of each batch, step(attention_max_logits=...), which no step here knows",
        "a2grad": "no learning rate, so there is nothing to tune",
    }
)
NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "bsam": "num_data, the number of training examples, and a closure",
        "magma": "another optimizer, which it wraps",
        "alig": "max_lr, a bound of its learning rate, and a closure",
        "sara": "a learning rate that belongs to its threshold: it has no default",
        "adabound": "two learning rates, lr and final_lr",
        "apollodqn": "two learning rates, lr and init_lr, and warmup_steps",
    }
)
# Held fixed beside the package's defaults, so that a name stands for one way to train:
FIXED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "ranger21": {"num_iterations": 1, "disable_lr_scheduler": True},  # its schedule would need max_steps; ours replaces it
        "lbfgs": {"max_iter": 1},  # one gradient a step, as all others have
    }
)
CLOSURES = frozenset({"lbfgs"})


def require_usable(name: str, kind: type) -> None:
    """Raise BadInput in one line for an optimizer that wants what no build can be given."""
    where = f"optimizer pytorch_optimizer:{name}"
    if name in NOT_HERE:
        raise BadInput(f"{where} needs {NOT_HERE[name]}; take another optimizer")
    remedy = f"write an OptimizerSpec in your suite file whose build gives {kind.__name__} what it needs"
    if name in NEEDS:
        raise BadInput(f"{where} needs {NEEDS[name]}; {remedy}")
    given = {"lr", *FIXED.get(name, {})}
    missing = [argument for argument in required(kind)[1:] if argument not in given]
    if missing:
        raise BadInput(f"{where} needs {', '.join(missing)}; {remedy}")


def required(kind: type) -> list[str]:
    """The arguments without a default."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = inspect.signature(kind).parameters.values()
    return [one.name for one in arguments if one.default is one.empty and one.kind not in variable]


def first_argument(kind: type, model: nn.Module, lr: float) -> tuple[Any, Mapping[str, Any]]:
    """What the optimizer steps, and further arguments that follow from it.

    AdamMini takes the model; the family of Muon takes groups, of which each says whether it is for Muon; all others take the
    parameters. Raises BadInput.
    """
    arguments = inspect.signature(kind).parameters
    if next(iter(arguments)) == "model":
        _require_no_heads(kind, model)
        return model, {}
    if "adamw_lr" in arguments:
        ratio = arguments["adamw_lr"].default / arguments["lr"].default
        return muon_groups(model), {"adamw_lr": lr * ratio}
    if kind.__name__ == "SpectralSphere":
        _require_matrices(kind, model)
    return model.parameters(), {}


def muon_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameters of two and more dimensions for Muon; vectors, scalars and embeddings for the AdamW within it.

    The rate is Muon's. AdamW's keeps its ratio to that, so that at Muon's default both have the package's. An output layer,
    which Muon's authors leave to AdamW too, cannot be told from a hidden one and goes to Muon.
    """
    embeddings = (nn.Embedding, nn.EmbeddingBag)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, embeddings)}
    hidden: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in model.parameters():
        is_hidden = parameter.ndim >= 2 and id(parameter) not in tables
        (hidden if is_hidden else others).append(parameter)
    groups = [{"params": hidden, "use_muon": True}, {"params": others, "use_muon": False}]
    return [group for group in groups if group["params"]]


def _require_no_heads(kind: type, model: nn.Module) -> None:
    """AdamMini splits what has such a name by the number of heads, which it takes to be that of a large model."""
    found = [name for name, _ in model.named_parameters() if any(head in name for head in HEADS)]
    if found:
        raise BadInput(
            f"needs num_embeds and num_heads for {found[0]}; write an OptimizerSpec whose build gives both to {kind.__name__}"
        )


def _require_matrices(kind: type, model: nn.Module) -> None:
    found = [name for name, parameter in model.named_parameters() if parameter.ndim != 2]
    if found:
        raise BadInput(
            f"needs a model that has matrices only, got {found[0]}; write an OptimizerSpec whose build makes {kind.__name__} "
            "over the matrices and another optimizer over the rest"
        )
