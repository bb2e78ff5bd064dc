"""The host's functions, played by dictionaries. See :mod:`wasmill_sdk.testing`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .columns import column, entries, nullable
from .contract import Clock, Column, Kind, Level, Page

_PAGE_MAX = 1_000
"""What a scan gives at most."""


class TestHost:
    """State, timers, log and metrics of one task, in memory."""

    __test__ = False  # Not a test, whatever pytest makes of its name.

    def __init__(self, lateness_ms: int) -> None:
        self.lateness_ms = lateness_ms
        self.stores: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.peers: defaultdict[tuple[str, str], dict[bytes, bytes]] = defaultdict(dict)
        """Stores of other transforms, by the names of both."""
        self.timers: dict[tuple[Clock, bytes, str], int] = {}
        self.logs: list[tuple[Level, str]] = []
        self.metrics: dict[str, list[float]] = {}
        self.wall_clock = 0
        self._metric_names: list[str] = []
        self._seen = -1
        self._stream_times: list[int] = []
        self.coming_time = -1

    # The clock

    def see(self, time: int) -> None:
        """The task has seen this event time."""
        self._seen = max(self._seen, time)

    def begin(self, times: Sequence[int | None]) -> None:
        """A call with records of these times begins."""
        self._stream_times = []
        for time in times:
            self.see(-1 if time is None else time)
            self._stream_times.append(self._seen)
        self.coming_time = -1

    def take_due(self, clock: Clock) -> list[tuple[int, bytes, str]]:
        """Takes the timers of the earliest time that is due, in order: time, key and name.

        What they set or cancel may come before the others.
        """
        if clock is Clock.EVENT_TIME:
            now = self._mark(max(self._seen, self.coming_time))
        else:
            now = self.wall_clock
        due = sorted(
            (time, key, name)
            for (own, key, name), time in self.timers.items()
            if own is clock and time <= now
        )
        due = [timer for timer in due if timer[0] == due[0][0]]
        for _, key, name in due:
            del self.timers[clock, key, name]
        self._stream_times = [max(self._seen, self.coming_time)] * len(due)
        return due

    def _mark(self, stream_time: int) -> int:
        return max(-1, stream_time - self.lateness_ms)

    # The contract

    def state_get(self, store: int, key: bytes) -> bytes | None:
        """``state.get``"""
        return self.stores[store].get(key)

    def state_get_many(self, store: int, keys: Column) -> Column:
        """``state.get-many``"""
        return _get_many(self.stores[store], keys)

    def state_put_many(self, store: int, keys: Column, values: Column) -> None:
        """``state.put-many``"""
        count = len(keys.ends)
        for key, value in zip(entries(keys, count), entries(values, count)):
            assert key is not None, "a key is null"
            if value is None:
                self.stores[store].pop(key, None)
            else:
                self.stores[store][key] = value

    def state_scan(self, store: int, prefix: bytes, after: bytes | None, limit: int) -> Page:
        """``state.scan``"""
        return _scan(self.stores[store], prefix, after, limit)

    def stores_get(self, transform: str, store: str, key: bytes) -> bytes | None:
        """``stores.get``"""
        return self._peer(transform, store).get(key)

    def stores_get_many(self, transform: str, store: str, keys: Column) -> Column:
        """``stores.get-many``"""
        return _get_many(self._peer(transform, store), keys)

    def stores_scan(self, transform: str, store: str, prefix: bytes, after: bytes | None, limit: int) -> Page:
        """``stores.scan``"""
        return _scan(self._peer(transform, store), prefix, after, limit)

    def _peer(self, transform: str, store: str) -> dict[bytes, bytes]:
        assert (transform, store) in self.peers, f"no transform `{transform}` has a store `{store}`"
        return self.peers[transform, store]

    def timer_get(self, clock: Clock, key: bytes, name: str) -> int | None:
        """``timers.get``"""
        return self.timers.get((clock, key, name))

    def timer_set_many(self, clock: Clock, keys: Column, names: Column, times: list[int]) -> None:
        """``timers.set-many``"""
        count = len(times)
        for key, name, time in zip(entries(keys, count), entries(names, count), times):
            assert key is not None and name, "a timer needs a key and a name"
            timer = (clock, key, name.decode())
            if time < 0:
                self.timers.pop(timer, None)
            else:
                self.timers[timer] = time

    def log_threshold(self) -> Level:
        """``log.threshold``"""
        return Level.TRACE

    def log_write(self, level: Level, index: int | None, message: str) -> None:
        """``log.write``"""
        self.logs.append((level, message))

    def metric_define(
        self, name: str, kind: Kind, help: str, labels: list[tuple[str, str]], bounds: list[float]
    ) -> int:
        """``metrics.define``"""
        self.metrics.setdefault(name, [])
        self._metric_names.append(name)
        return len(self._metric_names) - 1

    def metric_update(self, metric: int, value: float) -> None:
        """``metrics.update``"""
        self.metrics[self._metric_names[metric]].append(value)

    def pipeline(self) -> str:
        """``context.pipeline``"""
        return "test"

    def transform(self) -> str:
        """``context.transform``"""
        return "test"

    def now(self) -> int:
        """``context.now``"""
        return self.wall_clock

    def stream_time(self, index: int) -> int:
        """``context.stream-time``"""
        return self._stream_times[index]

    def watermark(self, index: int) -> int:
        """``context.watermark``"""
        return self._mark(self._stream_times[index])

    def seed(self, index: int) -> int:
        """``context.seed``"""
        return index


def _get_many(values: dict[bytes, bytes], keys: Column) -> Column:
    return nullable(values.get(key or b"") for key in entries(keys, len(keys.ends)))


def _scan(values: dict[bytes, bytes], prefix: bytes, after: bytes | None, limit: int) -> Page:
    keys = sorted(key for key in values if key.startswith(prefix) and (after is None or key > after))
    page = keys[: min(limit, _PAGE_MAX)]
    return Page(column(page), column(values[key] for key in page), len(page) < len(keys))
