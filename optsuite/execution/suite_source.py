"""How another process comes to have the suite: by its name, or by what pickle can name of it."""

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


SuiteSource = str | PickledSuite  # a text is what `load_suite` takes: a file, a module or a name


def suite_from(source: SuiteSource) -> Suite:
    """The suite in this process. Raises InputError."""
    if isinstance(source, str):
        return load_suite(source)
    sys.path += [folder for folder in source.path if folder not in sys.path]
    suite = pickle.loads(source.content)  # noqa: S301, this program has written it
    assert isinstance(suite, Suite)
    return suite


def pickled(suite: Suite) -> PickledSuite | None:
    """The suite for other processes; None where a part of it is a lambda, a local or of `__main__`."""
    try:
        content = pickle.dumps(suite)
        _Importable(io.BytesIO(content)).load()
    except Exception:  # whatever somebody's part raises: then no other process can have it
        return None
    return PickledSuite(content, tuple(sys.path))


class _Importable(pickle.Unpickler):
    """Reads a pickle as a process would that has imported nothing yet."""

    def find_class(self, module: str, name: str, /) -> Any:
        if module == "__main__" or find_spec(module) is None:
            raise ModuleNotFoundError(f"no other process can import {module}")
        return super().find_class(module, name)
