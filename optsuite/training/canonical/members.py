"""What was written into a class or set later, without what Python and libraries add."""

import dataclasses
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from optsuite.training.canonical.own_code import function_kind

# Members that Python, or a library for its own purposes, gives to every class.
MADE = {
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__abstractmethods__",
    "_abc_impl",
    "__static_attributes__",
    "__firstlineno__",
    "__annotations__",
    "__annotate__",
    "__annotate_func__",
    "__annotations_cache__",
    "__conditional_annotations__",
    "__type_params__",
    "__dataclass_params__",
    "__dataclass_fields__",
    "__slotnames__",
    "__match_args__",
    "_backward_cls",
    "_autograd_function_id",
    "_compiled_autograd_should_lift",
}
MADE_OF_ENUM = {
    "_member_map_",
    "_value2member_map_",
    "_member_names_",
    "_member_type_",
    "_new_member_",
    "_use_args_",
    "_unhashable_values_",
    "_hashable_values_",
    "_unhashable_values_map_",
    "_value_repr_",
    "_generate_next_value_",
    "_flag_mask_",
    "_singles_mask_",
    "_all_bits_",
    "_inverted_",
    "_boundary_",
    "__new__",
}
MADE_OF_MEMBERS = {"_name_", "_value_", "__objclass__", "_sort_order_", "_inverted_"}
SLOTS = (MemberDescriptorType, GetSetDescriptorType)


def unhooked(value: Any) -> Any:
    """The step of an optimizer as it was written, without the hook that torch wraps around it."""
    while type(value) is FunctionType:
        attributes = vars(value)
        if not attributes.get("hooked") or "__wrapped__" not in attributes:
            break
        if function_kind(value) == "own":  # It only resembles torch's hook.
            break
        value = attributes["__wrapped__"]
    return value


def added(member: Enum) -> dict[str, Any]:
    """The attributes that a member of an Enum was given."""
    return {name: value for name, value in vars(member).items() if name not in MADE_OF_MEMBERS}


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """What was written into a class or set later, by name, without what Python makes."""
    is_tuple = issubclass(kind, tuple) and "_fields" in vars(kind)
    for name, member in vars(kind).items():
        value = unhooked(member)
        if name in MADE or type(value) in SLOTS:
            continue
        is_generated = name.startswith("__") and _is_generated(value)
        if is_generated and (is_tuple or dataclasses.is_dataclass(kind)):
            continue
        if issubclass(kind, Enum) and (name in MADE_OF_ENUM or name in kind.__members__):
            continue
        if value is not member and _is_inherited_step(value, kind):
            continue
        yield name, value


def _is_generated(value: Any) -> bool:
    """Whether it is a function that a dataclass or a named tuple has generated."""
    return type(value) is FunctionType and value.__code__.co_filename.startswith("<string")


def _is_inherited_step(value: Any, kind: type) -> bool:
    """Whether it is the step of a base class, which torch hooks into the class that inherits it."""
    return any(unhooked(vars(base).get("step")) is value for base in kind.__mro__[1:])
