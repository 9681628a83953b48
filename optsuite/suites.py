"""Finding things by name: the suite in a file or module, and the benchmarks and optimizers that may be named within it."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from optsuite.definition import Benchmark, OptimizerSpec, Suite, require
from optsuite.errors import BadInput, UnknownName, location, one_line
from optsuite.optimizers import OPTIMIZERS

T = TypeVar("T")


def load_suite(where: str) -> Suite:
    """The SUITE of a file or module. The current folder, and that of the file, are on the import path. Raises BadInput."""
    require(where, "suite", where, "a Python file or a module")
    importlib.invalidate_caches()
    _on_path(Path.cwd())
    is_file = where.endswith(".py") or "/" in where
    try:
        module = _import_file(Path(where).absolute()) if is_file else importlib.import_module(where)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == where.partition(".")[0] and not is_file:
            raise BadInput(f"suite: got {where!r}, allowed: a Python file, or a module importable from {Path.cwd()}") from None
        if isinstance(error, BadInput):
            raise BadInput(f"suite {where}{location(error)}: {error}") from None
        raise BadInput(f"suite {where}{location(error)} raised {one_line(error)}") from error
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        found = "no SUITE" if suite is None else f"SUITE of type {type(suite).__name__}"
        raise BadInput(f"suite {where}: got {found}, allowed: SUITE = Suite(...)")
    return suite


def _on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> object:
    if not path.is_file():
        raise BadInput(f"got {str(path)!r}, which is not a file; allowed: a Python file")
    _on_path(path.parent)
    name = f"suite_{path.stem}"  # so that a file named torch.py shadows nothing
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"got {str(path)!r}, allowed: a Python file, named *.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def benchmark_choices(suite: Suite) -> dict[str, Benchmark]:
    """Every benchmark that may be named in the suite, those on request included."""
    return {b.name: b for b in suite.benchmarks + suite.on_request}


def optimizer_choices(suite: Suite) -> dict[str, OptimizerSpec]:
    """Every optimizer that may be named: the suite's own, then the registry's."""
    return {**OPTIMIZERS, **{spec.name: spec for spec in suite.optimizers}}


def select(
    suite: Suite,
    *,
    benchmarks: Sequence[str] = (),
    optimizers: Sequence[str] = (),
    n_trials: int | None = None,
    n_seeds: int | None = None,
) -> Suite:
    """The part of the suite that is named, all of it by default, with its protocol changed where numbers are given."""

    def chosen(what: str, names: Sequence[str], choices: dict[str, T], default: tuple[T, ...]) -> tuple[T, ...]:
        for name in names:
            if name not in choices:
                raise UnknownName(what, name, choices)
        return tuple(choices[name] for name in dict.fromkeys(names)) or default

    return replace(
        suite,
        benchmarks=chosen("benchmark", benchmarks, benchmark_choices(suite), suite.benchmarks),
        optimizers=chosen("optimizer", optimizers, optimizer_choices(suite), suite.optimizers),
        on_request=(),
        n_trials=suite.n_trials if n_trials is None else n_trials,
        n_seeds=suite.n_seeds if n_seeds is None else n_seeds,
    )
