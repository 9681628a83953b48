"""Whether two trainings of one run agree: bit for bit, or within what rounding grows to. Pure functions of measurements.

Engines add the same numbers in another order, so that weights part in their last bits, and training magnifies that: as
chaos does, by a factor with every step, until the curves have nothing but their general course in common.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import nn

from optsuite.training.results import Measurement

Pair = tuple[float, float]  # what was expected and what was received

# Measured with scripts/speed/agreement.py on 2026-11-26 (torch 2.15, x86, float32): 7 benchmarks, 6 optimizers, 4 rates up to
# the top of each interval, 2 seeds. The largest relative differences between the plain and the stacked engine were
#   step                  2      6     10     20     40     80    120    160    200    360    440    600
#   a loss             4e-7   2e-5   3e-4   2e-3    .11    .86    .84    .98    .73    .97    .93    .93
#   the lowest so far  1e-7   2e-5   3e-4   6e-4    .11    .04    .41    .50    .50    .55    .60    .59
# where losses above HUGE do not count, and the lowest is that of the validation or test loss: spikes of RMSprop and Adam
# come and go and the training loss of the modular sums falls in jumps, but the course stays. The median is 1e-7 throughout.
SATURATED = 0.75  # of the larger loss: a factor of four, where the largest that was seen is 2.5
SATURATION = 60  # steps; before, the tolerance grows with their square, and is at least three times what was seen
ROUNDING = 100  # units in the last place, which are allowed from the first step on
FEW = 3  # examples that may fall on the other side of a threshold
TINY = 1e-6  # of the loss before training: below, a loss in float32 consists of rounding
HUGE = 10  # times the loss before training: no score is found there, and nothing holds the curves together
NUDGE = 8  # units in the last place by which a nudged run starts elsewhere: more than another order of adding makes
GROWN = 30  # times what a nudge has grown to is still the work of rounding, which engines do at every step
EQUAL = 1e-3  # relative: losses this near need no explanation; engines differ in the fifth digit after 100 steps
JUDGED = ("validation/loss", "test/loss")


def repeats(expected: Iterable[Measurement], received: Iterable[Measurement]) -> bool:
    """Whether all that was received had been measured before: the same curves at each of its steps, equal bit for bit.

    `expected` may hold more steps. Nothing received proves nothing: False.
    """
    known = {m.step: _bits(m.values) for m in expected}
    found = {m.step: _bits(m.values) for m in received}
    return bool(found) and all(known.get(step) == bits for step, bits in found.items())


def parted(
    expected: Iterable[Measurement],
    received: Iterable[Measurement],
    *,
    examples: int = 100,
    eps: float = 2.0**-23,
) -> str:
    """Where the curves differ by more than rounding explains, as one clause; empty where they agree.

    Compares the steps that both have. Up to SATURATION every value counts; later the lowest measured loss so far does,
    since chaos moves single values at will. `examples` is the size of the smaller measured split, which bounds how finely
    a metric that counts can differ; `eps` is that of the dtype of training.
    """
    plain, other = (
        {m.step: m.values for m in measurements} for measurements in (expected, received)
    )
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
            early = step <= SATURATION and min(pair) <= HUGE * abs(initial)
            if early and not _close(pair, relative * _scale(pair, initial) + TINY * abs(initial)):
                return f"{curve} at step {step} is {_against(pair)}"
            allowed = relative * _scale(lowest[curve], initial) + TINY * abs(initial)
            if curve in JUDGED and not _close(lowest[curve], allowed):
                return f"the lowest {curve} up to step {step} is {_against(lowest[curve])}"
    return ""


def nudged(make: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """A model whose weights are NUDGE units in the last place up or down, as the seed has it, from those that `make` gives."""
    model = make()
    nudge(model, lambda dtype: NUDGE * torch.finfo(dtype).eps, seed=seed)
    return model


@torch.no_grad()
def nudge(model: nn.Module, relative: Callable[[torch.dtype], float], *, seed: int) -> None:
    """Move every weight by so much of itself, by its dtype; up or down, as the seed has it."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            up = torch.randint(2, parameter.shape, generator=generator).to(parameter)
            parameter.mul_(1 + relative(parameter.dtype) * (2.0 * up - 1.0))


def differ(plain: Iterable[Measurement], other: Iterable[Measurement]) -> bool:
    """Whether losses differ by so much, at any step of either, that it takes a nudge to tell rounding from an error."""
    own, received = _by_step(plain), _by_step(other)
    return any(
        not _close(pair, EQUAL * abs(pair[0]))
        for step in own.keys() | received.keys()
        for _, pair in _losses(own.get(step, {}), received.get(step, {}))
    )


def outgrown(
    plain: Iterable[Measurement],
    nudged: Iterable[Iterable[Measurement]],
    other: Iterable[Measurement],
) -> str:
    """Where a run differs from the plain one by more than any nudge has grown to, as a clause; empty where nowhere.

    Judges the losses at all steps up to the first at which both have exploded, or only a nudge has. Where a run has no more
    measurements, its loss counts as not finite.
    """
    own, received, *moved = (_by_step(measurements) for measurements in (plain, other, *nudged))
    steps = sorted(own.keys() | received.keys())
    initial = abs(own[steps[0]].get("validation/loss", 1.0)) if steps else 1.0
    explodes = any(
        value > HUGE * initial
        for one in moved
        for step in steps
        for value in _all_losses(one.get(step))
    )
    grown = EQUAL
    for step in steps:
        for curve, pair in _losses(own.get(step, {}), received.get(step, {})):
            if (explodes and max(pair) > HUGE * initial) or min(pair) > HUGE * initial:
                return ""
            scale = _scale(pair, initial)
            largest = max(abs(one.get(step, {}).get(curve, math.inf) - pair[0]) for one in moved)
            grown = max(grown, GROWN * largest / max(scale, TINY * initial))
            exploded = not explodes and pair[1] > HUGE * initial > pair[0]
            if exploded or not _close(pair, grown * scale + TINY * initial):
                return f"{curve} at step {step} is {_against(pair)}, by far more than rounding grows to there"
    return ""


def _by_step(measurements: Iterable[Measurement]) -> dict[int, Mapping[str, float]]:
    return {m.step: m.values for m in measurements}


def _losses(
    expected: Mapping[str, float], received: Mapping[str, float]
) -> Iterator[tuple[str, Pair]]:
    return ((curve, pair) for curve, pair in _pairs(expected, received) if curve.endswith("/loss"))


def _all_losses(values: Mapping[str, float] | None) -> Iterator[float]:
    """The losses of a step; one that is not finite where there are none, as the run has ended before."""
    losses = [value for curve, value in (values or {}).items() if curve.endswith("/loss")]
    yield from losses or [math.inf]


def tolerance(step: int, eps: float) -> float:
    """The relative difference of two losses that rounding may grow to in so many steps."""
    return min(SATURATED, SATURATED * (step / SATURATION) ** 2 + ROUNDING * eps)


def _pairs(
    expected: Mapping[str, float], received: Mapping[str, float]
) -> Iterator[tuple[str, Pair]]:
    """Both values of each curve; what is missing was not finite."""
    for curve in sorted(expected.keys() | received.keys()):
        yield curve, (expected.get(curve, math.inf), received.get(curve, math.inf))


def _scale(pair: Pair, initial: float) -> float:
    """What a difference is relative to: the larger loss; where they may be negative, as likelihoods are, none vanishes."""
    sizes = [*map(abs, pair), abs(initial) if min(*pair, initial) < 0 else 0.0]
    return max(sizes)


def _close(pair: Pair, allowed: float) -> bool:
    if all(map(math.isfinite, pair)):
        return abs(pair[0] - pair[1]) <= allowed
    return pair[0] == pair[1]


def _against(pair: Pair) -> str:
    expected, received = (
        f"{value:.4g}" if math.isfinite(value) else "not finite" for value in pair
    )
    return f"{received} instead of {expected}"


def _bits(values: Mapping[str, float]) -> dict[str, str]:
    # Stores make zeros of negative zeros, as the sum does.
    return {curve: (float(value) + 0.0).hex() for curve, value in values.items()}
