"""Outputs, gathered for the flat columns of the contract."""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

from . import strict_json
from .batch import Batch
from .columns import column, left_out, nullable
from .contract import MARK_INHERITED, MARK_NULL, Column, Failure, Headers, Outbound
from .errors import RecordError
from .record import Header


class Inherit(enum.Enum):
    """See :data:`INHERIT`."""

    INHERIT = 0


INHERIT: Final = Inherit.INHERIT
"""As a value or key of an output: that of its record, without a copy."""


class Json:
    """A value to be written as JSON whatever it is: ``Json("text")`` is text in quotes."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


HeaderSource = Mapping[str, "bytes | str | None"] | Iterable[tuple[str, "bytes | str | None"]]
"""Headers to give: a mapping, or pairs where a name may repeat."""


def to_bytes(value: Any) -> bytes | Inherit | None:
    """How values are written: text as UTF-8, bytes as they are, ``None`` null, all else JSON."""
    kind = type(value)
    # What is most frequent comes first.
    if kind is not dict:
        if kind is bytes or value is None or value is INHERIT:
            return value  # type: ignore[no-any-return]
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError:
                raise RecordError("bad-utf8", "the output is text with a lone surrogate") from None
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
    try:
        return strict_json.dumps(value.value if kind is Json else value)
    except strict_json.JsonError as error:
        raise RecordError("bad-json", f"the output cannot be written as JSON: {error}") from None


def key_bytes(key: Any, what: str = "a key") -> bytes:
    """A key as bytes; text as UTF-8."""
    if type(key) is bytes:
        return key
    if isinstance(key, str):
        try:
            return key.encode()
        except UnicodeEncodeError:
            raise RecordError("bad-utf8", f"{what} is text with a lone surrogate") from None
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    raise TypeError(f"{what} must be bytes or text, not {type(key).__name__}")


def text_bytes(text: Any, what: str) -> bytes:
    """Text as UTF-8; bytes are no text."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be text, not {type(text).__name__}")
    return key_bytes(text, what)


def header_pairs(headers: HeaderSource) -> list[Header]:
    """Headers as pairs of name and bytes."""
    pairs: Iterable[tuple[str, Any]] = headers.items() if isinstance(headers, Mapping) else headers
    result: list[Header] = []
    for name, value in pairs:
        # Names cross as bytes, but must be UTF-8.
        text_bytes(name, "a header's name")
        result.append((name, None if value is None else key_bytes(value, "a header's value")))
    return result


class Outputs:
    """The outputs of a call. A list stays empty until something in it differs from the parent."""

    __slots__ = ("batch", "headers", "keys", "parents", "plain", "ports", "timestamps", "values")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.parents: list[int] = []
        self.values: list[bytes | Inherit | None] = []
        self.plain = True
        """All values are bytes."""
        self.ports: list[int] = []
        self.keys: list[bytes | Inherit | None] = []
        self.timestamps: list[int] = []
        self.headers: list[tuple[list[Header], bool]] = []

    def push(self, parent: int, value: bytes | Inherit | None) -> None:
        """Appends an output that inherits all but its value."""
        self.parents.append(parent)
        self.values.append(value)
        if value is None or value is INHERIT:
            self.plain = False

    def set_port(self, port: int) -> None:
        """Gives the output appended last a port."""
        _fill(self.ports, len(self.parents) - 1, 0)
        self.ports.append(port)

    def set_key(self, key: bytes | None) -> None:
        """Gives the output appended last a key."""
        _fill(self.keys, len(self.parents) - 1, INHERIT)
        self.keys.append(key)

    def set_timestamp(self, timestamp: int) -> None:
        """Gives the output appended last a timestamp."""
        self._fill_timestamps(len(self.parents) - 1)
        self.timestamps.append(timestamp)

    def set_headers(self, headers: list[Header], replace: bool) -> None:
        """Gives the output appended last headers."""
        _fill(self.headers, len(self.parents) - 1, ([], False))
        self.headers.append((headers, replace))

    def _fill_timestamps(self, count: int) -> None:
        times, parents = self.batch.timestamps, self.parents
        for i in range(len(self.timestamps), count):
            self.timestamps.append(times[parents[i]])

    def drop(self, parent: int) -> None:
        """Drops all outputs of the parent at hand, which is the last."""
        count = bisect_left(self.parents, parent)
        for gathered in (self.parents, self.values, self.ports, self.keys, self.timestamps, self.headers):
            del gathered[count:]

    def finish(self, failures: list[Failure]) -> Outbound:
        """The outputs as columns."""
        count = len(self.parents)
        if self.ports:
            _fill(self.ports, count, 0)
        if self.keys:
            _fill(self.keys, count, INHERIT)
        if self.timestamps:
            self._fill_timestamps(count)
        if self.headers:
            _fill(self.headers, count, ([], False))
        one_each = count == self.batch.count and self.parents == list(range(count))
        return Outbound(
            count,
            [] if one_each else self.parents,
            bytes(self.ports),
            _inheriting(self.keys),
            self._value_column(),
            self.timestamps,
            self._header_columns(),
            failures,
        )

    def _value_column(self) -> Column:
        if self.plain:
            values: list[Any] = self.values
            return Column(b"".join(values), list(accumulate(map(len, values))), b"")
        return _inheriting(self.values)

    def _header_columns(self) -> Headers:
        if not self.headers:
            return Headers([], left_out(), left_out(), b"")
        pairs = [pair for headers, _ in self.headers for pair in headers]
        return Headers(
            list(accumulate(len(headers) for headers, _ in self.headers)),
            column(name.encode() for name, _ in pairs),
            nullable(value for _, value in pairs),
            bytes(replace for _, replace in self.headers),
        )


def _fill(gathered: list[Any], count: int, entry: Any) -> None:
    missing = count - len(gathered)
    if missing > 0:
        gathered.extend([entry] * missing)


def _inheriting(values: list[bytes | Inherit | None]) -> Column:
    if all(value is INHERIT for value in values):
        return left_out()
    marks = bytes(
        MARK_INHERITED if value is INHERIT else MARK_NULL if value is None else 0 for value in values
    )
    return column([value if isinstance(value, bytes) else b"" for value in values], marks)
