"""The descriptions of a suite's parts, made once, and what to say where they differ from those of another process."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import torch

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.definitions.target import Target
from optsuite.errors import InputError
from optsuite.training.canonical.canonicalize import Description, canonicalize
from optsuite.training.canonical.names import Names

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
    """Descriptions of the parts of a suite as they were when this was made: right after loading, before anything was used.

    What is counted, kept or cached while models are built and trained changes no description. Parts are known by what they
    are, not by the names of their benchmarks and optimizers; those that the suite does not have are described when they are
    asked for. One that cannot be described harms nothing until it is asked for.
    """

    def __init__(self, suite: Suite | None = None, names: Callable[[], Names] = Names) -> None:
        self.numerics = _numerics()
        self._names = names
        # By id, which stays unique because the value is kept.
        self._known: dict[int, tuple[object, Description | InputError]] = {}
        if suite is None:
            return
        for benchmark in suite.benchmarks + suite.on_request:
            self._describe_all(benchmark_parts(benchmark).values())
        for spec in suite.optimizers:
            self._describe_all(spec_parts(spec).values())

    def of(self, value: object, what: str) -> Description:
        """The description of a part. Raises InputError that says `what` it is of, where there is none."""
        if id(value) not in self._known:
            self._describe_all([value])
        found = self._known[id(value)][1]
        if isinstance(found, InputError):
            raise InputError(f"{what}{str(found).removeprefix('definition')}")
        return found

    def _describe_all(self, values: Iterable[object]) -> None:
        for value in values:
            if id(value) in self._known:
                continue
            try:
                self._known[id(value)] = value, canonicalize(value, names=self._names)
            except InputError as error:
                self._known[id(value)] = value, error


def benchmark_parts(benchmark: Benchmark) -> Parts:
    """What a benchmark computes with, by name: each function for itself, all numbers together. Its data are told by hash."""
    parts: Parts = {}
    numbers: list[object] = []
    for item in fields(benchmark):
        value = getattr(benchmark, item.name)
        if item.name in ("name", "dataset"):
            continue
        if isinstance(value, Target):
            value = (value.metric, value.is_upper, value.bound)  # however it was written
        if isinstance(value, Mapping):
            parts |= {f"{item.name.removesuffix('s')} {key}": part for key, part in value.items()}
        elif callable(value):
            parts[item.name] = value
        else:
            numbers += [item.name, value]
    return parts | {"numbers": tuple(numbers)}


def spec_parts(spec: OptimizerSpec) -> Parts:
    """What the steps of an optimizer are determined by, but for its rate."""
    flags = (spec.closure, spec.lr_linear)
    return {
        "build": spec.build,
        "fixed hyperparameters": spec.fixed,
        "schedule": spec.schedule,
        "flags": flags,
    }


def _numerics() -> tuple[str, ...]:
    """What torch computes with unless it is told otherwise: a suite may set it while it is loaded."""
    cuda = torch.backends.cuda
    return (
        str(torch.get_default_dtype()),
        str(torch.get_default_device()),
        torch.get_float32_matmul_precision(),
        str(cuda.matmul.allow_fp16_reduced_precision_reduction),
        str(cuda.matmul.allow_bf16_reduced_precision_reduction),
        *(
            str(getattr(cuda, f"{kernel}_sdp_enabled")())
            for kernel in ("flash", "mem_efficient", "math")
        ),
        str(
            (
                torch.backends.mkldnn.enabled,
                torch.backends.cudnn.enabled,
                torch.backends.cudnn.benchmark,
            )
        ),
        str((torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)),
        *(
            str((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)))
            for kind in ("cpu", "cuda")
        ),
        str((torch.full((), 1e-40) * 1.0).item()),  # zero where the smallest numbers are flushed
    )


def difference(where: str, expected: Identity, found: Identity) -> str:
    """How a definition differs from the driver's, and the likely reason; empty if it does not.

    Another task and another environment are told apart: code or data differ in the first case,
    installed versions or settings in the second.
    """
    if expected.digest != found.digest:
        return _other_task(where, expected.parts, found.parts)
    if expected.environment_digest != found.environment_digest:
        return _other_environment(where, expected.environment, found.environment)
    return ""


def _other_task(where: str, expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    names = _differing(expected, found)
    if names == ["data"]:
        return f"{where}: its data differ each time that they are made: seed a generator inside the function"
    if not names:
        return f"{where} changed while the campaign was running; start it again"
    several = len(names) > 1 or names[0] in ("numbers", "flags", "fixed hyperparameters", "data")
    verb = "differ" if several else "differs"
    reason = (
        "each time that the suite is loaded, or its file changed while the campaign was running"
    )
    return f"{where}: its {' and '.join(names)} {verb} {reason}"


def _other_environment(where: str, expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    said = []
    for name in _differing(expected, found):
        here, there = found.get(name, "missing"), expected.get(name, "missing")
        is_short = len(here) < SHORT and len(there) < SHORT
        said.append(f"{name} ({here} instead of {there})" if is_short else name)
    what = f"{where}: this worker's environment differs from the driver's"
    return f"{what}: {', '.join(said)}; use the same on all machines"


def _differing(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))
