"""State that an earlier version of the plugin has stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from .columns import column, nullable
from .errors import RecordError
from .host import Host
from .output import key_bytes
from .query import page_entries
from .store import Store, read_stored, written

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

_PAGE = 1_000
"""Entries that are read at once."""


class Migration:
    """The stores of one partition, to read and to write.

    A :class:`~wasmill_sdk.Store` that is no attribute of the class reads what an earlier version has
    written: same name, its own format.
    """

    __slots__ = ("_host", "_numbers")

    def __init__(self, host: Host, stores: Mapping[Store[Any], int]) -> None:
        self._host = host
        self._numbers = {store.name: number for store, number in stores.items()}

    @overload
    def get(self, store: Store[T], key: bytes | str) -> T | None: ...

    @overload
    def get(self, store: Store[T], key: bytes | str, default: T) -> T: ...

    def get(self, store: Store[Any], key: bytes | str, default: Any = None) -> Any:
        """What a store holds under a key. Raises ``bad-state`` when it is not of this format."""
        data = self._host.state_get(self._number(store), key_bytes(key))
        return default if data is None else read_stored(store, data)

    def put(self, store: Store[T], key: bytes | str, value: T) -> None:
        """Stores a value under a key."""
        data = written(store, value)
        self._host.state_put_many(self._number(store), column([key_bytes(key)]), column([data]))

    def remove(self, store: Store[Any], key: bytes | str) -> None:
        """Removes a key."""
        self._host.state_put_many(self._number(store), column([key_bytes(key)]), nullable([None]))

    def rewrite(self, earlier: Store[A], now: Store[B], change: Callable[[bytes, A], B | None]) -> None:
        """Replaces every entry of a store, in the order of the keys' bytes.

        `change` is given a key and what the earlier version has stored, and answers what this one stores
        under the same key; ``None`` removes it.
        """
        source, target = self._number(earlier), self._number(now)
        after: bytes | None = None
        while True:
            page = self._host.state_scan(source, b"", after, _PAGE)
            found = page_entries(page)
            changed = []
            for key, data in found:
                value = change(key, read_stored(earlier, data))
                changed.append(None if value is None else written(now, value))
            if found:
                after = found[-1][0]
                self._host.state_put_many(target, column(key for key, _ in found), nullable(changed))
            if not found or not page.more:
                return

    def _number(self, store: Store[Any]) -> int:
        number = self._numbers.get(store.name)
        if number is None:
            raise RecordError("error", f"the plugin's class lists no store named `{store.name}`")
        return number
