"""What a record's or timer's function may do: emit, keep state, set timers, log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from .batch import Batch
from .cache import MISSING, StateCache, TimerCache
from .contract import Clock, Level
from .errors import RecordError, valid_text
from .host import Host
from .metrics import Metric
from .output import INHERIT, HeaderSource, Inherit, Outputs, header_pairs, key_bytes, text_bytes, to_bytes
from .plugin import About
from .store import Store, number_of, read_stored, written

T = TypeVar("T")

_TIME_MAX = 2**63 - 1
_TIMER_NAME_BYTES_MAX = 255


class Context:
    """What a record's or timer's function may do: emit, keep state, set timers, log."""

    __slots__ = (
        "_about",
        "_firing",
        "_host",
        "_index",
        "_key",
        "_metrics",
        "_outputs",
        "_ports",
        "_state",
        "_stores",
        "_threshold",
        "_timers",
    )

    def __init__(
        self,
        about: About,
        host: Host,
        batch: Batch,
        stores: Mapping[Store[Any], int],
        metrics: Mapping[Metric, int],
        ports: Mapping[str, int],
    ) -> None:
        self._about = about
        self._host = host
        self._stores = stores
        self._metrics = metrics
        self._ports = ports
        self._outputs = Outputs(batch)
        self._state = StateCache(host, batch.keys, len(about.stores))
        self._timers = TimerCache(host)
        self._threshold: int | None = None
        # The record or timer at hand.
        self._index = 0
        self._key: bytes | None = None
        self._firing: tuple[Clock, int] | None = None

    # Outputs

    def emit(
        self,
        value: Any,
        *,
        port: str | None = None,
        key: bytes | str | Inherit | None = INHERIT,
        timestamp: int | None = None,
        headers: HeaderSource | None = None,
        replace_headers: bool = False,
    ) -> None:
        """Emits an output.

        Text is written as UTF-8, bytes as they are, ``None`` is a tombstone, ``INHERIT`` the record's
        own value; all else (and what is wrapped in ``Json``) is written as JSON. What is not given
        is the record's: key, timestamp and headers, and the default port. Headers take the place of
        inherited ones of the same name, or of all with `replace_headers`.

        Fails the record with ``no-port``, ``key-changed`` (another key on a port that does not say
        ``rekeys``) or ``bad-json`` (a value that JSON cannot hold, such as NaN).
        """
        data = value if type(value) is bytes else to_bytes(value)
        outputs = self._outputs
        if data is INHERIT and outputs.batch.timers:
            data = None
        number = 0
        if port is not None:
            number = self._port(port)
        if key is not INHERIT:
            if key is not None:
                key = key_bytes(key)
            if key != self._key and not self._about.ports[number].rekeys:
                name = self._about.ports[number].name
                raise RecordError(
                    "key-changed",
                    f"port `{name}` does not say `rekeys`, so its outputs keep their record's key",
                )
        if timestamp is not None:
            _check_time(timestamp)
        pairs = header_pairs(headers) if headers is not None else []
        outputs.push(self._index, data)
        if number or outputs.ports:
            outputs.set_port(number)
        if key is not INHERIT:
            outputs.set_key(key)
        if timestamp is not None:
            outputs.set_timestamp(timestamp)
        if pairs or replace_headers:
            outputs.set_headers(pairs, replace_headers)

    def _port(self, name: str) -> int:
        number = self._ports.get(name)
        if number is None:
            raise RecordError("no-port", f"the plugin declares no port `{name}`")
        return number

    # State

    @overload
    def get(self, store: Store[T], *, key: bytes | str | None = None) -> T | None: ...

    @overload
    def get(self, store: Store[T], default: T, *, key: bytes | str | None = None) -> T: ...

    def get(self, store: Store[Any], default: Any = None, *, key: bytes | str | None = None) -> Any:
        """What is stored under the record's key, or of a shared store under any `key`.

        Fails the record with ``no-key``, ``keyed-store`` or ``bad-state``. Changing what is returned
        changes nothing that is stored.
        """
        number, place = self._stores.get(store), self._key
        if key is not None or number is None or place is None:
            number, place = self._place(store, key)
        data = self._state.values[number].get(place, MISSING)
        if data is MISSING:
            data = self._state.fetch(number, place, key is None)
        if data is None:
            return default
        return read_stored(store, data)

    def put(self, store: Store[T], value: T, *, key: bytes | str | None = None) -> None:
        """Stores a value under the record's key, or in a shared store under any `key`.

        Fails the record with ``no-key`` or ``keyed-store``.
        """
        data = written(store, value)
        number, place = self._stores.get(store), self._key
        if key is not None or number is None or place is None:
            number, place = self._place(store, key)
        self._state.set(number, place, data)

    def remove(self, store: Store[Any], *, key: bytes | str | None = None) -> None:
        """Removes what is stored under the record's key, or in a shared store under any `key`.

        Fails the record with ``no-key`` or ``keyed-store``.
        """
        number, place = self._place(store, key)
        self._state.set(number, place, None)

    def _place(self, store: Store[Any], key: bytes | str | None) -> tuple[int, bytes]:
        number = number_of(self._stores, store)
        if key is not None:
            if not store.shared:
                raise RecordError(
                    "keyed-store",
                    f"the store `{store.name}` is keyed by the record; make it `shared=True`",
                )
            return number, key_bytes(key)
        return number, self._own_key()

    def _own_key(self) -> bytes:
        if self._key is None:
            raise RecordError("no-key", "the record has no key")
        return self._key

    # Timers

    def set_timer(self, name: str, time: int, *, clock: Clock = Clock.EVENT_TIME) -> None:
        """Sets the timer of this name and the record's key, in place of the one that is set.

        `time` is in milliseconds since 1970 UTC. Fails the record with ``no-key``,
        ``no-timer-name``, or ``error`` when the time is negative or, in :meth:`Plugin.on_timer`, an
        event time that is not later than the one that is firing.
        """
        key = self._timer_key(name, clock)
        _check_time(time)
        if self._firing is not None and clock is Clock.EVENT_TIME and self._firing[0] is clock:
            if time <= self._firing[1]:
                raise RecordError(
                    "error", f"the timer `{name}` is set for {time}, not later than the one that fires"
                )
        self._timers.set(clock, key, name, time)

    def cancel_timer(self, name: str, *, clock: Clock = Clock.EVENT_TIME) -> None:
        """Takes back the timer of this name and the record's key, if it is set."""
        self._timers.cancel(clock, self._timer_key(name, clock), name)

    def timer(self, name: str, *, clock: Clock = Clock.EVENT_TIME) -> int | None:
        """The time for which the timer of this name and the record's key is set."""
        return self._timers.get(clock, self._timer_key(name, clock), name)

    def _timer_key(self, name: str, clock: Clock) -> bytes:
        if not self._about.sets_timers:
            raise RecordError("error", "the plugin does not define `on_timer`, so it may not set timers")
        key = self._own_key()
        if not isinstance(clock, Clock):
            raise TypeError(f"a timer's clock must be a Clock, not {clock!r}")
        length = len(text_bytes(name, "a timer's name"))
        if length == 0:
            raise RecordError("no-timer-name", "a timer needs a name")
        if length > _TIMER_NAME_BYTES_MAX:
            raise RecordError("no-timer-name", f"a timer's name has at most {_TIMER_NAME_BYTES_MAX} bytes")
        return key

    # Log, metrics, time and place

    def log(self, level: Level, message: object) -> None:
        """Writes to the pipeline's log, where the level is kept there."""
        if self._threshold is None:
            self._threshold = self._host.log_threshold().value
        if level.value >= self._threshold:
            self._host.log_write(level, self._index, valid_text(str(message)))

    def update(self, metric: Metric, value: float = 1.0) -> None:
        """Adds to a counter, sets a gauge, observes in a histogram."""
        number = self._metrics.get(metric)
        if number is None:
            raise RecordError("error", f"the plugin's class does not list the metric `{metric.name}`")
        self._host.metric_update(number, float(value))

    def now(self) -> int:
        """The wall clock in milliseconds since 1970 UTC, standing still during a call. Not the same
        when the record is run again."""
        return self._host.now()

    def stream_time(self) -> int:
        """The largest event time that the task has seen up to this record, it included."""
        return self._host.stream_time(self._index)

    def watermark(self) -> int:
        """The stream time less the lateness that the pipeline allows. At least -1."""
        return self._host.watermark(self._index)

    def seed(self) -> int:
        """A seed for random numbers: ``random.Random(ctx.seed())``. The same when run again."""
        return self._host.seed(self._index)

    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._host.pipeline()

    def transform(self) -> str:
        """The transform's name in the pipeline."""
        return self._host.transform()


def _check_time(time: int) -> None:
    if type(time) is not int:
        raise TypeError(f"a time is a whole number of milliseconds, not {time!r}")
    if not 0 <= time <= _TIME_MAX:
        raise RecordError("error", f"{time} is not a time: at least 0, at most 2^63 - 1")
