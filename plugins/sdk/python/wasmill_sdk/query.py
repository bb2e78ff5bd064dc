"""Questions that a plugin answers about its state, while records flow."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

from . import strict_json
from .columns import column, entries
from .contract import Column, Page
from .errors import RecordError
from .host import Host
from .output import key_bytes, text_bytes
from .store import Store, number_of, read_stored

T = TypeVar("T")

_STATUS_MIN = 200
_STATUS_MAX = 599
_PAGE_MAX = 1_000


@dataclass(frozen=True)
class Query:
    """What is asked: ``GET /v1/pipelines/PIPELINE/query/TRANSFORM/...``."""

    path: tuple[str, ...] = ()
    """The path after the transform's name: of ``items/7`` it is ``("items", "7")``."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Names and values of what stands behind ``?``, in their order."""

    @overload
    def parameter(self, name: str) -> str | None: ...

    @overload
    def parameter(self, name: str, default: str) -> str: ...

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """The first parameter of this name."""
        return next((value for own, value in self.parameters if own == name), default)


@dataclass(frozen=True)
class Answer:
    """An answer: an HTTP status and a body. What the one who asks did wrong is an answer too."""

    body: builtins.bytes
    content_type: str
    """The media type of the body."""
    status: int = 200
    """200 to 599."""

    def __post_init__(self) -> None:
        if type(self.body) is not bytes:
            raise TypeError(f"an answer's body must be bytes, not {type(self.body).__name__}")
        text_bytes(self.content_type, "an answer's media type")
        if type(self.status) is not int:
            raise TypeError(f"an answer's status must be a whole number, not {self.status!r}")
        if not _STATUS_MIN <= self.status <= _STATUS_MAX:
            raise ValueError(f"{self.status} is no status: from {_STATUS_MIN} to {_STATUS_MAX}")

    @classmethod
    def json(cls, value: Any) -> Answer:
        """JSON."""
        try:
            return cls(strict_json.dumps(value), "application/json")
        except strict_json.JsonError as error:
            raise RecordError("bad-json", f"the answer cannot be written as JSON: {error}") from None

    @classmethod
    def text(cls, text: str) -> Answer:
        """Plain text."""
        return cls(text_bytes(text, "an answer's text"), "text/plain; charset=utf-8")

    @classmethod
    def bytes(cls, content_type: str, body: builtins.bytes) -> Answer:
        """Bytes of a media type."""
        return cls(body, content_type)

    @classmethod
    def not_found(cls, what: str) -> Answer:
        """There is no such thing (404), with a sentence for people."""
        return cls.text(what).with_status(404)

    @classmethod
    def bad_request(cls, what: str) -> Answer:
        """The question is wrong (400), with a sentence for people."""
        return cls.text(what).with_status(400)

    def with_status(self, status: int) -> Answer:
        """The same with another status."""
        return replace(self, status=status)


@dataclass(frozen=True)
class Entries(Generic[T]):
    """Entries of a scan; what ``for key, value in ...`` goes through."""

    entries: list[tuple[bytes, T]]
    """Keys and values, by the bytes of the keys. A key that several partitions have comes once for each."""
    more: bool
    """There are entries after the last key."""

    def __iter__(self) -> Iterator[tuple[bytes, T]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class Reader:
    """Reads stores in a query: what is committed, over all partitions that the process has."""

    __slots__ = ("_host", "_stores", "_transform")

    def __init__(self, host: Host, stores: Mapping[Store[Any], int], transform: str | None = None) -> None:
        self._host = host
        self._stores = stores
        self._transform = transform

    def of(self, transform: str) -> Reader:
        """The stores of another transform of the pipeline.

        A :class:`~wasmill_sdk.Store` says there what is read by its name and format. One that does not
        exist traps.
        """
        text_bytes(transform, "a transform's name")
        return Reader(self._host, self._stores, transform)

    @overload
    def get(self, store: Store[T], key: bytes | str) -> T | None: ...

    @overload
    def get(self, store: Store[T], key: bytes | str, default: T) -> T: ...

    def get(self, store: Store[Any], key: bytes | str, default: Any = None) -> Any:
        """What a store holds under a key. Raises ``bad-state`` when it cannot be read."""
        place = key_bytes(key)
        if self._transform is None:
            data = self._host.state_get(number_of(self._stores, store), place)
        else:
            data = self._host.stores_get(self._transform, store.name, place)
        return default if data is None else read_stored(store, data)

    def get_many(self, store: Store[T], keys: Iterable[bytes | str]) -> list[T | None]:
        """What a store holds under many keys, by one call: one entry per key, ``None`` for none."""
        asked = column(key_bytes(key) for key in keys)
        if self._transform is None:
            found = self._host.state_get_many(number_of(self._stores, store), asked)
        else:
            found = self._host.stores_get_many(self._transform, store.name, asked)
        return [
            None if data is None else read_stored(store, data) for data in entries(found, len(asked.ends))
        ]

    def scan(
        self,
        store: Store[T],
        prefix: bytes | str = b"",
        *,
        after: bytes | str | None = None,
        limit: int = 1000,
    ) -> Entries[T]:
        """Up to `limit` entries whose key starts with `prefix` and comes after `after`.

        The host gives at most 1000 and about 1 MiB, so go by :attr:`Entries.more`.
        """
        if type(limit) is not int or limit < 0:
            raise ValueError(f"a limit is a whole number from 0 on, not {limit!r}")
        limit = min(limit, _PAGE_MAX)
        start, last = key_bytes(prefix, "a prefix"), None if after is None else key_bytes(after)
        if self._transform is None:
            page = self._host.state_scan(number_of(self._stores, store), start, last, limit)
        else:
            page = self._host.stores_scan(self._transform, store.name, start, last, limit)
        return Entries([(key, read_stored(store, value)) for key, value in page_entries(page)], page.more)

    def now(self) -> int:
        """The clock on the wall, in milliseconds since 1970 UTC."""
        return self._host.now()


def page_entries(page: Page) -> list[tuple[bytes, bytes]]:
    """Keys and values of a page."""

    def bytes_of(part: Column) -> list[bytes]:
        return [data or b"" for data in entries(part, len(page.keys.ends))]

    return list(zip(bytes_of(page.keys), bytes_of(page.values)))
