"""The plain values in annotations, which code may read when it runs: `width: Annotated[int, WIDTH]`."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

PLAIN = (int, float, complex, str, bytes, type(None))
MANY = 1_000  # parts of an annotation that are looked at


def annotated(definition: Any) -> list[list[str]]:
    """Each annotation of a function or class that holds plain values, by name, with these."""
    try:
        annotations = inspect.get_annotations(definition)
    except Exception:  # where they are computed late, by code that may raise anything
        return []
    found = ([name, *map(repr, _values(annotation))] for name, annotation in annotations.items())
    return [own for own in found if len(own) > 1]


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
