"""Finding things by name: the suite in a file or module, and the benchmarks and optimizers that may be named within it."""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optsuite.definitions.benchmark import Benchmark
from optsuite.definitions.optimizer import OptimizerSpec
from optsuite.definitions.suite import Suite
from optsuite.errors import InputError, UnknownNameError, location, one_line, require
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
BENCHMARKS = "optsuite.benchmarks"  # imported when a name is asked for: in a clone it may be broken


def load_suite(where: str) -> Suite:
    """One of optsuite's own suites by its name, or the SUITE of a file or module. Raises InputError.

    The folder of the file, and the current one, stand behind all others on the import path.
    """
    require(where, "suite", where, "a Python file, a module or a name")
    is_file = where.endswith(".py") or "/" in where
    named, broken = ({}, "") if is_file else _named_suites()
    if where in named:
        return named[where]
    try:
        module = _import_file(Path(where).absolute()) if is_file else _import_module(where)
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name == where.partition(".")[0]
            and not is_file
        ):
            names = f" or one of: {', '.join(named)}" if named else ""
            allowed = f"a Python file, a module importable from {Path.cwd()}{names}"
            raise InputError(f"suite: got {where!r}, allowed: {allowed}{broken}") from None
        if isinstance(error, InputError):
            raise InputError(f"suite {where}{location(error)}: {error}") from None
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
    """The same, and what is wrong with the package, if anything is: in a clone it may be edited."""
    try:
        found = getattr(importlib.import_module(BENCHMARKS), "SUITES", {})
    except (Exception, SystemExit) as error:
        return {}, f"; {BENCHMARKS}{location(error)} raised {one_line(error)}"
    usable = isinstance(found, Mapping) and all(
        isinstance(suite, Suite) for suite in found.values()
    )
    if not usable:
        return {}, f"; {BENCHMARKS}.SUITES is no mapping of names to suites"
    return found, ""


def _import_file(path: Path) -> object:
    """A file; an `__init__.py` as the package that it makes."""
    is_package = path.name == "__init__.py"
    own_folders = (path.parent, *([path.parent.parent] if is_package else []), Path.cwd())
    search(*own_folders)
    if not path.is_file():
        raise InputError(f"got {str(path)!r}, which is not a file; allowed: a Python file")
    if is_package and path.parent.name == "benchmarks":
        return _import_benchmarks(path.parent.parent)
    require_visible([path], *own_folders)
    name = path.parent.name if is_package else path.stem
    return load_file(path, f"suite_{name}")  # a name that a file named torch.py shares with nothing


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
    """The `benchmarks` of a folder, which need not fear that of a clone on the import path."""
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
    """The benchmark of a name; of `digits_mlp@200`, that benchmark with a budget of 200 steps. Raises InputError."""
    choices = benchmark_choices(suite)
    base, _, steps = name.rpartition("@")
    if name in choices:
        return choices[name]
    if base not in choices:
        raise UnknownNameError("benchmark", name, choices, forms="NAME@STEPS")
    usable = re.fullmatch(r"[1-9][0-9]{0,8}", steps)
    require(usable, f"benchmark {base}: steps", steps, "a whole number from 1 to 999999999")
    own = choices[base]
    if own.max_steps == int(steps):
        return own
    return replace(own, name=name, max_steps=int(steps), eval_every=min(own.eval_every, int(steps)))


def find_optimizer(suite: Suite, name: str) -> OptimizerSpec:
    """The optimizer of a name; of `adam+cosine`, Adam with that schedule; of `pytorch_optimizer:lamb`, that package's.

    Raises InputError.
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
    raise UnknownNameError(
        "optimizer", name, choices, forms=f"{ALL}, NAME+SCHEDULE, {PYTORCH_OPTIMIZER}:NAME"
    )


def scheduled(spec: OptimizerSpec, schedule: str) -> OptimizerSpec:
    """The optimizer with a schedule, under a name of its own, so that one table can hold both. Raises InputError."""
    if schedule not in SCHEDULES:
        raise UnknownNameError("schedule", schedule, SCHEDULES)
    if spec.schedule is SCHEDULES[schedule]:
        return spec
    if spec.schedule is not constant:
        why = (
            "must not be given one"
            if spec.schedule is None
            else f"has {schedule_name(spec.schedule)}"
        )
        raise InputError(f"schedule: got {schedule} for {spec.name}, allowed: none, as it {why}")
    special_cases = tuple(f"{name}+{schedule}" for name in spec.special_cases)
    return replace(
        spec,
        name=f"{spec.name}+{schedule}",
        schedule=SCHEDULES[schedule],
        special_cases=special_cases,
    )


def unavailable(suite: Suite, names: Iterable[str]) -> list[str]:
    """Which optimizers "all" among the names leaves out: those that are not installed."""
    if ALL not in {name.partition("+")[0] for name in names}:
        return []
    return [name for name, spec in optimizer_choices(suite).items() if not is_available(spec)]


def select(
    suite: Suite,
    *,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str] = (),
    n_trials: int | None = None,
    n_seeds: int | None = None,
) -> Suite:
    """The part of the suite that is named, all of it by default, with its protocol changed where numbers are given.

    The optimizer "all" stands for all that the suite and the registry have and that is installed;
    "all+cosine" for those of them that take a schedule, with this one.
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
    return replace(
        suite,
        benchmarks=tuple(find_benchmark(suite, name) for name in dict.fromkeys(benchmarks))
        or suite.benchmarks,
        optimizers=tuple({spec.name: spec for spec in specs}.values()),
        on_request=(),
        n_trials=suite.n_trials if n_trials is None else n_trials,
        n_seeds=suite.n_seeds if n_seeds is None else n_seeds,
    )
