"""The import path of a suite's own modules: after all others, so that none hides a library."""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from optsuite.errors import InputError

_appended: list[str] = []  # the folders of the suite that this process loaded last


def search(*folders: Path) -> None:
    """Append folders to the import path, replacing those of an earlier suite.

    The modules of that suite are unloaded, so that suites do not share files and a changed file is
    read again.
    """
    importlib.invalidate_caches()
    while _appended:
        folder = _appended.pop()
        _forget(Path(folder))
        if folder in sys.path:
            sys.path.remove(folder)
    for folder in dict.fromkeys(map(str, folders)):
        if folder not in sys.path:
            sys.path.append(folder)
            _appended.append(folder)


def require_visible(files: Sequence[Path], *folders: Path, loaded: str = "") -> None:
    """Raise InputError if a file imports a module of the folders that another module hides.

    The imports of imported modules are checked too, except optsuite's own; nothing is run. The
    files themselves are `loaded` under that name.
    """
    names = {name for folder in folders for name in _module_names(folder)} - {loaded}
    seen: set[Path] = set()
    waiting = list(files)
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        for name in sorted(_imported(source, names)):
            own = [path for folder in folders for path in own_files(folder, name)]
            if own and own[0] not in files:
                require_found(name, own, f"{source.name} imports {name}: ")
            if name == "optsuite":
                continue
            if own:
                waiting += _with_siblings(own[0])
                continue
            for folder in folders:  # a package without __init__.py
                waiting += sorted((folder / name).rglob("*.py"))


def require_found(name: str, own: Sequence[Path], why: str = "") -> None:
    """Raise InputError unless importing the name loads one of these files."""
    if not _is_found(name, own):
        place = own[0].parent if own[0].name == "__init__.py" else own[0]
        by = "Python's own module" if name in sys.stdlib_module_names else "an installed module"
        remedy = "rename it"
        if name == "optsuite":  # a file beside a clone, run by an optsuite that is elsewhere
            remedy = "use the environment of that clone, or move the file out of it"
        raise InputError(f"{why}{place} is hidden by {by} of that name; {remedy}")


def own_files(folder: Path, name: str) -> list[Path]:
    """The files of a folder that a module of this name would be loaded from."""
    candidates = (folder / name / "__init__.py", folder / f"{name}.py")
    return [path for path in candidates if path.is_file()]


def load_own(folder: Path, name: str) -> ModuleType:
    """The module or package of a folder, even if another one of that name is installed.

    Raises ModuleNotFoundError if there is none.
    """
    own = own_files(folder, name)
    known = sys.modules.get(name)
    if known is not None and own and _is_made_from(known, own[0]):
        return known
    if not own:
        return importlib.import_module(name)
    for other in [other for other in sys.modules if other.partition(".")[0] == name]:
        del sys.modules[other]
    return load_file(own[0], name)


def alias_package(name: str, target: str, file: str) -> None:
    """Let a name refer to the package `target` if both are loaded from the same file.

    The package calls this when it is imported under the name. The import then returns `target`,
    whose modules are the same objects under both names.
    """
    package = importlib.import_module(target)
    if not _is_made_from(package, Path(file)):
        return  # a copy
    inner = [known for known in sys.modules if known.startswith(f"{target}.")]
    for own in (target, *inner):
        sys.modules[name + own.removeprefix(target)] = sys.modules[own]


def load_file(path: Path, name: str) -> ModuleType:
    """Run a file as the module of a name, an `__init__.py` as a package."""
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise InputError(f"got {str(path)!r}, allowed: a Python file, named *.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return sys.modules[name]  # a module may replace itself there


def _forget(folder: Path) -> None:
    """Unload the modules in a folder itself, not in folders below it such as an environment."""
    tops = {name.partition(".")[0] for name in sys.modules} - {"optsuite", "__main__"}
    own = set()
    for name in tops:
        module = sys.modules.get(name)
        if module is not None and _lies_in(module, folder):
            own.add(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        path = Path(file)
        if path.name.startswith("__init__.") and folder == path.parent.parent:
            return True
        return folder == path.parent
    try:
        return any(Path(part).parent == folder for part in getattr(module, "__path__", ()))
    except TypeError:
        return False


def _module_names(folder: Path) -> Iterator[str]:
    """The names that the files of a folder can be imported by."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        if path.suffix == ".py":
            yield path.stem
        elif path.name.isidentifier() and path.is_dir():  # a package, even without __init__.py
            yield path.name


def _imported(file: Path, names: Set[str]) -> Set[str]:
    """Which of these names a file imports; none if it cannot be read, which running it reports."""
    try:
        text = file.read_bytes()
        if text.isascii():
            words = {word.decode() for word in re.findall(rb"\w+", text)}
            if names.isdisjoint(words):
                return set()  # in a hundredth of the time of parsing
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return names & found


def _with_siblings(file: Path) -> list[Path]:
    """The file, or all files of its package if it is an `__init__.py`."""
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _is_made_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path.resolve()


def _is_found(name: str, own: Iterable[Path]) -> bool:
    """Whether importing the name loads one of these files."""
    module = sys.modules.get(name)
    if module is not None:
        found = getattr(module, "__file__", None)
    elif name in sys.builtin_module_names:
        found = None
    else:
        spec = PathFinder.find_spec(name)
        found = spec.origin if spec else None
    return found is not None and Path(found).resolve() in {path.resolve() for path in own}
