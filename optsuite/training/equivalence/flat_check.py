"""Whether one optimizer over a flat tensor steps like one for each run, on made-up gradients."""

import torch
from torch import Tensor

from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.training.equivalence.twin import Twin
from optsuite.training.stack import NotStackableError, Stack
from optsuite.training.stepper import FlatStepper, Stepper, ViewsStepper
from optsuite.training.train_step import eval_mode

STEPS = 120  # more than the warm-up or the lookahead interval of some optimizers
CLOSELY = 20  # the first steps are compared one by one,
EVERY = 10  # the later ones only so often
SCALES = (1e-3, 1.0, 1e3)  # of the gradients, in turn: reveals a step that depends on their norm
OF_RUN = (1.0, 0.1)
NOT_AS_DECLARED = (
    "its optimizer's step is not elementwise and proportional to lr, although declared lr_linear"
)


def why_not_flat(twin: Twin, spec: OptimizerSpec) -> str:
    """What rules out the flat tensor, as a clause; empty if nothing does.

    Two runs of the benchmark's shapes, one at each end of the interval of rates, take STEPS steps
    both ways.
    """
    rates = [spec.lr.low, spec.lr.high]
    try:
        flat, views = _stack(twin, len(rates)), _stack(twin, len(rates))
        steppers: list[Stepper] = [FlatStepper(spec, flat, rates), ViewsStepper(spec, views, rates)]
    except NotStackableError as error:
        return str(error)
    generator = torch.Generator().manual_seed(0)
    gradients = [_gradients(flat, scale, generator) for scale in SCALES]
    for step in range(1, STEPS + 1):
        for stack in (flat, views):
            stack.grad.copy_(gradients[step % len(SCALES)])
        for stepper in steppers:
            stepper.step(spec.lr_multiplier(step, STEPS))
        is_compared = step <= CLOSELY or step % EVERY == 0
        if is_compared and not _is_same(flat, views, twin.floor):
            return NOT_AS_DECLARED
    optimizers = [optimizer for stepper in steppers for optimizer in stepper.optimizers]
    with eval_mode(optimizers):
        return "" if _is_same(flat, views, twin.floor) else NOT_AS_DECLARED


def _stack(twin: Twin, n: int) -> Stack:
    return Stack([twin.model(seed) for seed in range(n)])


def _gradients(stack: Stack, scale: float, generator: torch.Generator) -> Tensor:
    """Random gradients of a scale in the layout of the flat tensor, different for each run."""
    made = torch.randn(stack.flat.shape, generator=generator).to(stack.flat) * scale
    return made * stack.rates(OF_RUN)


def _is_same(flat: Stack, views: Stack, floor: float) -> bool:
    """Whether each parameter of each run is the same in both, unless neither is finite."""
    for name, parameter in flat.parameters.items():
        one, other = parameter.detach(), views.parameters[name].detach()
        if not one.numel():
            continue
        for position in range(flat.size):
            if not (one[position].isfinite().all() or other[position].isfinite().all()):
                continue
            difference = (one[position] - other[position]).abs().max()
            if not difference <= floor * other[position].abs().max():
                return False
    return True
