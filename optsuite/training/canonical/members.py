"""What was written into a class, or set in it later, without what Python and libraries make."""

import dataclasses
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from optsuite.training.canonical.own_code import function_kind

MADE = {  # members that Python, or a library for its own ends, gives to every class
    *(
        "__dict__",
        "__weakref__",
        "__doc__",
        "__module__",
        "__qualname__",
        "__abstractmethods__",
        "_abc_impl",
    ),
    *(
        "__static_attributes__",
        "__firstlineno__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
    ),
    *(
        "__annotations_cache__",
        "__conditional_annotations__",
        "__type_params__",
        "__dataclass_params__",
    ),
    *(
        "__dataclass_fields__",
        "__slotnames__",
        "__match_args__",
        "_backward_cls",
        "_autograd_function_id",
    ),
    "_compiled_autograd_should_lift",
}
MADE_OF_ENUM = {
    *(
        "_member_map_",
        "_value2member_map_",
        "_member_names_",
        "_member_type_",
        "_new_member_",
        "_use_args_",
    ),
    *(
        "_unhashable_values_",
        "_hashable_values_",
        "_unhashable_values_map_",
        "_value_repr_",
        "_generate_next_value_",
    ),
    *(
        "_flag_mask_",
        "_singles_mask_",
        "_all_bits_",
        "_inverted_",
        "_boundary_",
        "__new__",
        "_use_args_",
    ),
}
MADE_OF_MEMBERS = {"_name_", "_value_", "__objclass__", "_sort_order_", "_inverted_"}


def unhooked(value: Any) -> Any:
    """The step of an optimizer that torch wraps, where its class was used, as it was written."""
    while (
        type(value) is FunctionType and vars(value).get("hooked") and "__wrapped__" in vars(value)
    ):
        if function_kind(value) == "own":  # it only looks like torch's
            break
        value = vars(value)["__wrapped__"]
    return value


def added(member: Enum) -> dict[str, Any]:
    """The attributes that a member of an Enum was given."""
    return {name: value for name, value in vars(member).items() if name not in MADE_OF_MEMBERS}


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """What was written into a class or set later, without what Python makes."""
    is_enum, is_tuple = issubclass(kind, Enum), issubclass(kind, tuple) and "_fields" in vars(kind)
    slots = MemberDescriptorType | GetSetDescriptorType
    for name, member in vars(kind).items():
        value = unhooked(member)
        generated = type(value) is FunctionType and value.__code__.co_filename.startswith("<string")
        if name in MADE or type(value) in slots.__args__:
            continue
        if generated and name.startswith("__") and (is_tuple or dataclasses.is_dataclass(kind)):
            continue
        if is_enum and (name in MADE_OF_ENUM or name in kind.__members__):  # type: ignore[attr-defined]
            continue
        if value is not member and any(
            unhooked(vars(base).get("step")) is value for base in kind.__mro__[1:]
        ):
            continue  # torch's hook over what the class merely inherits
        yield name, value
