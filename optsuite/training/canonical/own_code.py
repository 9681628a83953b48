"""Which code is a person's own, which is installed and in which version, and which is optsuite's."""

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
PUBLIC = ("models", "data", "optimizers", "schedules.py", "benchmarks")  # below OPTSUITE


def _installed_folders() -> tuple[Path, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders = (*paths, *site.getsitepackages(), site.getusersitepackages())
    return tuple(Path(folder).resolve() for folder in folders if folder)


INSTALLED = _installed_folders()


@dataclass(frozen=True)
class Home:
    """The module in which something of a person's own was written: its name, its file, the package that holds it."""

    name: str
    file: str | None
    package: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder that holds its outermost package, or itself; None without a file.

        The package `optsuite.benchmarks` counts as `benchmarks`.
        """
        if self.file is None:
            return None
        own = Path(self.file).parent
        name = self.name
        if name.startswith("optsuite.benchmarks"):
            name = name.removeprefix("optsuite.")
        depth = name.count(".") + (Path(self.file).stem == "__init__")
        return own.parents[depth - 1] if 0 < depth <= len(own.parents) else own


@functools.cache
def is_ours(file: str | None) -> bool:
    """Whether a file lies in the package optsuite, whatever its module is called.

    Benchmarks count as a person's own, both beside the package (in a clone) and inside it (in a
    wheel).
    """
    if file is None:
        return False
    path = Path(file).resolve()
    return path.is_relative_to(OPTSUITE) and not path.is_relative_to(OPTSUITE / "benchmarks")


@functools.cache
def is_public(file: str | None) -> bool:
    """Whether a file is a part of optsuite that counts as a person's own, wherever it was installed."""
    if file is None:
        return False
    path = Path(file).resolve()
    return path.is_relative_to(BENCHMARKS) or any(
        path.is_relative_to(OPTSUITE / part) for part in PUBLIC
    )


def kind_of(name: str, file: str | None) -> Kind:
    """Whose a module is. What is neither installed nor built in is a person's own."""
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
    """Whether a file came with Python or a package."""
    if file.startswith("<frozen"):
        return True
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    return bool(SITES & set(path.parts)) or any(path.is_relative_to(folder) for folder in INSTALLED)


def home_of_module(scope: Mapping[str, Any]) -> Home:
    """The home that a module's namespace names."""
    name, file, package = (scope.get(key) for key in ("__name__", "__file__", "__package__"))
    return Home(
        str(name),
        file if isinstance(file, str) else None,
        package if isinstance(package, str) else "",
    )


def function_kind(function: FunctionType) -> Kind:
    """Whose a function is, by where its code was compiled and its globals live."""
    home, file = home_of_module(function.__globals__), function.__code__.co_filename
    if kind_of(home.name, home.file) == "protocol" or is_public(home.file):
        return kind_of(home.name, home.file)
    if file.startswith("<") and not file.startswith("<frozen"):
        return kind_of(home.name, home.file)
    return "installed" if is_installed(file) else "own"


def class_module(kind: type) -> str:
    """The name of the module that a class says it is from, whatever its metaclass pretends."""
    return str(type.__dict__["__module__"].__get__(kind))


def qualname(kind: type) -> str:
    """The qualified name of a class, whatever its metaclass pretends."""
    return str(type.__dict__["__qualname__"].__get__(kind))


def class_home(kind: type) -> Home:
    """The home of a class; without a file where its module is not loaded."""
    name = class_module(kind)
    module = sys.modules.get(name)
    return home_of_module(vars(module)) if type(module) is ModuleType else Home(name, None)


def class_kind(kind: type) -> Kind:
    """Whose a class is. One that is made by installed code, and cannot be found there by name, is a person's."""
    home = class_home(kind)
    whose = kind_of(class_module(kind), home.file)
    if (
        whose == "installed"
        and kind.__flags__ & (1 << 9)
        and not by_name(class_module(kind), qualname(kind), kind)
    ):
        return "own"  # a type made while the program runs: all of it can be seen
    return whose


def module_kind(name: str) -> Kind:
    """Whose the loaded module of that name is."""
    module = sys.modules.get(name)
    file = vars(module).get("__file__") if type(module) is ModuleType else None
    return kind_of(name, file if isinstance(file, str) else None)


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
    """As the package was installed, whether or not it is loaded; empty for what is part of Python."""
    if package in sys.stdlib_module_names:
        return ""
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):
        names = metadata.packages_distributions().get(package, [])
        return " ".join(sorted({metadata.version(name) for name in names}))
