"""Runs a plugin as a plain function, for unit tests without WebAssembly.

    from wasmill_sdk.testing import Harness, record

    plugin = Harness(WordCount)
    run = plugin.run(record(key="a"), record(key="a"))
    assert run.json() == [{"word": "a", "count": 1}, {"word": "a", "count": 2}]

State and timers are kept from run to run. Event-time timers fire as the times of the records say,
before the record that brings the watermark to their time, or by :meth:`Harness.advance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import strict_json
from ._test_host import TestHost
from .columns import column, entries, left_out, nullable
from .contract import (
    MARK_INHERITED,
    Clock,
    Column,
    ConfigProblem,
    DueTimers,
    Headers,
    Inbound,
    Level,
    Origins,
    Outbound,
)
from .output import INHERIT, HeaderSource, header_pairs, key_bytes, to_bytes
from .plugin import Plugin
from .query import Answer, Query
from .record import Header
from .runtime import Runtime


@dataclass(frozen=True)
class Input:
    """A record to give to a plugin; see :func:`record`."""

    value: bytes | None
    key: bytes | None
    timestamp: int | None
    headers: tuple[Header, ...]
    input: str


def record(
    value: Any = None,
    *,
    key: bytes | str | None = None,
    timestamp: int | None = 0,
    headers: HeaderSource = (),
    input: str = "",
) -> Input:
    """A record to give to a plugin. Its value is written as ``ctx.emit`` does: a dict as JSON."""
    data = to_bytes(value)
    return Input(
        value=None if data is INHERIT else data,
        key=None if key is None else key_bytes(key),
        timestamp=timestamp,
        headers=tuple(header_pairs(headers)),
        input=input,
    )


@dataclass(frozen=True)
class Emitted:
    """What a plugin has emitted, with all that it inherits filled in; headers are its own only."""

    port: str
    key: bytes | None
    value: bytes | None
    timestamp: int | None
    headers: tuple[Header, ...] = ()
    parent: int | None = None
    """The index in the run of the record that caused it; ``None`` for a timer's."""
    timer: str | None = None
    """The name of the timer that caused it; ``None`` for a record's."""

    def text(self) -> str:
        """The value as text."""
        return (self.value or b"").decode()

    def json(self) -> Any:
        """The value read as JSON."""
        return strict_json.loads(self.value or b"")


@dataclass(frozen=True)
class Failed:
    """A record or timer that failed."""

    code: str
    message: str
    detail: str
    index: int | None = None
    """The record's index in the run; ``None`` for a timer."""
    timer: str | None = None
    """The timer's name; ``None`` for a record."""


@dataclass
class Run:
    """What came of some records, in order."""

    outputs: list[Emitted] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)

    def values(self) -> list[str]:
        """The values of the outputs as text."""
        return [output.text() for output in self.outputs]

    def json(self) -> list[Any]:
        """The values of the outputs, read as JSON."""
        return [output.json() for output in self.outputs]

    def codes(self) -> list[str]:
        """The codes of the failures."""
        return [failure.code for failure in self.failures]


@dataclass(frozen=True)
class Answered:
    """What a plugin has answered."""

    status: int
    content_type: str
    body: bytes

    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body read as JSON."""
        return strict_json.loads(self.body)


class ConfigRefused(Exception):
    """The plugin refused its config table: `problems` are pairs of JSON Pointer and message."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = [(problem.pointer, problem.message) for problem in problems]
        super().__init__("; ".join(f"{pointer or '(all)'}: {message}" for pointer, message in self.problems))

    @property
    def pointers(self) -> list[str]:
        """The places of the problems."""
        return [pointer for pointer, _ in self.problems]


class Harness:
    """A configured plugin with its state and timers, outside WebAssembly.

    `lateness_ms` is what the pipeline allows: the watermark is that much behind the stream time. The
    wall clock stands at 0 until it is advanced. Raises :class:`ConfigRefused`.
    """

    def __init__(
        self,
        plugin: type[Plugin],
        config: Mapping[str, Any] | None = None,
        *,
        lateness_ms: int = 0,
        partition: int = 0,
    ) -> None:
        self._host = TestHost(lateness_ms)
        self._runtime = Runtime(plugin, self._host)
        self.description = self._runtime.describe()
        """What the plugin says of itself."""
        self._partition = partition
        self._offset = 0
        problems = self._runtime.configure(strict_json.dumps(dict(config or {})).decode())
        if problems:
            raise ConfigRefused(problems)

    def run(self, *records: Input) -> Run:
        """Runs records: as one batch, or one by one when the plugin sets timers."""
        run = Run()
        if not self.description.sets_timers:
            self._process(run, records, 0)
            return run
        # A timer that one record sets may be due before the next.
        for index, one in enumerate(records):
            if one.timestamp is not None:
                self._host.coming_time = one.timestamp
                self._fire(run, Clock.EVENT_TIME)
            self._process(run, [one], index)
            self._fire(run, Clock.EVENT_TIME)
        return run

    def advance(self, time: int, clock: Clock = Clock.EVENT_TIME) -> Run:
        """Brings the watermark (or the wall clock) to a time and fires what is due."""
        if clock is Clock.EVENT_TIME:
            self._host.see(time + self._host.lateness_ms)
        else:
            self._host.wall_clock = max(self._host.wall_clock, time)
        run = Run()
        self._fire(run, clock)
        return run

    def ask(self, path: str = "") -> Answered:
        """Asks the plugin, as ``GET .../query/TRANSFORM/`` with this path, such as ``items/7?n=3``.

        Nothing is decoded. Raises what the plugin does.
        """
        path, _, parameters = path.partition("?")
        query = Query(
            path=tuple(segment for segment in path.split("/") if segment),
            parameters=tuple(
                (name, value)
                for name, _, value in (pair.partition("=") for pair in parameters.split("&") if pair)
            ),
        )
        answer: Answer = self._runtime.ask(query)
        return Answered(answer.status, answer.content_type, answer.body)

    def migrate(self, from_version: int) -> None:
        """Lets the plugin change what is stored, as a version has put it into :meth:`stored`.

        Raises what the plugin does; then the stores are as they were.
        """
        before = {number: dict(values) for number, values in self._host.stores.items()}
        try:
            self._runtime.change(from_version)
        except BaseException:
            for number, values in self._host.stores.items():
                values.clear()
                values.update(before.get(number, {}))
            raise

    def state(self, store: str) -> dict[bytes, Any]:
        """The entries of a store, read by its format."""
        numbers = self._runtime.stores_by_name()
        if store not in numbers:
            raise KeyError(f"the plugin has no store `{store}`; it has: {', '.join(numbers) or 'none'}")
        number, format = numbers[store]
        return {key: format.read(value) for key, value in sorted(self._host.stores[number].items())}

    def stored(self, store: str) -> dict[bytes, bytes]:
        """The entries of a store as the bytes that are stored. May be changed."""
        return self._host.stores[self._runtime.stores_by_name()[store][0]]

    def stored_of(self, transform: str, store: str) -> dict[bytes, bytes]:
        """The entries of another transform's store, for queries. May be changed."""
        return self._host.peers[transform, store]

    def timers(self, clock: Clock = Clock.EVENT_TIME) -> dict[tuple[bytes, str], int]:
        """The times of the timers that are set, by key and name."""
        return {
            (key, name): time
            for (own, key, name), time in sorted(
                self._host.timers.items(), key=lambda timer: (timer[1], timer[0][1:])
            )
            if own is clock
        }

    @property
    def logs(self) -> list[tuple[Level, str]]:
        """What the plugin has logged."""
        return self._host.logs

    @property
    def metrics(self) -> dict[str, list[float]]:
        """The values that each metric was updated with."""
        return self._host.metrics

    def _process(self, run: Run, records: Sequence[Input], first: int) -> None:
        if not records:
            return
        inbound = self._inbound(records)
        self._host.begin([one.timestamp for one in records])
        out = self._runtime.process(inbound)
        for index, output in self._emitted(out, inbound.keys, inbound.values, inbound.timestamps):
            run.outputs.append(Emitted(**output, parent=first + index))
        for failure in out.failures:
            run.failures.append(
                Failed(failure.code, failure.message, failure.detail, index=first + failure.index)
            )

    def _fire(self, run: Run, clock: Clock) -> None:
        while due := self._host.take_due(clock):
            names = column(name.encode() for _, _, name in due)
            keys = column(key for _, key, _ in due)
            times = [time for time, _, _ in due]
            out = self._runtime.on_timers(DueTimers(len(due), self._partition, clock, keys, names, times))
            for index, output in self._emitted(out, keys, left_out(), times):
                run.outputs.append(Emitted(**output, timer=due[index][2]))
            for failure in out.failures:
                run.failures.append(
                    Failed(failure.code, failure.message, failure.detail, timer=due[failure.index][2])
                )

    def _emitted(
        self, out: Outbound, keys: Column, values: Column, times: Sequence[int]
    ) -> list[tuple[int, dict[str, Any]]]:
        """The outputs of a call, each with its parent's place in it."""
        count = len(times)
        parent_keys, parent_values = entries(keys, count), entries(values, count)
        own_keys, own_values = _own(out.keys, out.count), _own(out.values, out.count)
        total = out.headers.ends[-1] if out.headers.ends else 0
        names = [(name or b"").decode() for name in entries(out.headers.names, total)]
        headers = list(zip(names, entries(out.headers.values, total)))
        result = []
        for i in range(out.count):
            parent = out.parents[i] if out.parents else i
            time = out.timestamps[i] if out.timestamps else times[parent]
            start = out.headers.ends[i - 1] if out.headers.ends and i else 0
            end = out.headers.ends[i] if out.headers.ends else 0
            output = {
                "port": self.description.ports[out.ports[i] if out.ports else 0].name,
                "key": parent_keys[parent] if own_keys[i] is INHERIT else own_keys[i],
                "value": parent_values[parent] if own_values[i] is INHERIT else own_values[i],
                "timestamp": None if time < 0 else time,
                "headers": tuple(headers[start:end]),
            }
            result.append((parent, output))
        return result

    def _inbound(self, records: Sequence[Input]) -> Inbound:
        inputs = self.description.inputs
        offsets = list(range(self._offset, self._offset + len(records)))
        self._offset += len(records)
        headers = Headers([], left_out(), left_out(), b"")
        if self.description.reads_headers and any(one.headers for one in records):
            pairs = [pair for one in records for pair in one.headers]
            ends, end = [], 0
            for one in records:
                end += len(one.headers)
                ends.append(end)
            names = column(name.encode() for name, _ in pairs)
            headers = Headers(ends, names, nullable(value for _, value in pairs), b"")
        origins = Origins([], [], [], [])
        if self.description.reads_origins:
            origins = Origins(["test"], [], [], offsets)
        return Inbound(
            count=len(records),
            partition=self._partition,
            keys=nullable(one.key for one in records),
            values=nullable(one.value for one in records),
            timestamps=[-1 if one.timestamp is None else one.timestamp for one in records],
            inputs=bytes(inputs.index(one.input) if one.input else 0 for one in records),
            headers=headers,
            origins=origins,
        )


def _own(given: Column, count: int) -> list[Any]:
    """The entries of an output's column, `INHERIT` where they are inherited."""
    if not given.ends:
        return [INHERIT] * count
    own: list[Any] = list(entries(given, count))
    for i, mark in enumerate(given.marks):
        if mark == MARK_INHERITED:
            own[i] = INHERIT
    return own
