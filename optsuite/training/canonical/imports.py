"""The text of modules and of all that they import, directly or not, found without importing anything."""

import ast
import functools
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder, SourcelessFileLoader
from pathlib import Path
from typing import Any

from optsuite.errors import InputError
from optsuite.training.canonical import source
from optsuite.training.canonical.names import ABSENT, INSTALLED
from optsuite.training.canonical.own_code import SITES, Home, is_installed, is_ours, kind_of
from optsuite.training.canonical.source import bare_text, bytecode, file_text

LOADERS = {  # names of what loads code in ways that a text does not show
    *(
        "__import__",
        "import_module",
        "exec",
        "eval",
        "run_path",
        "run_module",
        "runpy",
        "spec_from_file_location",
    ),
    *(
        "exec_module",
        "load_module",
        "load_source",
        "SourceFileLoader",
        "walk_packages",
        "iter_modules",
        "find_loader",
    ),
    *("zipimporter", "locate", "resolve_name"),
}
N_FILES = 4_000  # below a folder whose modules may be imported by a computed name
N_FOLDERS = 20_000
MODULES = (".py", ".pyc", ".so", ".pyd")
OWN_IMPORTS = {
    "OPTIMIZERS": "optsuite.optimizers",
    "accuracy": "optsuite.models",
}  # what `optsuite` hands on lazily


@dataclass(frozen=True)
class Scan:
    """What a text imports: names that must be modules, names that may be, and whether it loads others in hidden ways."""

    imports: frozenset[str]
    candidates: frozenset[str]
    dynamic: bool


@dataclass(frozen=True)
class Place:
    """Where a module lies. A package has folders; one without `file` is a namespace."""

    home: Home
    folders: tuple[str, ...] = ()


def closure(
    homes: Iterable[Home], names: Iterable[str] = (), candidates: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """The modules and all that they import, as (name, text), sorted by name.

    The text of a module that is not a person's own is INSTALLED or ABSENT.

    `candidates` are names that may be of modules. One that loads others by computed names brings every Python file below
    its folder.
    """
    texts: dict[str, str] = {}
    waiting = [Place(home) for home in homes]
    folders: set[Path | None] = set()
    for needed, wanted in ((True, names), (False, candidates)):
        for name in wanted:
            waiting += _take(name, texts, needed=needed)
    while waiting:
        place = waiting.pop()
        home = place.home
        if home.name in texts:
            continue
        text = _text(place)
        texts[home.name] = text
        if not text.startswith("text "):
            continue
        found = scan(
            text.removeprefix("text "),
            home.name if place.folders or _is_package(home) else home.name.rpartition(".")[0],
        )
        if found.dynamic and not is_ours(
            home.file
        ):  # optsuite's own modules load installed packages only
            folders.add(home.folder)
        for name in sorted(found.imports):
            waiting += _take(name, texts, needed=True)
        for name in sorted(found.candidates):
            waiting += _take(name, texts, needed=False)
    for folder in folders:
        if folder is not None and not is_installed(str(folder)):
            texts |= _files_below(folder)
    return sorted(texts.items())


def _is_package(home: Home) -> bool:
    return home.file is not None and Path(home.file).stem == "__init__"


def _take(name: str, texts: dict[str, str], *, needed: bool) -> Iterator[Place]:
    """The own module of that name with the packages that hold it; what is not own is noted by its version."""
    if locate(name) is None and not needed:
        return
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        outer = ".".join(parts[:end])
        place = locate(outer)
        if place is None:
            texts.setdefault(outer, ABSENT)
            return
        kind = kind_of(outer, place.home.file or next(iter(place.folders), None))
        if kind == "installed":
            texts.setdefault(parts[0], INSTALLED)
            return
        if kind == "protocol":
            texts.setdefault("optsuite", "protocol")
        elif outer not in texts:
            yield place


def locate(name: str) -> Place | None:
    """Where a module lies: as it was loaded, else as it would be found. None where there is none of that name."""
    module = sys.modules.get(name)
    if module is not None:
        scope = vars(module) if hasattr(type(module), "__dict__") else {}
        folders = scope.get("__path__") or ()
        file = scope.get("__file__")
        return Place(Home(name, file if isinstance(file, str) else None), tuple(map(str, folders)))
    spec = _spec(name)
    if spec is None:
        return None
    file = spec.origin if spec.has_location else None
    return Place(Home(name, file), tuple(spec.submodule_search_locations or ()))


def _spec(name: str) -> ModuleSpec | None:
    package, _, _ = name.rpartition(".")
    try:
        if not package:
            return util.find_spec(name)
        outer = locate(package)
        return PathFinder.find_spec(name, list(outer.folders)) if outer and outer.folders else None
    except (ImportError, ValueError, AttributeError, OSError):
        return None


def _text(place: Place) -> str:
    """The text of a module without comments, or a hash of its bytes where it is no text."""
    file = place.home.file
    if file is None:
        return "namespace" if place.folders else "no file"
    if not file.endswith((".so", ".pyd", ".pyc")):
        text = file_text(file)
        if text is None:
            text = _archived(place.home.name)
        if text is not None:
            return f"text {bare_text(text)}"
    try:
        data = Path(file).read_bytes()
    except OSError:
        return "unreadable"
    if file.endswith(".pyc"):
        with suppress(
            ImportError, ValueError, EOFError, TypeError
        ):  # its code, without the folder in which it was compiled
            code = SourcelessFileLoader(place.home.name, file).get_code(place.home.name)
            data = bytecode(code).encode() if code else data
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _archived(name: str) -> str | None:
    """The text of a module that lies in a zip file."""
    loader: Any = getattr(sys.modules.get(name), "__loader__", None)
    try:
        text = loader.get_source(name)
    except Exception:  # whatever kind of loader it is
        return None
    return text if isinstance(text, str) else None


@functools.lru_cache(maxsize=512)
def scan(text: str, package: str) -> Scan:
    """What the text of a module of that package imports anywhere in it."""
    tree = source.tree(text)
    if tree is None:
        return Scan(frozenset(), frozenset(), dynamic=True)
    imports: set[str] = set()
    candidates: set[str] = set()
    resolved: set[int] = set()
    dynamic = False
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                imports |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                base = absolute("." * node.level + (node.module or ""), package)
                imports.add(base)
                candidates |= {
                    _member(base, alias.name) for alias in node.names if alias.name != "*"
                }
                dynamic |= any(alias.name in LOADERS for alias in node.names)
            case ast.Call(
                func=ast.Name() | ast.Attribute() as function,
                args=[ast.Constant(value=str(name)), *_],
            ):
                if _called(function) in ("import_module", "__import__"):
                    imports.add(absolute(name, package))
                    resolved.add(id(function))
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as names
            ):
                parts = [part.value for part in names.elts if isinstance(part, ast.Constant)]
                candidates |= {
                    f"{package}.{part}" for part in parts if package and isinstance(part, str)
                }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in resolved:
            dynamic |= _called(node) in LOADERS and not _is_method_eval(node)
    return Scan(frozenset(imports - {""}), frozenset(candidates), dynamic)


def _called(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _is_method_eval(node: ast.Name | ast.Attribute) -> bool:
    """Whether it is `model.eval` or its like, which loads nothing."""
    return isinstance(node, ast.Attribute) and node.attr in ("eval", "exec")


def _member(base: str, name: str) -> str:
    return OWN_IMPORTS.get(name, f"optsuite.{name}") if base == "optsuite" else f"{base}.{name}"


def absolute(name: str, package: str) -> str:
    """The full name of what a module of that package imports under a name that may be relative."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = package.split(".")
    outer = parts[: len(parts) - dots + 1]
    return ".".join([*outer, name[dots:]]).strip(".")


def _files_below(folder: Path) -> dict[str, str]:
    """Every Python file below a folder, hidden folders and virtual environments left out, as paths relative to it."""
    texts: dict[str, str] = {}
    for n, (root, names, files) in enumerate(os.walk(folder), 1):
        names[:] = sorted(name for name in names if _may_hold_own(Path(root, name)))
        for path in [Path(root, file) for file in sorted(files) if file.endswith(MODULES)]:
            texts[f"file {path.relative_to(folder).as_posix()}"] = _text(
                Place(Home(path.stem, str(path)))
            )
        if len(texts) > N_FILES or n > N_FOLDERS:
            found = (
                f"more than {N_FILES} Python files"
                if len(texts) > N_FILES
                else f"more than {N_FOLDERS} folders"
            )
            raise InputError(
                f"modules are imported by computed names, so that any file below {folder} may be among them: got {found}, "
                "allowed: fewer; move these modules to a folder of their own"
            )
    return texts


def _may_hold_own(folder: Path) -> bool:
    plain = not folder.name.startswith(".") and folder.name not in {
        "__pycache__",
        "node_modules",
        *SITES,
    }
    return plain and not (folder / "pyvenv.cfg").exists()
