"""State and timers, seen from a plugin."""

import unittest
import unittest.mock
from typing import Any

from common import plugin

from wasmill_sdk import (
    F64,
    JSON,
    S64,
    U64,
    UTF8,
    WALL_CLOCK,
    Context,
    Format,
    Plugin,
    Record,
    RecordError,
    Store,
    Timer,
    json_of,
    packed,
)
from wasmill_sdk.testing import Harness, record


class State(unittest.TestCase):
    def test_formats(self) -> None:
        stores: list[tuple[Store[Any], Any, bytes]] = [
            (Store("j"), {"a": 1}, b'{"a":1}'),
            (Store("u", U64), 2**64 - 1, b"\xff" * 8),
            (Store("s", S64), -2, b"\xfe" + b"\xff" * 7),
            (Store("f", F64), 1.5, b"\0\0\0\0\0\0\xf8\x3f"),
            (Store("t", UTF8), "é", "é".encode()),
            (Store("l", json_of(list[tuple[int, str]])), [(1, "a")], b'[[1,"a"]]'),
            (Store("p", packed("<2d")), (0.0, 1.5), b"\0" * 8 + b"\0\0\0\0\0\0\xf8\x3f"),
        ]

        def process(r: Record, ctx: Context) -> None:
            for store, value, _ in stores:
                ctx.put(store, value)
                assert ctx.get(store) == value

        harness = Harness(plugin(process, **{store.name: store for store, _, _ in stores}))
        self.assertEqual(harness.run(record(key="k")).codes(), [])
        for store, value, data in stores:
            self.assertEqual(harness.stored(store.name), {b"k": data})
            self.assertEqual(harness.state(store.name), {b"k": value})

    def test_what_is_read_is_a_copy(self) -> None:
        items: Store[list[int]] = Store("items", JSON)

        def process(r: Record, ctx: Context) -> None:
            ctx.get(items, []).append(1)
            value = ctx.get(items, [])
            if r.value:
                ctx.put(items, [*value, 2])

        harness = Harness(plugin(process, items=items))
        harness.run(record("x", key="k"), record(key="k"), record("x", key="k"))
        self.assertEqual(harness.state("items"), {b"k": [2, 2]})

    def test_what_goes_wrong(self) -> None:
        keyed = Store("keyed", U64)
        careless: Any = str
        text = Store("text", Format("utf8", careless, bytes.decode))

        def process(r: Record, ctx: Context) -> None:
            if r.value == b"any":
                ctx.get(keyed, key="x")
            elif r.value == b"range":
                ctx.put(keyed, -1)
            elif r.value == b"format":
                ctx.put(text, "no bytes")
            else:
                ctx.get(keyed)

        harness = Harness(plugin(process, keyed=keyed, text=text))
        harness.stored("keyed")[b"k"] = b"short"
        run = harness.run(
            record("any", key="k"), record(), *(record(v, key="k") for v in (None, "range", "format"))
        )
        self.assertEqual(run.codes(), ["keyed-store", "no-key", "bad-state", "error", "error"])

    def test_what_is_stored_has_the_shape(self) -> None:
        pairs = Store("pairs", json_of(list[tuple[int, str]]))
        harness = Harness(plugin(lambda r, ctx: ctx.emit(ctx.get(pairs)), pairs=pairs))
        for data, codes in ((b'[[1,"a"]]', []), (b"[[1]]", ["bad-state"]), (b'[[true,"a"]]', ["bad-state"])):
            harness.stored("pairs")[b"k"] = data
            self.assertEqual(harness.run(record(key="k")).codes(), codes)

    def test_a_store_is_fetched_once_per_call(self) -> None:
        count = Store("count", U64)

        def process(r: Record, ctx: Context) -> None:
            ctx.put(count, ctx.get(count, 0) + 1)

        harness = Harness(plugin(process, count=count))
        calls: list[str] = []

        def spy(name: str) -> None:
            real = getattr(harness._host, name)

            def call(*arguments: Any) -> Any:
                calls.append(name)
                return real(*arguments)

            setattr(harness._host, name, call)

        for name in ("state_get", "state_get_many", "state_put_many"):
            spy(name)
        harness.run(*(record(key=str(i % 3)) for i in range(9)))
        self.assertEqual(calls, ["state_get_many", "state_put_many"])
        self.assertEqual(harness.state("count"), {b"0": 3, b"1": 3, b"2": 3})


class Timers(unittest.TestCase):
    class Alarm(Plugin):
        """Sets what the value says."""

        def process(self, record: Record, ctx: Context) -> None:
            for name, time in record.json().items():
                if time is None:
                    ctx.cancel_timer(name)
                else:
                    ctx.set_timer(name, time)
            ctx.emit({name: ctx.timer(name) for name in record.json()})
            if "bad" in record.json():
                raise RecordError("bad", "x")

        def on_timer(self, timer: Timer, ctx: Context) -> None:
            ctx.emit(f"{timer.key_text()}.{timer.name}")
            if timer.name == "again":
                ctx.set_timer("once", timer.time + 5)
            if timer.name == "first":
                ctx.cancel_timer("x")
            if timer.name == "early":
                ctx.set_timer("never", timer.time)

    def test_they_fire_before_the_record_that_brings_their_time(self) -> None:
        harness = Harness(self.Alarm, lateness_ms=10)
        run = harness.run(
            record({"b": 20, "a": 20}, key="k", timestamp=0),
            record({"a": 20}, key="j", timestamp=29),
            record({}, key="k", timestamp=30),
        )
        self.assertEqual(run.values(), ['{"b":20,"a":20}', '{"a":20}', "j.a", "k.a", "k.b", "{}"])
        self.assertEqual([output.timer for output in run.outputs], [None, None, "a", "a", "b", None])
        self.assertEqual({output.timestamp for output in run.outputs if output.timer}, {20})

    def test_what_is_due_already_fires_at_once(self) -> None:
        run = Harness(self.Alarm).run(
            record({"x": 5}, key="k", timestamp=9), record({}, key="k", timestamp=9)
        )
        self.assertEqual(run.values(), ['{"x":5}', "k.x", "{}"])

    def test_set_cancelled_set_again(self) -> None:
        harness = Harness(self.Alarm)
        run = harness.run(record({"x": 5, "again": 6}, key="k"), record({"x": None}, key="k"))
        self.assertEqual(run.values()[1], '{"x":null}')
        self.assertEqual(harness.timers(), {(b"k", "again"): 6})
        self.assertEqual(harness.advance(100).values(), ["k.again", "k.once"])
        self.assertEqual(harness.timers(), {})

    def test_what_one_sets_or_cancels_comes_before_what_is_due_later(self) -> None:
        harness = Harness(self.Alarm)
        harness.run(record({"again": 6, "first": 7, "x": 8, "z": 20}, key="k"))
        self.assertEqual(harness.advance(100).values(), ["k.again", "k.first", "k.once", "k.z"])

    def test_the_host_gets_every_change_in_order(self) -> None:
        harness = Harness(self.Alarm)
        calls: list[list[int]] = []
        real = harness._host.timer_set_many

        def spy(clock: Any, keys: Any, names: Any, times: list[int]) -> None:
            calls.append(times)
            real(clock, keys, names, times)

        harness._host.timer_set_many = spy  # type: ignore[method-assign]
        batch = harness._inbound(
            [record({"x": 5}, key="k"), record({"x": 6, "bad": 7}, key="k"), record({"x": None}, key="k")]
        )
        harness._host.begin([0, 0, 0])
        self.assertEqual(len(harness._runtime.process(batch).failures), 1)
        self.assertEqual(calls, [[5, -1]])

    def test_a_failed_record_or_timer_leaves_none(self) -> None:
        harness = Harness(self.Alarm)
        harness.run(record({"x": 5}, key="k"))
        run = harness.run(record({"x": 7, "y": 8, "bad": 9}, key="k"))
        self.assertEqual((run.values(), run.codes()), ([], ["bad"]))
        self.assertEqual(harness.timers(), {(b"k", "x"): 5})
        run = harness.run(record({"early": 5}, key="k"))
        run = harness.advance(5)
        self.assertEqual((run.values(), run.codes()), (["k.x"], ["error"]))
        self.assertEqual(run.failures[0].timer, "early")
        self.assertEqual(harness.timers(), {})

    def test_misuse(self) -> None:
        harness = Harness(self.Alarm)
        run = harness.run(record({"": 1}, key="k"), record({"é" * 128: 1}, key="k"), record({"x": 1}))
        self.assertEqual(run.codes(), ["no-timer-name", "no-timer-name", "no-key"])
        run = harness.run(
            record({"x": -1}, key="k"), record({"x": 2**63}, key="k"), record({"x": 1.5}, key="k")
        )
        self.assertEqual(run.codes(), ["error"] * 3)
        quiet = Harness(plugin(lambda r, ctx: ctx.set_timer("x", 1)))
        self.assertEqual(quiet.run(record(key="k")).codes(), ["error"])

    def test_a_name_that_is_no_text_and_a_clock_that_is_none_fail_the_record(self) -> None:
        class Wrong(Plugin):
            def process(self, record: Record, ctx: Context) -> None:
                name: Any = b"x" if record.text() == "name" else "x"
                clock: Any = "event-time" if record.text() == "clock" else WALL_CLOCK
                ctx.set_timer("first", 1)
                ctx.emit(f"{ctx.timer(name, clock=clock)}")
                ctx.cancel_timer(name, clock=clock)
                ctx.set_timer(name, 5, clock=clock)

            def on_timer(self, timer: Timer, ctx: Context) -> None: ...

        harness = Harness(Wrong)
        run = harness.run(*(record(v, key="k", timestamp=0) for v in ("name", "ok", "clock")))
        self.assertEqual([failure.index for failure in run.failures], [0, 2])
        self.assertEqual(run.codes(), ["error"] * 2)
        self.assertEqual((run.values(), harness.timers()), (["None"], {(b"k", "first"): 1}))
        self.assertEqual(harness.timers(WALL_CLOCK), {(b"k", "x"): 5})

    def test_the_wall_clock(self) -> None:
        class Wall(Plugin):
            def process(self, record: Record, ctx: Context) -> None:
                ctx.set_timer("w", ctx.now() + 10, clock=WALL_CLOCK)

            def on_timer(self, timer: Timer, ctx: Context) -> None:
                assert timer.clock is WALL_CLOCK
                ctx.emit(ctx.now())

        harness = Harness(Wall)
        self.assertEqual(harness.run(record(key="k", timestamp=99)).values(), [])
        self.assertEqual(harness.advance(9, WALL_CLOCK).values(), [])
        self.assertEqual(harness.advance(12, WALL_CLOCK).values(), ["12"])


if __name__ == "__main__":
    unittest.main()
