"""The descriptions of a suite's parts, made once, and how they differ from another process's."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import torch

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.definitions.target import Target
from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import Description, canonicalize
from optsuite.training.canonical.effects import changes_globals
from optsuite.training.canonical.names import Names
from optsuite.training.canonical.own_code import home_of
from optsuite.training.canonical.patches import counts_script

Parts = dict[str, object]
SHORT = 40  # characters of what a message quotes


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a benchmark or an optimizer is, and what it runs in.

    `digest` names the code and the data, which `parts` holds by name; it is the same everywhere.
    `environment_digest` names the `environment`: versions of packages, and the numerics.
    """

    digest: str
    parts: Mapping[str, str]
    environment_digest: str
    environment: Mapping[str, str]


class Descriptions:
    """Descriptions of the parts of a suite, made when this is created.

    Create it right after the suite is loaded: then no description depends on what is counted or
    cached while models are built and trained. Parts are identified by object, not by the names of
    their benchmarks and optimizers; parts that are not in the suite are described on request. A
    part that cannot be described raises its error on request only.
    """

    def __init__(self, suite: Suite | None = None, names: Callable[[], Names] = Names) -> None:
        self.numerics = _numerics()
        self._names = names
        # By id, which stays unique because the value is kept.
        self._known: dict[int, tuple[object, Description | InputError]] = {}
        self._is_of_script = False
        if suite is None:
            return
        parts: list[object] = []
        for benchmark in suite.benchmarks + suite.on_request:
            parts += benchmark_parts(benchmark).values()
        for spec in suite.optimizers:
            parts += spec_parts(spec).values()
        self._is_of_script = any(map(_is_of_script, parts))
        self._describe_all(parts)

    def of(self, value: object, what: str) -> Description:
        """The description of a part. Raises InputError, which starts with `what`, without one."""
        if id(value) not in self._known:
            self._describe_all([value])
        found = self._known[id(value)][1]
        if isinstance(found, InputError):
            raise InputError(f"{what}{str(found).removeprefix('definition')}")
        return found

    def _describe_all(self, values: Iterable[object]) -> None:
        counts_script.set(self._is_of_script)
        for value in values:
            if id(value) in self._known:
                continue
            try:
                self._known[id(value)] = value, canonicalize(value, names=self._names)
            except InputError as error:
                self._known[id(value)] = value, error


def _is_of_script(part: object) -> bool:
    """Whether a part of a suite is defined in the script that runs."""
    home = home_of(getattr(part, "func", part))
    return home is not None and home.name == "__main__"


def benchmark_parts(benchmark: Benchmark) -> Parts:
    """What a benchmark computes with, by name: each function alone, all numbers together.

    Its data are identified separately, by hash.
    """
    parts: Parts = {}
    numbers: list[object] = []
    for item in fields(benchmark):
        value = getattr(benchmark, item.name)
        if item.name in ("name", "dataset"):
            continue
        if isinstance(value, Target):
            value = (value.metric, value.is_upper, value.bound)  # however it was written
        if isinstance(value, Mapping):
            for key, part in value.items():
                parts[f"{item.name.removesuffix('s')} {key}"] = part
        elif callable(value):
            parts[item.name] = value
        else:
            numbers += [item.name, value]
    if changes_globals(benchmark.dataset):
        parts["dataset"] = benchmark.dataset
    return parts | {"numbers": tuple(numbers)}


def spec_parts(spec: OptimizerSpec) -> Parts:
    """What determines the steps of an optimizer, except its rate."""
    return {
        "build": spec.build,
        "fixed hyperparameters": spec.fixed,
        "schedule": spec.schedule,
        "flags": (spec.closure, spec.lr_linear),
    }


def _numerics() -> tuple[str, ...]:
    """The global settings of torch that change numbers. A suite may set them while it is loaded."""
    cuda = torch.backends.cuda
    cudnn = torch.backends.cudnn
    settings: list[object] = [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_float32_matmul_precision(),
        cuda.matmul.allow_fp16_reduced_precision_reduction,
        cuda.matmul.allow_bf16_reduced_precision_reduction,
        cuda.flash_sdp_enabled(),  # type: ignore[no-untyped-call]
        cuda.mem_efficient_sdp_enabled(),  # type: ignore[no-untyped-call]
        cuda.math_sdp_enabled(),  # type: ignore[no-untyped-call]
        (torch.backends.mkldnn.enabled, cudnn.enabled, cudnn.benchmark),
        (cudnn.allow_tf32, cudnn.deterministic),
        (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")),
        (torch.full((), 1e-40) * 1.0).item(),  # zero if subnormal numbers are flushed
    ]
    return tuple(map(str, settings))


def difference(where: str, expected: Identity, found: Identity) -> str:
    """How a definition differs from the driver's, and the likely reason; empty if it does not.

    `where` names the definition. Either its code or data differ, so that it is another task, or
    only the environment does: installed versions or settings.
    """
    if expected.digest != found.digest:
        return _other_task(where, expected.parts, found.parts)
    if expected.environment_digest != found.environment_digest:
        return _other_environment(where, expected.environment, found.environment)
    return ""


def _other_task(where: str, expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    names = _differing(expected, found)
    if names == ["data"]:
        return (
            f"{where}: its data differ each time that they are made; "
            "seed a generator inside the function"
        )
    if not names:
        return f"{where} changed while the campaign was running; start it again"
    several = len(names) > 1 or names[0] in ("numbers", "flags", "fixed hyperparameters", "data")
    verb = "differ" if several else "differs"
    return (
        f"{where}: its {' and '.join(names)} {verb} each time that the suite is loaded, "
        "or its file changed while the campaign was running"
    )


def _other_environment(where: str, expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    differences = []
    for name in _differing(expected, found):
        here, there = found.get(name, "missing"), expected.get(name, "missing")
        is_short = len(here) < SHORT and len(there) < SHORT
        differences.append(f"{name} ({here} instead of {there})" if is_short else name)
    what = f"{where}: this worker's environment differs from the driver's"
    return f"{what}: {', '.join(differences)}; use the same on all machines"


def _differing(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))
