"""Stores, and how their values are written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from . import shapes, strict_json
from .errors import RecordError

T = TypeVar("T")


@dataclass(frozen=True)
class Format(Generic[T]):
    """How values of a type are stored. Another language reads them by the format's name.

    `read` may raise any exception: the record then fails with ``bad-state``.
    """

    name: str
    """``bytes``, ``utf8``, ``json``, ``s64-le``, ``u64-le`` or ``f64-le``."""
    write: Callable[[T], bytes]
    read: Callable[[bytes], T]


def _number(layout: str, name: str) -> Format[Any]:
    number = struct.Struct(layout)
    return Format(name, number.pack, lambda data: number.unpack(data)[0])


JSON: Format[Any] = Format("json", strict_json.dumps, strict_json.loads)
"""Anything that JSON can hold. The default."""
U64: Format[int] = _number("<Q", "u64-le")
"""A whole number from 0 to 2^64 - 1, eight bytes."""
S64: Format[int] = _number("<q", "s64-le")
"""A whole number from -2^63 to 2^63 - 1, eight bytes."""
F64: Format[float] = _number("<d", "f64-le")
"""A float, eight bytes."""
UTF8: Format[str] = Format("utf8", str.encode, bytes.decode)
"""Text."""
BYTES: Format[bytes] = Format("bytes", bytes, bytes)
"""Bytes as they are."""


def packed(layout: str) -> Format[tuple[Any, ...]]:
    """A tuple of numbers, laid out as :mod:`struct` says: ``packed("<3d")`` is three floats.

    Begin the layout with ``<``, so that other languages can read it.
    """
    values = struct.Struct(layout)
    pack = values.pack
    return Format("bytes", lambda numbers: pack(*numbers), values.unpack)


def json_of(shape: type[T]) -> Format[T]:
    """JSON that must have a shape when it is read: a dataclass, ``list[tuple[int, str]]`` or the like."""

    def read(data: bytes) -> T:
        value: T
        value, problems = shapes.read(shape, strict_json.loads(data), strict=False)
        if problems:
            raise problems[0]
        return value

    return Format("json", strict_json.dumps, read)


class Store(Generic[T]):
    """A store of the plugin. List it as a class attribute; the host stores its values.

    A store is *keyed* unless it is `shared`: it has one value per record key. A shared one may be
    used under any key, and belongs to the task's partition.
    """

    __slots__ = ("doc", "format", "name", "shared")

    def __init__(self, name: str, format: Format[T] = JSON, *, doc: str = "", shared: bool = False) -> None:
        self.name = name
        """Kebab-case."""
        self.format = format
        self.doc = doc
        """One sentence for people."""
        self.shared = shared

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {self.format.name})"


def number_of(stores: Mapping[Store[Any], int], store: Store[Any]) -> int:
    """The number of a store that the plugin's class lists."""
    number = stores.get(store)
    if number is None:
        raise RecordError("error", f"the plugin's class does not list {store!r}")
    return number


def read_stored(store: Store[T], data: bytes) -> T:
    """What is stored, read by the store's format; fails with ``bad-state``."""
    try:
        return store.format.read(data)
    except Exception as error:
        raise RecordError(
            "bad-state",
            f"what the store `{store.name}` holds cannot be read as {store.format.name}: {error};"
            " has the plugin changed its format?",
        ) from None


def written(store: Store[T], value: T) -> bytes:
    """What is stored for a value."""
    data = store.format.write(value)
    if not isinstance(data, bytes):
        name = type(data).__name__
        raise TypeError(f"the format of the store `{store.name}` must write bytes, not {name}")
    return data
