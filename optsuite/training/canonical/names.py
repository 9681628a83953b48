"""How a description names code: stable names in its text, versions of packages apart from it.

The generators that describe values yield these names, and `Names` writes them. Installed code is
named by its module, and its package is recorded. Code of optsuite is named so that its files can
be rearranged without changing any description.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optsuite.training.canonical.own_code import module_kind, version

PARTS = ("data", "models", "optimizers", "schedules")  # of optsuite, used in definitions
INSTALLED = "installed"  # the text of a module that is not the user's own
ABSENT = "absent"  # the text of a module that does not exist
# Descriptions keep the first name of what has been renamed, so that no run is trained again.
FIRST_NAMES = {
    "InputError": "BadInput",
    "UnknownNameError": "UnknownName",
    "DatasetUnavailableError": "DatasetUnavailable",
}
# Attributes that hold the version of a package, with the attribute that names the package.
VERSIONS = {("optsuite.optimizers.Packaged", "version"): "package"}


@dataclass(frozen=True)
class Code:
    """Code of a package or of optsuite that is described by its name alone.

    An empty `name` stands for the module.
    """

    module: str
    name: str


@dataclass(frozen=True)
class Own:
    """A function or class that is described by its source.

    `module` is the module of optsuite that defines it; empty for the user's own code.
    """

    module: str
    name: str


@dataclass(frozen=True)
class Member:
    """An attribute of a module of optsuite, reached by a path of names.

    An empty `name` stands for the module.
    """

    path: str
    module: str
    name: str


@dataclass(frozen=True)
class Module:
    """A module by its name alone."""

    name: str


@dataclass(frozen=True)
class Version:
    """The version of a package, where a value holds it."""

    package: str
    text: str


@dataclass(frozen=True)
class Texts:
    """Modules with their texts, as `imports.closure` finds them."""

    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Written:
    """Texts as a description holds them, and the names of these modules.

    `parts` are the parts of optsuite to describe by their contents instead.
    """

    texts: Sequence[tuple[str, str]]
    names: Sequence[str]
    parts: Sequence[str] = ()


NAMES = (Code, Own, Member, Module, Version, Texts)


@dataclass
class Names:
    """Writes the names in one description, and collects the packages with their versions."""

    packages: dict[str, str] = field(default_factory=dict)

    def write(self, name: Any) -> Any:
        """The text of a name; Written for Texts."""
        match name:
            case Code(module, own):
                if module.partition(".")[0] == "optsuite":
                    return FIRST_NAMES.get(own, own) or "optsuite"
                self._use(module)
                return f"{module}.{own}"
            case Own(module, own):
                return f"{public_name(module)}.{own}" if module else own
            case Member(_, module, own):
                return f"{public_name(module)}.{own}" if own else public_name(module)
            case Module(own):
                if module_kind(own) == "installed":
                    self._use(own)
                return public_name(own)
            case Version(package, _):
                self._use(package)
                return ""
            case Texts(texts):
                return self._written(texts)
        raise TypeError(name)

    def _use(self, module: str) -> None:
        package = module.partition(".")[0]
        if found := version(package):
            self.packages[package] = found

    def _written(self, texts: Sequence[tuple[str, str]]) -> Written:
        """Separate the texts of own modules from packages and from parts of optsuite."""
        kept: list[tuple[str, str]] = []
        names: list[str] = []
        parts: set[str] = set()
        for name, text in texts:
            part = public_name(name).removeprefix("optsuite.")
            if text == INSTALLED:
                self._use(name)
            elif text == ABSENT:
                self.packages[name] = ABSENT
            elif name.startswith("optsuite.") and part in PARTS:
                parts.add(part)
            elif name != "optsuite":
                kept.append((public_name(name), text))
                names.append(name)
        return Written(kept, names, sorted(parts))


def public_name(module: str) -> str:
    """The name of a module, independent of how the files of optsuite are arranged."""
    top, *inner = module.split(".")
    if top != "optsuite" or not inner:
        return module
    if inner[0] == "benchmarks":
        return ".".join(inner)
    if inner[0] in PARTS:
        return f"optsuite.{inner[0]}"
    return "optsuite"


def versioned(kind: str, owner: object, name: str, value: object) -> object:
    """The value of an attribute; a Version if it is one. `kind` is the public name of the class."""
    package = VERSIONS.get((kind, name))
    if package is None:
        return value
    return Version(getattr(owner, package), str(value))
