"""Schedules of the learning rate: which fraction of it a step uses. Pure functions of the step and the budget."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

Schedule = Callable[[int, int], float]  # (step, max_steps) -> fraction in [0, 1]; steps count from 1 to max_steps

WARM_UP = 0.05  # of all steps: nanoGPT's 100 of 2,000
COOL_DOWN = 0.2  # of all steps: what Hägele et al. 2024 find to be enough


def constant(step: int, max_steps: int) -> float:
    """The whole rate at every step."""
    return 1.0


def cosine(step: int, max_steps: int) -> float:
    """Half a cosine from the whole rate towards 0. Source: Loshchilov and Hutter 2017, without restarts."""
    return 0.5 * (1 + math.cos(math.pi * (step - 1) / max_steps))


def warmup_cosine(step: int, max_steps: int) -> float:
    """A linear warm-up over the first 5 % of the steps, then half a cosine towards 0. Source: Goyal et al. 2017."""
    n_warm = math.ceil(WARM_UP * max_steps)
    return step / n_warm if step <= n_warm else cosine(step - n_warm, max_steps - n_warm)


def drops(step: int, max_steps: int) -> float:
    """The whole rate, a tenth from half of the steps on, a hundredth from three quarters on. Source: He et al. 2016."""
    return 0.1 ** ((step - 1 >= max_steps * 0.5) + (step - 1 >= max_steps * 0.75))


def wsd(step: int, max_steps: int) -> float:
    """Warm-up over 5 % of the steps, stable, then a linear decay towards 0 over the last 20 %. Source: Hu et al. 2024."""
    n_cool = math.ceil(COOL_DOWN * max_steps)
    return min(1.0, step / math.ceil(WARM_UP * max_steps), (max_steps - step + 1) / n_cool)


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {"constant": constant, "cosine": cosine, "warmup_cosine": warmup_cosine, "step": drops, "wsd": wsd}
)


def schedule_name(schedule: Schedule | None) -> str:
    """The name of a schedule, for a person: that of the function where it is somebody's own; `none` where there is none."""
    named = [name for name, known in SCHEDULES.items() if known is schedule]
    return named[0] if named else "none" if schedule is None else getattr(schedule, "__name__", "own")
