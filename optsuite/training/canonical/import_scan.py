"""What the text of a module imports, told from its syntax."""

import ast
import functools
from dataclasses import dataclass, field

from optsuite.training.canonical import source

# Names of functions and classes that load code in ways that a text does not show.
LOADERS = {
    "__import__",
    "import_module",
    "exec",
    "eval",
    "run_path",
    "run_module",
    "runpy",
    "spec_from_file_location",
    "exec_module",
    "load_module",
    "load_source",
    "SourceFileLoader",
    "walk_packages",
    "iter_modules",
    "find_loader",
    "zipimporter",
    "locate",
    "resolve_name",
}
# What `optsuite` hands on lazily, with the modules that define it.
OWN_IMPORTS = {"OPTIMIZERS": "optsuite.optimizers", "accuracy": "optsuite.models"}


@dataclass(frozen=True)
class Scan:
    """What a text imports.

    `imports` must be modules, `candidates` may be. `dynamic` tells whether the text loads modules
    by names that it does not show.
    """

    imports: frozenset[str]
    candidates: frozenset[str]
    dynamic: bool


@functools.lru_cache(maxsize=512)
def scan(text: str, package: str) -> Scan:
    """What the text of a module of that package imports anywhere in it."""
    tree = source.tree(text)
    if tree is None:
        return Scan(frozenset(), frozenset(), dynamic=True)
    found = _Found(package)
    nodes = list(ast.walk(tree))
    for node in nodes:
        found.add(node)
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in found.resolved:
            found.dynamic |= _called(node) in LOADERS and not _is_method_eval(node)
    return Scan(frozenset(found.imports - {""}), frozenset(found.candidates), found.dynamic)


@dataclass
class _Found:
    """What was found so far in a module of a package."""

    package: str
    imports: set[str] = field(default_factory=set)
    candidates: set[str] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)  # ids of loaders whose module is known
    dynamic: bool = False

    def add(self, node: ast.AST) -> None:
        """Add what one node imports."""
        match node:
            case ast.Import():
                self.imports |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                self._add_import_from(node)
            case ast.Call(
                func=ast.Name() | ast.Attribute() as function,
                args=[ast.Constant(value=str(name)), *_],
            ):
                if _called(function) in ("import_module", "__import__"):
                    self.imports.add(absolute(name, self.package))
                    self.resolved.add(id(function))
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as names
            ):
                self._add_exported(names.elts)

    def _add_import_from(self, node: ast.ImportFrom) -> None:
        base = absolute("." * node.level + (node.module or ""), self.package)
        self.imports.add(base)
        for alias in node.names:
            if alias.name != "*":
                self.candidates.add(_member(base, alias.name))
            if alias.name in LOADERS:
                self.dynamic = True

    def _add_exported(self, names: list[ast.expr]) -> None:
        """Add the names in `__all__`, which may be modules of the package."""
        if not self.package:
            return
        for part in names:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                self.candidates.add(f"{self.package}.{part.value}")


def _called(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _is_method_eval(node: ast.Name | ast.Attribute) -> bool:
    """Whether it is a method such as `model.eval`, which loads nothing."""
    return isinstance(node, ast.Attribute) and node.attr in ("eval", "exec")


def _member(base: str, name: str) -> str:
    if base == "optsuite":
        return OWN_IMPORTS.get(name, f"optsuite.{name}")
    return f"{base}.{name}"


def absolute(name: str, package: str) -> str:
    """The full name of a module that a module of `package` imports under a relative `name`."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = package.split(".")
    outer = parts[: len(parts) - dots + 1]
    return ".".join([*outer, name[dots:]]).strip(".")
