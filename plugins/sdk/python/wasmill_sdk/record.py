"""What a plugin is given: records and timers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import shapes, strict_json
from .contract import Clock
from .errors import RecordError

if TYPE_CHECKING:
    from .batch import Batch

T = TypeVar("T")

Header = tuple[str, bytes | None]
"""A header: its name, and its value or ``None`` for null."""


@dataclass(frozen=True)
class Origin:
    """Where a record entered the pipeline."""

    topic: str
    partition: int
    offset: int


class Record:
    """A record."""

    __slots__ = ("_batch", "index", "key", "value")

    key: bytes | None
    """The key, if there is one."""
    value: bytes | None
    """The value; ``None`` for a tombstone."""
    index: int
    """The record's place in its batch. It means nothing to a plugin's results."""

    def __init__(self, key: bytes | None, value: bytes | None, index: int, batch: Batch) -> None:
        self.key = key
        self.value = value
        self.index = index
        self._batch = batch

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since 1970 UTC; ``None`` for none."""
        time = self._batch.timestamps[self.index]
        return time if time >= 0 else None

    @property
    def headers(self) -> Sequence[Header]:
        """The headers in order, when the plugin says ``reads_headers``. Names may repeat."""
        return self._batch.headers_of(self.index)

    @property
    def origin(self) -> Origin | None:
        """Where the record entered the pipeline, when the plugin says ``reads_origins``."""
        return self._batch.origin_of(self.index)

    @property
    def input(self) -> str:
        """The name of the input by which it came; ``""`` when the plugin names none."""
        return self._batch.input_of(self.index)

    @property
    def partition(self) -> int:
        """The task's partition."""
        return self._batch.partition

    def header(self, name: str) -> bytes | None:
        """The value of the last header of this name; ``None`` when it is null or missing."""
        for own, value in reversed(self.headers):
            if own == name:
                return value
        return None

    def text(self) -> str:
        """The value as text. Fails the record with ``no-value`` or ``bad-utf8``."""
        return decode(self._some_value(), "value")

    def key_text(self) -> str:
        """The key as text. Fails the record with ``no-key`` or ``bad-utf8``."""
        if self.key is None:
            raise RecordError("no-key", "the record has no key")
        return decode(self.key, "key")

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, shape: type[T]) -> T: ...

    def json(self, shape: Any = None) -> Any:
        """The value read as JSON. Fails the record with ``no-value`` or ``bad-json``.

        With a `shape` (a dataclass, ``dict[str, float]`` or the like) the value must have it, else
        the record fails with ``bad-json`` too. A field of a dataclass must stand once; fields that it
        does not have are ignored.
        """
        value = _loads(self._some_value(), shape is not None)
        if shape is None:
            return value
        result, problems = shapes.read(shape, value, strict=False)
        if problems:
            first = problems[0]
            raise RecordError("bad-json", f"{first.pointer or 'the value'}: {first.message}")
        return result

    def fields(self, *names: str) -> list[Any]:
        """These fields of the JSON object that the value is: the fastest way to read a few.

        Fails the record with ``no-value``, or with ``bad-json`` when one is missing or stands twice.
        """
        data = self._some_value()
        value = _loads(data, False)
        if not isinstance(value, dict):
            raise RecordError("bad-json", "the value is no JSON object")
        # As many colons as fields: none stands twice. Else it takes a closer look.
        if data.count(b":") != len(value) and _may_repeat(data, names):
            value = _loads(data, True)
        if type(value) is strict_json.Repeating:
            for name in names:
                if name in value.repeated:
                    raise RecordError("bad-json", f"the field `{name}` stands more than once")
        try:
            return [value[name] for name in names]
        except KeyError as error:
            raise RecordError("bad-json", f"the field `{error.args[0]}` is missing") from None

    def _some_value(self) -> bytes:
        if self.value is None:
            raise RecordError("no-value", "the record has no value")
        return self.value

    def __repr__(self) -> str:
        return f"Record(key={self.key!r}, value={self.value!r}, timestamp={self.timestamp!r})"


def _loads(data: bytes, note_repeats: bool) -> Any:
    try:
        return strict_json.loads(data, note_repeats=note_repeats)
    except strict_json.JsonError as error:
        raise RecordError("bad-json", f"the value is not JSON: {error}") from None


def _may_repeat(data: bytes, names: tuple[str, ...]) -> bool:
    """A name stands more often than once, be it in a text, or may be written with escapes."""
    if b"\\" in data:
        return True
    return any(data.count(quoted) > 1 for quoted in _quoted(names))


@functools.cache
def _quoted(names: tuple[str, ...]) -> list[bytes]:
    return [strict_json.dumps(name) for name in names]


class Timer:
    """A timer that fires. It is no longer set."""

    __slots__ = ("clock", "index", "key", "name", "partition", "time")

    def __init__(self, key: bytes, name: str, time: int, clock: Clock, partition: int, index: int) -> None:
        self.key = key
        """The key for which it was set."""
        self.name = name
        """Its name."""
        self.time = time
        """The time for which it was set, in milliseconds since 1970 UTC."""
        self.clock = clock
        """Which time that is."""
        self.partition = partition
        """The task's partition."""
        self.index = index
        """The timer's place in its call. It means nothing to a plugin's results."""

    def key_text(self) -> str:
        """The key as text. Fails the timer with ``bad-utf8``."""
        return decode(self.key, "key")

    def __repr__(self) -> str:
        return f"Timer(key={self.key!r}, name={self.name!r}, time={self.time})"


def decode(data: bytes, what: str) -> str:
    """UTF-8 as text, or ``bad-utf8``."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RecordError(
            "bad-utf8", f"the {what} is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
