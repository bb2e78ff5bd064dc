"""Reading JSON values into dataclasses, with every fault named by its JSON Pointer.

Understood are ``str``, ``int``, ``float``, ``bool``, ``None``, ``Any``, ``object``, ``list[T]``,
``tuple[A, B]``, ``dict[str, T]``, ``T | None`` and other unions, ``Literal`` and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any

from .errors import Problem, escape_pointer
from .strict_json import Repeating

_Report = Callable[[str, str], None]
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
_UNIONS = (typing.Union, types.UnionType)


def option(
    default: Any = dataclasses.MISSING,
    *,
    doc: str = "",
    minimum: float | None = None,
    min_length: int | None = None,
    factory: Any = dataclasses.MISSING,
) -> Any:
    """A field of a config dataclass: its sentence for people and its bounds, checked and told.

    Without `default` or `factory` (``factory=list``) the option is required.
    """
    metadata = {"doc": doc, "minimum": minimum, "min_length": min_length}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def read(kind: Any, value: Any, *, strict: bool) -> tuple[Any, list[Problem]]:
    """The value as `kind`, and what is wrong with it. `strict`: unknown fields are wrong."""
    problems: list[Problem] = []

    def report(pointer: str, message: str) -> None:
        problems.append(Problem(pointer, message))

    return _read(kind, value, "", strict, report), problems


def _read(kind: Any, value: Any, at: str, strict: bool, report: _Report) -> Any:
    if kind is Any or kind is object:
        return value
    # A bool is an int to Python, but not a number to anybody else.
    if kind is float:
        if type(value) is float:
            return value
        if type(value) is int:
            return float(value)
        return report(at, f"must be a number, not {_name(value)}")
    if kind in _NAMES:
        if type(value) is kind:
            return value
        return report(at, f"must be {_NAMES[kind]}, not {_name(value)}")
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, at, strict, report)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is None:
        return _read(type(None), value, at, strict, report)
    if origin in _UNIONS:
        return _read_union(arguments, value, at, strict, report)
    if origin is typing.Literal:
        if any(type(choice) is type(value) and choice == value for choice in arguments):
            return value
        choices = ", ".join(repr(choice) for choice in arguments)
        return report(at, f"must be one of {choices}")
    if kind is list or origin is list:
        if type(value) is not list:
            return report(at, f"must be a list, not {_name(value)}")
        item = arguments[0] if arguments else Any
        return [_read(item, entry, f"{at}/{i}", strict, report) for i, entry in enumerate(value)]
    if origin is tuple:
        if type(value) is not list or len(value) != len(arguments):
            return report(at, f"must be a list of {len(arguments)}, not {_name(value)}")
        entries = zip(arguments, value)
        return tuple(
            _read(item, entry, f"{at}/{i}", strict, report) for i, (item, entry) in enumerate(entries)
        )
    if kind is dict or origin is dict:
        if not isinstance(value, dict):
            return report(at, f"must be a table, not {_name(value)}")
        item = arguments[1] if arguments else Any
        return {
            name: _read(item, entry, f"{at}/{escape_pointer(name)}", strict, report)
            for name, entry in value.items()
        }
    raise TypeError(f"wasmill_sdk does not know how to read {kind!r} from JSON")


def _read_union(kinds: tuple[Any, ...], value: Any, at: str, strict: bool, report: _Report) -> Any:
    real = [kind for kind in kinds if kind is not type(None)]
    if value is None and len(real) < len(kinds):
        return None
    if len(real) == 1:
        return _read(real[0], value, at, strict, report)
    for kind in real:
        result, problems = read(kind, value, strict=strict)
        if not problems:
            return result
    return report(at, f"{_name(value)} is none of what it may be")


def _read_fields(kind: Any, value: Any, at: str, strict: bool, report: _Report) -> Any:
    if not isinstance(value, dict):
        return report(at, f"must be a table, not {_name(value)}")
    faults: list[tuple[str, str]] = []
    known: dict[str, Any] = {}
    fields = fields_of(kind)
    for name, (hint, field) in fields.items():
        place = f"{at}/{escape_pointer(name)}"
        if isinstance(value, Repeating) and name in value.repeated:
            faults.append((place, f"`{name}` stands more than once"))
        elif name in value:
            count = len(faults)
            found = _read(hint, value[name], place, strict, lambda p, m: faults.append((p, m)))
            known[name] = found
            if len(faults) == count and found is not None:
                _check_bounds(field, found, place, lambda p, m: faults.append((p, m)))
        elif is_required(field):
            faults.append((place, f"missing option `{name}`" if strict else f"missing field `{name}`"))
    if strict:
        for name in value:
            if name not in fields:
                known_names = ", ".join(f"`{field_name}`" for field_name in fields)
                known_names = f"known: {known_names}" if fields else "there are none"
                faults.append((f"{at}/{escape_pointer(name)}", f"unknown option `{name}`; {known_names}"))
    for pointer, message in faults:
        report(pointer, message)
    if faults:
        return None
    try:
        return kind(**known)
    except Problem as problem:
        return report(at + problem.pointer, problem.message)


def _check_bounds(field: dataclasses.Field[Any], value: Any, at: str, report: _Report) -> None:
    minimum = field.metadata.get("minimum")
    if minimum is not None and value < minimum:
        report(at, f"must be at least {minimum}")
    min_length = field.metadata.get("min_length")
    if min_length is not None and len(value) < min_length:
        report(at, "must not be empty" if min_length == 1 else f"must be at least {min_length} long")


@functools.cache
def fields_of(kind: Any) -> dict[str, tuple[Any, dataclasses.Field[Any]]]:
    """The fields of a dataclass that are read, with their types."""
    hints = typing.get_type_hints(kind)
    return {field.name: (hints[field.name], field) for field in dataclasses.fields(kind) if field.init}


def is_required(field: dataclasses.Field[Any]) -> bool:
    """The field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _name(value: Any) -> str:
    if type(value) is list:
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return _NAMES.get(type(value), type(value).__name__)


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type, for ``wasmill validate`` and editors."""
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    if kind in simple:
        return {"type": simple[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _schema_of_fields(kind)
    if origin in _UNIONS:
        # TOML has no null, so an option that may be None is one that may be left out.
        choices = [schema(choice) for choice in arguments if choice is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if kind is list or origin is list:
        return {"type": "array", "items": schema(arguments[0])} if arguments else {"type": "array"}
    if origin is tuple:
        items = [schema(item) for item in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if kind is dict or origin is dict:
        if arguments and arguments[1] not in (Any, object):
            return {"type": "object", "additionalProperties": schema(arguments[1])}
        return {"type": "object"}
    return {}


def _schema_of_fields(kind: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, (hint, field) in fields_of(kind).items():
        properties[name] = schema(hint)
        for key, keyword in (("doc", "description"), ("minimum", "minimum"), ("min_length", "minLength")):
            if field.metadata.get(key):
                properties[name][keyword] = field.metadata[key]
        if field.metadata.get("minimum") == 0:
            properties[name]["minimum"] = 0
        if is_required(field):
            required.append(name)
    result: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        result["required"] = required
    return result
