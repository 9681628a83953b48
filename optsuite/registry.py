"""Lookup by name: the suite of a file or module, and the benchmarks and optimizers in it."""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import (
    InputError,
    UnknownNameError,
    location,
    one_line,
    require,
    suggestion,
)
from optsuite.import_path import (
    load_file,
    load_own,
    own_files,
    require_found,
    require_visible,
    search,
)
from optsuite.optimizers import OPTIMIZERS
from optsuite.optimizers.packaged import PYTORCH_OPTIMIZER, any_of_pytorch_optimizer, is_available
from optsuite.schedules import SCHEDULES, constant, schedule_name

ALL = "all"
BENCHMARKS = "optsuite.benchmarks"  # imported only when needed: in a clone it may be broken


def load_suite(where: str) -> Suite:
    """One of optsuite's own suites by name, or the SUITE of a file or module. Raises InputError.

    The folder of the file, and the current one, come after all others on the import path.
    """
    require(where, "suite", where, "a Python file, a module or a name")
    is_file = where.endswith(".py") or "/" in where
    named, broken = ({}, "") if is_file else _named_suites()
    if where in named:
        return named[where]
    try:
        module = _import_file(Path(where).absolute()) if is_file else _import_module(where)
    except InputError as error:
        raise InputError(f"suite {where}{location(error)}: {error}") from None
    except (Exception, SystemExit) as error:
        is_missing = (
            isinstance(error, ModuleNotFoundError) and error.name == where.partition(".")[0]
        )
        if is_missing and not is_file:
            names = f" or one of: {', '.join(named)}" if named else ""
            allowed = f"a Python file, a module importable from {Path.cwd()}{names}"
            allowed += suggestion(where, named)
            raise InputError(f"suite: got {where!r}, allowed: {allowed}{broken}") from None
        raise InputError(f"suite {where}{location(error)} raised {one_line(error)}") from error
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        found = "no SUITE" if suite is None else f"SUITE of type {type(suite).__name__}"
        raise InputError(f"suite {where}: got {found}, allowed: SUITE = Suite(...)")
    return suite


def named_suites() -> Mapping[str, Suite]:
    """The suites of optsuite.benchmarks by name; none if the package is broken."""
    return _named_suites()[0]


def _named_suites() -> tuple[Mapping[str, Suite], str]:
    """The same, and the problem of the package, if any: in a clone it may have been edited."""
    try:
        found = getattr(importlib.import_module(BENCHMARKS), "SUITES", {})
    except (Exception, SystemExit) as error:
        return {}, f"; {BENCHMARKS}{location(error)} raised {one_line(error)}"
    is_mapping = isinstance(found, Mapping)
    if not is_mapping or not all(isinstance(suite, Suite) for suite in found.values()):
        return {}, f"; {BENCHMARKS}.SUITES is no mapping of names to suites"
    return found, ""


def _import_file(path: Path) -> object:
    """A file; an `__init__.py` as its package."""
    is_package = path.name == "__init__.py"
    own_folders = [path.parent, Path.cwd()]
    if is_package:
        own_folders.insert(1, path.parent.parent)
    search(*own_folders)
    if not path.is_file():
        raise InputError(f"got {str(path)!r}, which is not a file; allowed: a Python file")
    if is_package and path.parent.name == "benchmarks":
        return _import_benchmarks(path.parent.parent)
    require_visible([path], *own_folders)
    name = path.parent.name if is_package else path.stem
    return load_file(path, f"suite_{name}")  # so that a file named torch.py hides nothing


def _import_module(name: str) -> object:
    """A module or package by its name."""
    top, here = name.partition(".")[0], Path.cwd()
    search(here)
    own = own_files(here, top)
    if own and top == "benchmarks":
        _import_benchmarks(here)
    elif own:
        require_found(top, own)
        require_visible(own[:1], here)
    return importlib.import_module(name)


def _import_benchmarks(folder: Path) -> object:
    """The `benchmarks` of a folder, even if those of a clone are on the import path."""
    (own, *_) = own_files(folder, "benchmarks")
    files = sorted(own.parent.rglob("*.py")) if own.name == "__init__.py" else [own]
    require_visible(files, folder, loaded="benchmarks")
    return load_own(folder, "benchmarks")


def benchmark_choices(suite: Suite) -> dict[str, Benchmark]:
    """Every benchmark that may be named in the suite, those on request included."""
    return {b.name: b for b in suite.benchmarks + suite.on_request}


def optimizer_choices(suite: Suite) -> dict[str, OptimizerSpec]:
    """Every optimizer that may be named: the suite's own, then the registry's."""
    return {**OPTIMIZERS, **{spec.name: spec for spec in suite.optimizers}}


def find_benchmark(suite: Suite, name: str) -> Benchmark:
    """The benchmark of a name. Raises InputError.

    `digits_mlp@200` is that benchmark with a budget of 200 steps.
    """
    choices = benchmark_choices(suite)
    base, _, steps = name.rpartition("@")
    if name in choices:
        return choices[name]
    if base not in choices:
        raise UnknownNameError("benchmark", name, choices, forms="NAME@STEPS")
    usable = re.fullmatch(r"[1-9][0-9]{0,8}", steps)
    require(usable, f"benchmark {base}: steps", steps, "a whole number from 1 to 999999999")
    own, max_steps = choices[base], int(steps)
    if own.max_steps == max_steps:
        return own
    eval_every = min(own.eval_every, max_steps)
    return replace(own, name=name, max_steps=max_steps, eval_every=eval_every)


def find_optimizer(suite: Suite, name: str) -> OptimizerSpec:
    """The optimizer of a name. Raises InputError.

    `adam+cosine` is Adam with that schedule; `pytorch_optimizer:lamb` is from that package.
    """
    choices = optimizer_choices(suite)
    if name in choices:
        return choices[name]
    base, plus, schedule = name.rpartition("+")
    if plus:
        return scheduled(find_optimizer(suite, base), schedule)
    package, colon, kind = name.partition(":")
    if colon and package == PYTORCH_OPTIMIZER:
        return any_of_pytorch_optimizer(kind)
    forms = f"{ALL}, NAME+SCHEDULE, {PYTORCH_OPTIMIZER}:NAME"
    raise UnknownNameError("optimizer", name, choices, forms=forms)


def scheduled(spec: OptimizerSpec, schedule: str) -> OptimizerSpec:
    """The optimizer with a schedule. Raises InputError.

    It has its own name, so that one table can hold both.
    """
    if schedule not in SCHEDULES:
        raise UnknownNameError("schedule", schedule, SCHEDULES)
    if spec.schedule is SCHEDULES[schedule]:
        return spec
    if spec.schedule is None:
        raise InputError(
            f"schedule: {spec.name} does not support one; choose it without +{schedule}"
        )
    if spec.schedule is not constant:
        own = schedule_name(spec.schedule)
        problem = f"{spec.name} already has {own}"
        raise InputError(f"schedule: {problem}; choose it without +{schedule}")
    name = f"{spec.name}+{schedule}"
    special_cases = tuple(f"{case}+{schedule}" for case in spec.special_cases)
    return replace(spec, name=name, schedule=SCHEDULES[schedule], special_cases=special_cases)


def unavailable(suite: Suite, names: Iterable[str]) -> list[str]:
    """The optimizers that "all" among the names omits because they are not installed."""
    if ALL not in {name.partition("+")[0] for name in names}:
        return []
    return [name for name, spec in optimizer_choices(suite).items() if not is_available(spec)]


def select(
    suite: Suite,
    *,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str] = (),
    protocol: Mapping[str, int | None] = {},
) -> Suite:
    """The named part of a suite, by default all of it, with other numbers in its protocol.

    `protocol` has fields of Suite, such as n_seeds; those that are None stay as they are. With
    n_seeds alone no seeds are added where a verdict is open.
    The optimizer "all" stands for all installed ones of the suite and the registry; "all+cosine"
    for those of them that take a schedule, with this one.
    """
    specs: list[OptimizerSpec] = []
    for name in optimizers:
        base, plus, schedule = name.partition("+")
        if base != ALL:
            specs.append(find_optimizer(suite, name))
            continue
        every = [*suite.optimizers, *filter(is_available, optimizer_choices(suite).values())]
        if plus:
            every = [scheduled(spec, schedule) for spec in every if spec.schedule is constant]
        specs += every
    specs = specs or list(suite.optimizers)
    for spec in specs:
        for name in spec.special_cases:
            find_optimizer(suite, name)
    numbers: dict[str, Any] = {}
    for name, number in protocol.items():
        if number is not None:
            numbers[name] = number
    if "n_seeds" in numbers:
        numbers.setdefault("max_seeds", 0)
    named = tuple(find_benchmark(suite, name) for name in dict.fromkeys(benchmarks))
    return replace(
        suite,
        benchmarks=named or suite.benchmarks,
        optimizers=tuple({spec.name: spec for spec in specs}.values()),
        on_request=(),
        **numbers,
    )
