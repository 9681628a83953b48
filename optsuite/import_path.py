"""Where a suite's own modules come from: folders behind all others on the import path, so that no file replaces a library."""

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

_appended: list[str] = []  # by this process; all that it knows of the suites that it has loaded


def search(*folders: Path) -> None:
    """Append folders to the import path, in the place of those of an earlier suite, whose modules are forgotten.

    So a file of one suite is never taken for that of another, and one that has changed is read again.
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
    """Raise InputError where a file imports a name that a file of one of the folders has and another module hides.

    What they import that is not hidden is looked at too, but for optsuite's own modules, and nothing is run. The files are
    `loaded` by themselves under that name.
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
            if name != "optsuite":
                waiting += [path for first in own[:1] for path in _with_siblings(first)]
                waiting += [
                    path
                    for folder in folders
                    if not own
                    for path in sorted((folder / name).rglob("*.py"))
                ]


def require_found(name: str, own: Sequence[Path], why: str = "") -> None:
    """Raise InputError unless importing the name gives one of these files."""
    if not _is_found(name, own):
        place = own[0].parent if own[0].name == "__init__.py" else own[0]
        by = "Python's own module" if name in sys.stdlib_module_names else "an installed module"
        raise InputError(f"{why}{place} is hidden by {by} of that name; rename it")


def own_files(folder: Path, name: str) -> list[Path]:
    """The files of a folder that a module of this name would be made from."""
    candidates = (folder / name / "__init__.py", folder / f"{name}.py")
    return [path for path in candidates if path.is_file()]


def load_own(folder: Path, name: str) -> ModuleType:
    """The module or package of a folder, whatever other one of its name is installed.

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
    """Let a name mean the package `target` if both are made from the same file.

    The package calls this when it is imported under the name. Whoever imported it then receives
    `target`, and its modules are the same objects under both names.
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
    return sys.modules[name]  # which may have become another, as `import` allows


def _forget(folder: Path) -> None:
    """Drop the modules that were found in a folder itself, not in others below it, such as an environment's."""
    tops = {name.partition(".")[0] for name in sys.modules} - {"optsuite", "__main__"}
    own = {
        name
        for name in tops
        if (module := sys.modules.get(name)) is not None and _lies_in(module, folder)
    }
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        path = Path(file)
        return folder in (
            path.parent,
            path.parent.parent if path.name.startswith("__init__.") else None,
        )
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
        elif path.name.isidentifier() and path.is_dir():  # a package, be it without __init__.py
            yield path.name


def _imported(file: Path, names: Set[str]) -> Set[str]:
    """Which of these names a file imports anywhere in it; none where it cannot be read, which running it will say."""
    try:
        text = file.read_bytes()
        if (
            names.isdisjoint(word.decode() for word in re.findall(rb"\w+", text) if word.isascii())
            and text.isascii()
        ):
            return set()  # which takes a hundredth of the time
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
    """The file; all of its package where it stands for one."""
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _is_made_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path.resolve()


def _is_found(name: str, own: Iterable[Path]) -> bool:
    """Whether importing the name gives one of these files."""
    module = sys.modules.get(name)
    if module is not None:
        found = getattr(module, "__file__", None)
    elif name in sys.builtin_module_names:
        found = None
    else:
        spec = PathFinder.find_spec(name)
        found = spec.origin if spec else None
    return found is not None and Path(found).resolve() in {path.resolve() for path in own}
