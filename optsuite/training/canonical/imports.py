"""The texts of modules and of all that they import, directly or not, found without importing."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder, SourcelessFileLoader
from pathlib import Path
from typing import Any

from optsuite.errors import InputError
from optsuite.training.canonical.import_scan import scan
from optsuite.training.canonical.names import ABSENT, INSTALLED
from optsuite.training.canonical.own_code import (
    SITES,
    Home,
    is_installed,
    is_ours,
    is_public,
    kind_of,
)
from optsuite.training.canonical.source import bytecode
from optsuite.training.canonical.texts import bare_text, file_text

N_FILES = 4_000  # below a folder whose modules may be imported by a computed name
N_FOLDERS = 20_000
MODULES = (".py", ".pyc", ".so", ".pyd")
NOT_OWN = {"__pycache__", "node_modules", *SITES}  # folders without modules of the user


@dataclass(frozen=True)
class Place:
    """Where a module lies. A package has folders; one without `file` is a namespace."""

    home: Home
    folders: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The package that relative imports in the module start from."""
        file = self.home.file
        is_package = file is not None and Path(file).stem == "__init__"
        if self.folders or is_package:
            return self.home.name
        return self.home.name.rpartition(".")[0]


def closure(
    homes: Iterable[Home],
    names: Iterable[str] = (),
    candidates: Iterable[str] = (),
    packages: Iterable[str] = (),
) -> list[tuple[str, str]]:
    """The modules and all that they import, as (name, text), sorted by name.

    `names` are further modules, and `candidates` are names that may be modules. The text of a
    module that is not the user's own is INSTALLED or ABSENT. A module that imports others by
    computed names adds every Python file below its folder, and `packages` are folders that add
    every Python file below them. Raises InputError if these are too many.
    """
    texts: dict[str, str] = {}
    waiting = [Place(home) for home in homes]
    folders: set[Path | None] = set()
    for name in names:
        waiting += _take(name, texts, needed=True)
    for name in candidates:
        waiting += _take(name, texts, needed=False)
    while waiting:
        place = waiting.pop()
        home = place.home
        if home.name in texts:
            continue
        text = _text(place)
        texts[home.name] = text
        if not text.startswith("text "):
            continue
        found = scan(text.removeprefix("text "), place.package)
        # Modules of optsuite itself load nothing but installed packages.
        if found.dynamic and not is_ours(home.file):
            folders.add(home.folder)
        for name in sorted(found.imports):
            waiting += _take(name, texts, needed=True)
        for name in sorted(found.candidates):
            waiting += _take(name, texts, needed=False)
    for folder in folders:
        if folder is not None and not is_installed(str(folder)):
            texts |= _files_below(folder, folder)
    for package in packages:
        texts |= _files_below(Path(package), Path(package).parent)
    return sorted(texts.items())


def _take(name: str, texts: dict[str, str], *, needed: bool) -> Iterator[Place]:
    """The own module of that name and the packages around it; others are noted in `texts`."""
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
    """Where a module lies: as it was loaded, else as it would be found; None without one."""
    module = sys.modules.get(name)
    if module is not None:
        scope = vars(module) if hasattr(type(module), "__dict__") else {}
        folders = scope.get("__path__") or ()
        file = scope.get("__file__")
        if not isinstance(file, str) and not folders:
            file = _file_of_replaced(name)
        home = Home(name, file if isinstance(file, str) else None)
        return Place(home, tuple(map(str, folders)))
    spec = _spec(name)
    if spec is None:
        return None
    home = Home(name, spec.origin if spec.has_location else None)
    return Place(home, tuple(spec.submodule_search_locations or ()))


def _spec(
    name: str, find: Callable[[str], ModuleSpec | None] = util.find_spec
) -> ModuleSpec | None:
    """Where a module would be found; one outside of packages by `find`."""
    package, _, _ = name.rpartition(".")
    try:
        if not package:
            return find(name)
        outer = locate(package)
        if outer is None or not outer.folders:
            return None
        return PathFinder.find_spec(name, list(outer.folders))
    except (ImportError, ValueError, AttributeError, OSError):
        return None


def _file_of_replaced(name: str) -> str | None:
    """The file of a module that has put another object in its place; None if there is none."""
    if name == "__main__":
        return None
    spec = _spec(name, PathFinder.find_spec)  # util.find_spec would answer with what is loaded
    return spec.origin if spec is not None and spec.has_location else None


def own_package(name: str) -> str | None:
    """The folder of a package of the user's own; None for another module."""
    place = locate(name)
    if place is None or not place.folders:
        return None
    folder = place.folders[0]
    # The parts of optsuite are described by what they define, wherever their files are.
    if is_public(place.home.file) or kind_of(name, place.home.file or folder) != "own":
        return None
    return folder


def _text(place: Place) -> str:
    """The text of a module without comments, or a hash of its bytes if it has no text."""
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
        # The bytes hold the folder in which they were compiled; the code is the same without it.
        with suppress(ImportError, ValueError, EOFError, TypeError):
            code = SourcelessFileLoader(place.home.name, file).get_code(place.home.name)
            data = bytecode(code).encode() if code else data
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _archived(name: str) -> str | None:
    """The text of a module that lies in a zip file."""
    loader: Any = getattr(sys.modules.get(name), "__loader__", None)
    try:
        text = loader.get_source(name)
    except Exception:  # Loaders differ in what they raise.
        return None
    return text if isinstance(text, str) else None


def _files_below(folder: Path, root: Path) -> dict[str, str]:
    """Every Python file below a folder by its path from `root`, without hidden folders.

    Raises InputError if there are more than N_FILES of them, or more than N_FOLDERS folders.
    """
    texts: dict[str, str] = {}
    for n_folders, (inside, names, files) in enumerate(os.walk(folder), 1):
        names[:] = sorted(name for name in names if _may_hold_own(Path(inside, name)))
        for file in sorted(files):
            if file.endswith(MODULES):
                path = Path(inside, file)
                key = f"file {path.relative_to(root).as_posix()}"
                texts[key] = _text(Place(Home(path.stem, str(path))))
        if len(texts) > N_FILES:
            raise _too_many(folder, f"more than {N_FILES} Python files")
        if n_folders > N_FOLDERS:
            raise _too_many(folder, f"more than {N_FOLDERS} folders")
    return texts


def _too_many(folder: Path, found: str) -> InputError:
    return InputError(
        f"modules are imported by computed names, so any file below {folder} may be one of them, "
        f"but it holds {found}; move these modules to a folder of their own"
    )


def _may_hold_own(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in NOT_OWN:
        return False
    return not (folder / "pyvenv.cfg").exists()
