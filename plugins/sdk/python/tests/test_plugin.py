"""The six concepts, seen from a plugin: records, outputs, ports, state, timers, config."""

import json
import sys
import unittest
import unittest.mock
from dataclasses import dataclass
from typing import Any, Literal

from wasmill_sdk import (
    F64,
    INHERIT,
    JSON,
    S64,
    U64,
    UTF8,
    WALL_CLOCK,
    Context,
    Counter,
    Json,
    Level,
    Plugin,
    Port,
    Problem,
    Record,
    RecordError,
    Store,
    Timer,
    export,
    option,
    packed,
)
from wasmill_sdk.testing import ConfigRefused, Emitted, Harness, record


def plugin(process: Any, **members: Any) -> type[Plugin]:
    """A plugin whose function is `process(record, ctx)`."""
    return type("Made", (Plugin,), {"process": lambda self, record, ctx: process(record, ctx), **members})


class Outputs(unittest.TestCase):
    def test_values_by_type(self) -> None:
        @dataclass
        class Point:
            x: int

        values = ["é", b"\xff", {"a": [1]}, (1, 2), 1.5, True, Json("é"), Point(1), bytearray(b"x")]
        run = Harness(plugin(lambda r, ctx: [ctx.emit(value) for value in values])).run(record())
        self.assertEqual(
            [output.value for output in run.outputs],
            [
                "é".encode(),
                b"\xff",
                b'{"a":[1]}',
                b"[1,2]",
                b"1.5",
                b"true",
                '"é"'.encode(),
                b'{"x":1}',
                b"x",
            ],
        )

    def test_null_and_inherited_values(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            ctx.emit(INHERIT)
            ctx.emit(None)
            ctx.emit("v")

        run = Harness(plugin(process)).run(record("own"), record(None))
        self.assertEqual([output.value for output in run.outputs], [b"own", None, b"v", None, None, b"v"])
        self.assertEqual([output.parent for output in run.outputs], [0, 0, 0, 1, 1, 1])

    def test_what_is_not_given_is_the_records(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            ctx.emit("a")
            ctx.emit("b", port="other", key="x", timestamp=9, headers={"h": "1", "n": None})
            ctx.emit("c", port="other", key=None)
            ctx.emit("d", headers=[("h", b"2"), ("h", b"3")])

        made = plugin(process, ports=[Port("out"), Port("other", rekeys=True)])
        run = Harness(made).run(record("v", key="k", timestamp=5))
        self.assertEqual(
            run.outputs,
            [
                Emitted("out", b"k", b"a", 5, (), parent=0),
                Emitted("other", b"x", b"b", 9, (("h", b"1"), ("n", None)), parent=0),
                Emitted("other", None, b"c", 5, (), parent=0),
                Emitted("out", b"k", b"d", 5, (("h", b"2"), ("h", b"3")), parent=0),
            ],
        )

    def test_what_cannot_be_emitted(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            ctx.emit("dropped")
            match r.text():
                case "port":
                    ctx.emit("x", port="none")
                case "key":
                    ctx.emit("x", key="other")
                case "same-key":
                    ctx.emit("x", key="k")
                case "nan":
                    ctx.emit({"x": float("nan")})
                case "surrogate":
                    ctx.emit("\ud800")
                case "time":
                    ctx.emit("x", timestamp=-1)

        run = Harness(plugin(process)).run(
            *(record(v, key="k") for v in ("port", "key", "nan", "surrogate", "time", "same-key"))
        )
        self.assertEqual(run.codes(), ["no-port", "key-changed", "bad-json", "bad-utf8", "error"])
        self.assertEqual(run.values(), ["dropped", "x"])


class Failures(unittest.TestCase):
    def codes(self, process: Any) -> str:
        return Harness(plugin(process)).run(record("x")).failures[0].code

    def test_codes(self) -> None:
        def own(r: Record, ctx: Context) -> None:
            raise RecordError("too-old", "x")

        self.assertEqual(self.codes(own), "too-old")
        self.assertEqual(self.codes(lambda r, ctx: json.loads("{")), "bad-json")
        self.assertEqual(self.codes(lambda r, ctx: b"\xff".decode()), "bad-utf8")
        self.assertEqual(self.codes(lambda r, ctx: vars()["x"]), "error")
        self.assertEqual(self.codes(lambda r, ctx: r.key_text()), "no-key")
        self.assertEqual(self.codes(lambda r, ctx: r.json()), "bad-json")
        self.assertEqual(Harness(plugin(lambda r, ctx: r.json())).run(record()).codes(), ["no-value"])

    def test_an_exception_tells_where(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            raise ValueError("odd \ud800")

        failure = Harness(plugin(process)).run(record("x")).failures[0]
        self.assertEqual(failure.message, "ValueError: odd ?")
        self.assertIn("test_plugin.py", failure.detail)
        failure.detail.encode()

    def test_the_trace_reads_no_files_and_names_causes(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error

        with (
            unittest.mock.patch("os.stat", side_effect=AssertionError),
            unittest.mock.patch("linecache.getlines") as read,
        ):
            detail = Harness(plugin(process)).run(record("x")).failures[0].detail
        read.assert_not_called()
        self.assertLess(detail.index("KeyError: 'first'"), detail.index("ValueError: second"))

    def test_what_ends_a_program_fails_only_a_record(self) -> None:
        def endless(r: Record, ctx: Context) -> None:
            endless(r, ctx)

        self.assertEqual(self.codes(endless), "error")
        self.assertEqual(self.codes(lambda r, ctx: sys.exit(3)), "error")

    def test_a_failed_record_leaves_nothing(self) -> None:
        count = Store("count", U64)
        seen = Store("seen", U64, shared=True)

        def process(r: Record, ctx: Context) -> None:
            before = ctx.get(count, 0)
            ctx.put(count, before + 1)
            ctx.put(count, before + 100)
            ctx.put(seen, 1, key=r.text())
            ctx.emit(before + 1)
            if r.text() == "bad":
                ctx.remove(count)
                raise RecordError("bad", "x")
            ctx.put(count, before + 1)

        harness = Harness(plugin(process, count=count, seen=seen))
        run = harness.run(
            record("bad", key="a"), record("1", key="a"), record("bad", key="a"), record("2", key="a")
        )
        self.assertEqual((run.values(), run.codes()), (["1", "2"], ["bad", "bad"]))
        self.assertEqual(harness.state("count"), {b"a": 2})
        self.assertEqual(harness.state("seen"), {b"1": 1, b"2": 1})


class State(unittest.TestCase):
    def test_formats(self) -> None:
        stores: list[tuple[Store[Any], Any, bytes]] = [
            (Store("j"), {"a": 1}, b'{"a":1}'),
            (Store("u", U64), 2**64 - 1, b"\xff" * 8),
            (Store("s", S64), -2, b"\xfe" + b"\xff" * 7),
            (Store("f", F64), 1.5, b"\0\0\0\0\0\0\xf8\x3f"),
            (Store("t", UTF8), "é", "é".encode()),
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

        def process(r: Record, ctx: Context) -> None:
            if r.value == b"any":
                ctx.get(keyed, key="x")
            elif r.value == b"range":
                ctx.put(keyed, -1)
            else:
                ctx.get(keyed)

        harness = Harness(plugin(process, keyed=keyed))
        harness.stored("keyed")[b"k"] = b"short"
        run = harness.run(record("any", key="k"), record(), record(key="k"), record("range", key="k"))
        self.assertEqual(run.codes(), ["keyed-store", "no-key", "bad-state", "error"])

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


@dataclass
class Inner:
    size: int = option(1, minimum=0, doc="How big")


@dataclass
class Options:
    name: str = option(doc="A name", min_length=1)
    ratio: float = 1.0
    on: bool = False
    mode: Literal["a", "b"] = "a"
    inner: Inner = option(factory=Inner)
    tags: list[str] = option(factory=list)
    sizes: dict[str, int] = option(factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise Problem("/name", "is forbidden")


class Config(unittest.TestCase):
    def pointers(self, table: dict[str, Any], config: type = Options) -> list[str]:
        made = plugin(lambda r, ctx: None, Config=config)
        with self.assertRaises(ConfigRefused) as caught:
            Harness(made, table)
        return caught.exception.pointers

    def test_a_table_is_read(self) -> None:
        got: list[Options] = []
        made = plugin(lambda r, ctx: None, Config=Options, __init__=lambda self, config: got.append(config))
        Harness(made, {"name": "x", "ratio": 2, "inner": {"size": 3}, "sizes": {"a": 1}, "limit": 4})
        self.assertEqual(got, [Options("x", 2.0, False, "a", Inner(3), [], {"a": 1}, 4)])
        self.assertIs(type(got[0].ratio), float)

    def test_problems_name_their_place(self) -> None:
        self.assertEqual(self.pointers({}), ["/name"])
        self.assertEqual(self.pointers({"name": "forbidden"}), ["/name"])
        self.assertEqual(self.pointers({"name": ""}), ["/name"])
        self.assertEqual(
            self.pointers(
                {
                    "name": 1,
                    "ratio": True,
                    "on": 1,
                    "mode": "c",
                    "inner": {"size": -1, "a/b~": 1},
                    "tags": ["x", 2],
                    "sizes": {"a/b": 1.5},
                    "limit": "x",
                    "nmae": "x",
                }
            ),
            [
                "/name",
                "/ratio",
                "/on",
                "/mode",
                "/inner/size",
                "/inner/a~1b~0",
                "/tags/1",
                "/sizes/a~1b",
                "/limit",
                "/nmae",
            ],
        )

    def test_a_plugin_without_options_refuses_any(self) -> None:
        made = plugin(lambda r, ctx: None)
        with self.assertRaises(ConfigRefused) as caught:
            Harness(made, {"x": 1})
        self.assertEqual(caught.exception.problems, [("/x", "unknown option `x`; there are none")])

    def test_an_exception_is_a_problem(self) -> None:
        def fail(self: Any, config: Any) -> None:
            raise OSError("no such thing")

        with self.assertRaises(ConfigRefused) as caught:
            Harness(plugin(lambda r, ctx: None, __init__=fail))
        self.assertEqual(caught.exception.pointers, [""])
        self.assertIn("no such thing", str(caught.exception))

    def test_the_schema(self) -> None:
        schema = json.loads(describe(plugin(lambda r, ctx: None, Config=Options)).config_schema)
        self.assertEqual(schema["required"], ["name"])
        self.assertEqual(schema["additionalProperties"], False)
        self.assertEqual(
            schema["properties"]["name"], {"type": "string", "description": "A name", "minLength": 1}
        )
        self.assertEqual(schema["properties"]["mode"], {"enum": ["a", "b"]})
        self.assertEqual(schema["properties"]["limit"], {"type": "integer"})
        self.assertEqual(schema["properties"]["inner"]["properties"]["size"]["minimum"], 0)
        self.assertEqual(describe(plugin(lambda r, ctx: None)).config_schema, "")


def describe(made: type[Plugin]) -> Any:
    from wasmill_sdk._test_host import TestHost
    from wasmill_sdk.runtime import Runtime

    return Runtime(made, TestHost(0)).describe()


class Description(unittest.TestCase):
    def test_what_a_class_says(self) -> None:
        class MyPlugin(Plugin):
            """Does
            things.

            More of it.
            """

            a = Store("a", U64, doc="A")
            b: Store[Any] = Store("b", shared=True)

            def process(self, record: Record, ctx: Context) -> None: ...

        about = describe(MyPlugin)
        self.assertEqual((about.name, about.doc), ("my_plugin", "Does things."))
        self.assertEqual([port.name for port in about.ports], ["out"])
        self.assertEqual(
            [(s.name, s.keyed, s.value_format) for s in about.stores],
            [("a", True, "u64-le"), ("b", False, "json")],
        )
        self.assertFalse(about.sets_timers)
        self.assertTrue(describe(Timers.Alarm).sets_timers)

    def test_what_is_wrong_is_told(self) -> None:
        class Nothing(Plugin):
            pass

        with self.assertRaisesRegex(TypeError, "does not define `process"):
            export(Nothing)
        with self.assertRaisesRegex(TypeError, "two stores named `x`"):
            export(plugin(lambda r, ctx: None, a=Store("x"), b=Store("x")))


class Records(unittest.TestCase):
    def test_headers_origin_and_input(self) -> None:
        def process(r: Record, ctx: Context) -> None:
            origin = r.origin
            ctx.emit(
                [
                    r.input,
                    r.timestamp,
                    [n for n, _ in r.headers],
                    r.header("h") == b"2",
                    origin and origin.offset,
                ]
            )

        made = plugin(process, reads_headers=True, reads_origins=True, inputs=["left", "right"])
        run = Harness(made).run(
            record(headers=[("h", "1"), ("h", "2"), ("n", None)]), record(timestamp=None, input="right")
        )
        self.assertEqual(run.json(), [["left", 0, ["h", "h", "n"], True, 0], ["right", None, [], False, 1]])

    def test_json_of_a_shape(self) -> None:
        @dataclass
        class Reading:
            temp: float
            room: str = "?"

        def process(r: Record, ctx: Context) -> None:
            reading = r.json(Reading)
            ctx.emit([reading.temp, reading.room])

        run = Harness(plugin(process)).run(
            record({"temp": 1, "more": []}), record({"temp": True}), record({}), record([])
        )
        self.assertEqual((run.json(), run.codes()), ([[1.0, "?"]], ["bad-json"] * 3))
        self.assertEqual(run.failures[0].message, "/temp: must be a number, not true or false")

    def test_log_and_metrics(self) -> None:
        seen = Counter("seen_total", "Records seen")

        def process(r: Record, ctx: Context) -> None:
            ctx.update(seen)
            ctx.log(Level.WARN, f"odd \ud800 {ctx.pipeline()}")

        harness = Harness(plugin(process, seen=seen))
        harness.run(record())
        self.assertEqual(harness.metrics, {"seen_total": [1.0]})
        self.assertEqual(harness.logs, [(Level.WARN, "odd ? test")])


if __name__ == "__main__":
    unittest.main()
