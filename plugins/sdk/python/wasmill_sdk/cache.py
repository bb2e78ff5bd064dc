"""State and timers during one call: read with one host call per store, written with one, and taken
back record by record.

Nothing outlives the call: a call holds records of one partition, so partitions never mix, and after
a trap or an abort there is nothing stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .columns import column, entries, nullable
from .contract import Clock
from .host import Host

MISSING: Any = object()
"""Not asked for yet."""
_CANCELLED = -1


class StateCache:
    """The entries of all stores that a call has touched, as the bytes that are stored."""

    __slots__ = ("_dirty", "_fetched", "_host", "_keys", "undo", "values")

    def __init__(self, host: Host, keys: Sequence[bytes | None], stores: int) -> None:
        self._host = host
        self._keys = keys
        self.values: list[dict[bytes, bytes | None]] = [{} for _ in range(stores)]
        # A dict keeps the order in which keys became dirty, and each once.
        self._dirty: list[dict[bytes, None]] = [{} for _ in range(stores)]
        self._fetched = [False] * stores
        self.undo: list[tuple[int, bytes, Any, bool]] = []
        """Entries as they were before the record at hand touched them."""

    def fetch(self, store: int, key: bytes, ahead: bool) -> bytes | None:
        """What is stored and not in `values` yet.

        `ahead`: the first time the values of all keys of the batch are fetched.
        """
        values = self.values[store]
        if ahead and not self._fetched[store]:
            self._fetch(store)
            value = values.get(key, MISSING)
            if value is not MISSING:
                return value  # type: ignore[no-any-return]
        values[key] = found = self._host.state_get(store, key)
        return found

    def _fetch(self, store: int) -> None:
        self._fetched[store] = True
        values = self.values[store]
        # What was written before the first read stays.
        keys = [key for key in dict.fromkeys(self._keys) if key is not None and key not in values]
        found = self._host.state_get_many(store, column(keys))
        values.update(zip(keys, entries(found, len(keys))))

    def set(self, store: int, key: bytes, value: bytes | None) -> None:
        """Stores a value, or removes it."""
        values, dirty = self.values[store], self._dirty[store]
        self.undo.append((store, key, values.get(key, MISSING), key in dirty))
        dirty[key] = None
        values[key] = value

    def rollback(self) -> None:
        """Takes back what the record at hand has stored."""
        while self.undo:
            store, key, before, was_dirty = self.undo.pop()
            if before is MISSING:
                del self.values[store][key]
            else:
                self.values[store][key] = before
            if not was_dirty:
                del self._dirty[store][key]

    def flush(self) -> None:
        """Hands what was written to the host."""
        for store, dirty in enumerate(self._dirty):
            if dirty:
                values = self.values[store]
                written = nullable([values[key] for key in dirty])
                self._host.state_put_many(store, column(dirty), written)


class TimerCache:
    """The timers that a call has set or cancelled.

    The host gets every change, in order: it looks at each to find where a timer fires.
    """

    __slots__ = ("_changes", "_host", "_now", "undo")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._changes: list[tuple[Clock, bytes, str, int]] = []
        self._now: dict[tuple[Clock, bytes, str], int] = {}
        self.undo: list[int | None] = []
        """For each change of the record at hand, the change of the same timer before it."""

    def get(self, clock: Clock, key: bytes, name: str) -> int | None:
        """The time for which a timer is set."""
        time = self._now.get((clock, key, name))
        if time is None:
            return self._host.timer_get(clock, key, name)
        return None if time == _CANCELLED else time

    def set(self, clock: Clock, key: bytes, name: str, time: int) -> None:
        """Sets a timer."""
        self.undo.append(self._now.get((clock, key, name)))
        self._now[clock, key, name] = time
        self._changes.append((clock, key, name, time))

    def cancel(self, clock: Clock, key: bytes, name: str) -> None:
        """Takes a timer back."""
        self.set(clock, key, name, _CANCELLED)

    def rollback(self) -> None:
        """Takes back what the record at hand has changed."""
        while self.undo:
            before = self.undo.pop()
            clock, key, name, _ = self._changes.pop()
            if before is None:
                del self._now[clock, key, name]
            else:
                self._now[clock, key, name] = before

    def flush(self) -> None:
        """Hands the changes to the host."""
        for clock in Clock:
            changes = [change for change in self._changes if change[0] is clock]
            if changes:
                self._host.timer_set_many(
                    clock,
                    column(key for _, key, _, _ in changes),
                    column(name.encode() for _, _, name, _ in changes),
                    [time for _, _, _, time in changes],
                )
