"""The plain values in annotations, such as WIDTH in `width: Annotated[int, WIDTH]`.

Code may read them when it runs.
"""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

PLAIN = (int, float, complex, str, bytes, type(None))
MANY = 1_000  # parts of an annotation that are looked at


def annotated(definition: Any) -> list[list[str]]:
    """Each annotation of a function or class that holds plain values, as [name, *values]."""
    try:
        annotations = inspect.get_annotations(definition)
    except Exception:  # Lazily evaluated annotations may raise anything.
        return []
    found = []
    for name, annotation in annotations.items():
        values = [repr(value) for value in _values(annotation)]
        if values:
            found.append([name, *values])
    return found


def _values(annotation: object) -> Iterator[object]:
    waiting: list[Any] = [annotation]
    for _ in range(MANY):
        if not waiting:
            return
        part = waiting.pop()
        if isinstance(part, PLAIN):
            yield part
        elif isinstance(part, tuple | list):
            waiting += part
        elif not isinstance(part, type):
            waiting += [*get_args(part), *getattr(part, "__metadata__", ())]
