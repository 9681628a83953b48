"""Whether two trainings of one run agree: bit for bit, or as far as rounding allows.

Pure functions of measurements. Engines sum the same numbers in different orders, so weights differ
in their last bits. As in any chaotic system, training multiplies such differences with every step,
until two curves share nothing but their general course.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import nn

from optsuite.training.results import Measurement

Values = Mapping[str, float]
Pair = tuple[float, float]  # the expected and the received value

# Measured with scripts/speed/agreement.py on 2026-11-26 (torch 2.15, x86, float32): 7 benchmarks,
# 6 optimizers, 4 rates up to the top of each interval, 2 seeds. The largest relative differences
# between the plain and the stacked engine were
#   step                  2     6    10    20   40   80  120  160  200  360  440  600
#   a loss             4e-7  2e-5  3e-4  2e-3  .11  .86  .84  .98  .73  .97  .93  .93
#   the lowest so far  1e-7  2e-5  3e-4  6e-4  .11  .04  .41  .50  .50  .55  .60  .59
# where losses above HUGE do not count, and the lowest is that of the validation or test loss:
# spikes of RMSprop and Adam come and go, and the training loss of the modular sums falls in jumps,
# but the course stays. The median is 1e-7 throughout.

# Of the larger loss: a factor of four. The largest factor seen is 2.5.
SATURATED = 0.75
# Steps. Before, the tolerance grows with their square and is at least three times what was seen.
SATURATION = 60
ROUNDING = 100  # units in the last place, allowed from the first step on
FEW = 3  # examples that may fall on the other side of a threshold
# Of the loss before training: anything smaller is rounding in a float32 loss.
TINY = 1e-6
# Times the loss before training: no score is found above, and curves there need not agree.
HUGE = 10
# Units in the last place by which a perturbed run starts elsewhere: more than reordered sums cause.
PERTURBATION = 8
# Up to so many times the growth of a perturbation is rounding too: engines round at every step.
GROWN = 30
# Relative: closer losses need no explanation. Engines differ in the fifth digit after 100 steps.
EQUAL = 1e-3
JUDGED = ("validation/loss", "test/loss")


def repeats(expected: Iterable[Measurement], received: Iterable[Measurement]) -> bool:
    """Whether everything received equals, bit for bit, what was expected at the same steps.

    `expected` may hold more steps. If nothing was received, nothing is proved: False.
    """
    known, found = _bits(expected), _bits(received)
    return bool(found) and all(known.get(step) == bits for step, bits in found.items())


def disagreement(
    expected: Iterable[Measurement],
    received: Iterable[Measurement],
    *,
    examples: int = 100,
    eps: float = 2.0**-23,
) -> str:
    """Where the curves differ by more than rounding explains, as a clause; empty if they agree.

    Compares the steps that both have. Up to SATURATION every value counts. Later only the lowest
    loss so far does, since chaos moves single values at will. `examples` is the size of the smaller
    measured split, which limits the resolution of a metric that counts; `eps` is that of the dtype
    of training.
    """
    plain, other = _by_step(expected), _by_step(received)
    steps = sorted(plain.keys() & other.keys())
    lowest: dict[str, Pair] = {}
    for step in steps:
        initial = plain[steps[0]].get("validation/loss", 1.0)
        relative = tolerance(step, eps)
        for curve, pair in _pairs(plain[step], other[step]):
            if not curve.endswith("/loss"):
                counted = relative * max(1.0, *map(abs, pair)) + FEW / examples
                if step <= SATURATION and not _close(pair, counted):
                    return f"{curve} at step {step} is {_against(pair)}"
                continue
            before = lowest.get(curve, pair)
            lowest[curve] = (min(pair[0], before[0]), min(pair[1], before[1]))
            is_early = step <= SATURATION and min(pair) <= HUGE * abs(initial)
            if is_early and not _close(pair, _allowed(pair, relative, initial)):
                return f"{curve} at step {step} is {_against(pair)}"
            if curve not in JUDGED:
                continue
            best = lowest[curve]
            if not _close(best, _allowed(best, relative, initial)):
                return f"the lowest {curve} up to step {step} is {_against(best)}"
    return ""


def tolerance(step: int, eps: float) -> float:
    """The relative difference that rounding may cause between two losses after `step` steps."""
    return min(SATURATED, SATURATED * (step / SATURATION) ** 2 + ROUNDING * eps)


def perturbed(make: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """The model that `make` returns, each weight moved by PERTURBATION units in the last place.

    `seed` decides the directions.
    """
    model = make()
    perturb(model, lambda dtype: PERTURBATION * torch.finfo(dtype).eps, seed=seed)
    return model


@torch.no_grad()
def perturb(model: nn.Module, relative: Callable[[torch.dtype], float], *, seed: int) -> None:
    """Move every weight up or down by the fraction `relative(dtype)`; `seed` decides directions."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            up = torch.randint(2, parameter.shape, generator=generator).to(parameter)
            parameter.mul_(1 + relative(parameter.dtype) * (2.0 * up - 1.0))


def differ(plain: Iterable[Measurement], other: Iterable[Measurement]) -> bool:
    """Whether losses differ so much, at any step, that perturbed runs must rule out an error."""
    own, received = _by_step(plain), _by_step(other)
    for step in own.keys() | received.keys():
        for _, pair in _losses(own.get(step, {}), received.get(step, {})):
            if not _close(pair, EQUAL * abs(pair[0])):
                return True
    return False


def disagreement_beyond_rounding(
    plain: Iterable[Measurement],
    perturbed: Iterable[Iterable[Measurement]],
    other: Iterable[Measurement],
) -> str:
    """Where a run differs from the plain one by far more than any perturbed run does, as a clause.

    Empty if it does not. Judges the losses up to the first step at which both runs have exploded,
    or only a perturbed one has. After the last measurement of a run, its loss counts as not finite.
    """
    own, received = _by_step(plain), _by_step(other)
    moved = list(map(_by_step, perturbed))
    steps = sorted(own.keys() | received.keys())
    if not steps:
        return ""
    initial = abs(own[steps[0]].get("validation/loss", 1.0))
    huge = HUGE * initial
    perturbed_explodes = any(_exceeds(one, steps, huge) for one in moved)
    grown = EQUAL
    for step in steps:
        for curve, pair in _losses(own.get(step, {}), received.get(step, {})):
            if min(pair) > huge or (perturbed_explodes and max(pair) > huge):
                return ""
            scale = _scale(pair, initial)
            perturbed_losses = [one.get(step, {}).get(curve, math.inf) for one in moved]
            largest = max(abs(loss - pair[0]) for loss in perturbed_losses)
            grown = max(grown, GROWN * largest / max(scale, TINY * initial))
            exploded = not perturbed_explodes and pair[1] > huge > pair[0]
            if exploded or not _close(pair, grown * scale + TINY * initial):
                return (
                    f"{curve} at step {step} is {_against(pair)}, "
                    "far more than rounding explains there"
                )
    return ""


def _by_step(measurements: Iterable[Measurement]) -> dict[int, Values]:
    return {m.step: m.values for m in measurements}


def _losses(expected: Values, received: Values) -> Iterator[tuple[str, Pair]]:
    for curve, pair in _pairs(expected, received):
        if curve.endswith("/loss"):
            yield curve, pair


def _pairs(expected: Values, received: Values) -> Iterator[tuple[str, Pair]]:
    """Both values of each curve; a missing one was not finite."""
    for curve in sorted(expected.keys() | received.keys()):
        yield curve, (expected.get(curve, math.inf), received.get(curve, math.inf))


def _exceeds(run: Mapping[int, Values], steps: Sequence[int], limit: float) -> bool:
    """Whether a loss of the run is above the limit, or missing because the run ended early."""
    for step in steps:
        values = run.get(step, {})
        losses = [value for curve, value in values.items() if curve.endswith("/loss")]
        if not losses or any(loss > limit for loss in losses):
            return True
    return False


def _allowed(pair: Pair, relative: float, initial: float) -> float:
    """The difference of two losses that is allowed; `initial` is the loss before training."""
    return relative * _scale(pair, initial) + TINY * abs(initial)


def _scale(pair: Pair, initial: float) -> float:
    """The loss that a difference is relative to: the larger of both.

    Where losses may be negative, such as negative log-likelihoods, they cross zero without being
    small; there the initial loss counts too.
    """
    scale = max(map(abs, pair))
    if min(*pair, initial) < 0:
        scale = max(scale, abs(initial))
    return scale


def _close(pair: Pair, allowed: float) -> bool:
    if all(map(math.isfinite, pair)):
        return abs(pair[0] - pair[1]) <= allowed
    return pair[0] == pair[1]


def _against(pair: Pair) -> str:
    expected, received = map(_number, pair)
    return f"{received} instead of {expected}"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not finite"


def _bits(measurements: Iterable[Measurement]) -> dict[int, dict[str, str]]:
    """The exact values by step and curve."""
    found: dict[int, dict[str, str]] = {}
    for m in measurements:
        # Stores turn negative zeros into zeros; adding 0.0 does the same.
        found[m.step] = {curve: (float(value) + 0.0).hex() for curve, value in m.values.items()}
    return found
