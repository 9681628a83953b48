"""How another process gets the suite: by its name, or pickled."""

import io
import pickle
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from optsuite.definitions.suite import Suite
from optsuite.registry import load_suite


@dataclass(frozen=True)
class PickledSuite:
    """A suite whose parts all lie in modules that another process can import from `path`."""

    content: bytes
    path: tuple[str, ...]


SuiteSource = str | PickledSuite  # a string is for `load_suite`: a file, a module or a name


def suite_from(source: SuiteSource) -> Suite:
    """Load the suite in this process. Raises InputError."""
    if isinstance(source, str):
        return load_suite(source)
    sys.path += [folder for folder in source.path if folder not in sys.path]
    suite = pickle.loads(source.content)  # noqa: S301, written by this program
    assert isinstance(suite, Suite)
    return suite


def pickled(suite: Suite) -> PickledSuite | None:
    """The suite for other processes; None if a part is a lambda, local, or from `__main__`."""
    try:
        content = pickle.dumps(suite)
        _Importable(io.BytesIO(content)).load()
    except Exception:  # the suite's own code may raise anything
        return None
    return PickledSuite(content, tuple(sys.path))


class _Importable(pickle.Unpickler):
    """Reads a pickle like a process that has imported nothing yet."""

    def find_class(self, module: str, name: str, /) -> Any:
        if module == "__main__" or find_spec(module) is None:
            raise ModuleNotFoundError(f"no other process can import {module}")
        return super().find_class(module, name)
