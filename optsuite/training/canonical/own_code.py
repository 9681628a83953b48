"""Which code is the user's own, which is installed and in what version, which is optsuite's."""

import functools
import site
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Literal

Kind = Literal["own", "installed", "protocol"]
SITES = {"site-packages", "dist-packages"}
OPTSUITE = Path(__file__).resolve().parents[2]
BENCHMARKS = OPTSUITE.parent / "benchmarks"  # of the repository
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that was made at runtime
PUBLIC = ("models", "data", "optimizers", "schedules.py", "benchmarks")  # below OPTSUITE


def _installed_folders() -> tuple[Path, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders = (*paths, *site.getsitepackages(), site.getusersitepackages())
    return tuple(Path(folder).resolve() for folder in folders if folder)


INSTALLED = _installed_folders()


@dataclass(frozen=True)
class Home:
    """The module in which own code was written: its name, its file, the package around it."""

    name: str
    file: str | None
    package: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder that holds the module or its outermost package; None without a file.

        The package `optsuite.benchmarks` counts as `benchmarks`.
        """
        if self.file is None:
            return None
        path = Path(self.file)
        name = self.name
        if name.startswith("optsuite.benchmarks"):
            name = name.removeprefix("optsuite.")
        depth = name.count(".") + (path.stem == "__init__")
        outer = path.parent.parents
        if 0 < depth <= len(outer):
            return outer[depth - 1]
        return path.parent


@functools.cache
def is_ours(file: str | None) -> bool:
    """Whether a file lies in the package optsuite, whatever its module is called.

    Benchmarks count as the user's own, both beside the package (in a clone) and inside it (in a
    wheel).
    """
    if file is None:
        return False
    path = Path(file).resolve()
    return path.is_relative_to(OPTSUITE) and not path.is_relative_to(OPTSUITE / "benchmarks")


@functools.cache
def is_public(file: str | None) -> bool:
    """Whether a file is a part of optsuite that counts as the user's own, even if installed."""
    if file is None:
        return False
    path = Path(file).resolve()
    folders = [BENCHMARKS, *(OPTSUITE / part for part in PUBLIC)]
    return any(path.is_relative_to(folder) for folder in folders)


def kind_of(name: str, file: str | None) -> Kind:
    """The origin of a module. One that is neither installed nor built in is the user's own."""
    if is_public(file):
        return "own"
    top = name.partition(".")[0]
    if is_ours(file) or (file is None and top == "optsuite"):
        return "protocol"
    if file is None:
        built_in = top in sys.builtin_module_names or top in sys.stdlib_module_names
        return "installed" if built_in and top != "__main__" else "own"
    return "installed" if is_installed(file) else "own"


@functools.cache
def is_installed(file: str) -> bool:
    """Whether a file was installed with Python or a package."""
    if file.startswith("<frozen"):
        return True
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    return bool(SITES & set(path.parts)) or any(path.is_relative_to(folder) for folder in INSTALLED)


def home_of_module(scope: Mapping[str, Any]) -> Home:
    """The home that the namespace of a module names."""
    file = scope.get("__file__")
    if not isinstance(file, str):
        file = None
    package = scope.get("__package__")
    if not isinstance(package, str):
        package = ""
    return Home(str(scope.get("__name__")), file, package)


def function_kind(function: FunctionType) -> Kind:
    """The origin of a function, by its module and the file that its code was compiled from."""
    home = home_of_module(function.__globals__)
    kind = kind_of(home.name, home.file)
    if kind == "protocol" or is_public(home.file):
        return kind
    file = function.__code__.co_filename
    if file.startswith("<") and not file.startswith("<frozen"):
        return kind
    return "installed" if is_installed(file) else "own"


def class_module(kind: type) -> str:
    """The name of the module that a class names, past what its metaclass overrides."""
    return str(type.__dict__["__module__"].__get__(kind))


def qualname(kind: type) -> str:
    """The qualified name of a class, past what its metaclass overrides."""
    return str(type.__dict__["__qualname__"].__get__(kind))


def class_home(kind: type) -> Home:
    """The home of a class; without a file if its module is not loaded."""
    name = class_module(kind)
    module = sys.modules.get(name)
    if type(module) is not ModuleType:
        return Home(name, None)
    return home_of_module(vars(module))


def home_of(value: Any) -> Home | None:
    """The own module that a function, class, module or instance belongs to; None without one."""
    kind = type(value)
    if kind is FunctionType:
        return home_of_module(value.__globals__) if function_kind(value) == "own" else None
    if issubclass(kind, ModuleType):
        home = home_of_module(vars(value))
        return home if kind_of(home.name, home.file) == "own" else None
    if issubclass(kind, type):
        kind = value
    return class_home(kind) if module_kind(class_module(kind)) == "own" else None


def class_kind(kind: type) -> Kind:
    """The origin of a class. One that installed code makes at runtime is the user's own.

    Such a class cannot be found by name in its module, and all of it can be described.
    """
    name = class_module(kind)
    whose = kind_of(name, class_home(kind).file)
    is_heap_type = bool(kind.__flags__ & HEAP_TYPE)
    if whose == "installed" and is_heap_type and not by_name(name, qualname(kind), kind):
        return "own"
    return whose


def module_kind(name: str) -> Kind:
    """The origin of the loaded module of that name."""
    module = sys.modules.get(name)
    if type(module) is not ModuleType:
        return kind_of(name, None)
    return kind_of(name, home_of_module(vars(module)).file)


def by_name(module: str, name: str, value: object) -> bool:
    """Whether the value is what its module holds under that name."""
    place: Any = sys.modules.get(module)
    for part in name.split("."):
        try:
            place = vars(place).get(part)
        except TypeError:
            return False
    return place is value


@functools.cache
def version(package: str) -> str:
    """The installed version of a package, loaded or not; empty for a part of Python."""
    if package in sys.stdlib_module_names:
        return ""
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        names = metadata.packages_distributions().get(package, [])
        return " ".join(sorted({metadata.version(name) for name in names}))
