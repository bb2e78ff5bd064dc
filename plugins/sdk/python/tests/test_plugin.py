"""Records, outputs, ports and failures, seen from a plugin."""

import json
import sys
import unittest
import unittest.mock
from dataclasses import dataclass
from typing import Any

from common import plugin

from wasmill_sdk import (
    INHERIT,
    U64,
    Context,
    Counter,
    Json,
    Level,
    Port,
    Record,
    RecordError,
    Store,
)
from wasmill_sdk.testing import Emitted, Harness, record


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
                case "nan-time":
                    ctx.emit("x", timestamp=float("nan"))  # type: ignore[arg-type]
                case "late-time":
                    ctx.emit("x", timestamp=2**63)
                case "header":
                    ctx.emit("x", headers={"h": 5})  # type: ignore[arg-type]
                case "header-name":
                    ctx.emit("x", headers={b"h": "v"})  # type: ignore[arg-type]

        errors = ("time", "nan-time", "late-time", "header", "header-name")
        run = Harness(plugin(process)).run(
            *(record(v, key="k") for v in ("port", "key", "nan", "surrogate", *errors, "same-key"))
        )
        codes = ["no-port", "key-changed", "bad-json", "bad-utf8", *["error"] * len(errors)]
        self.assertEqual(run.codes(), codes)
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

        with unittest.mock.patch("linecache.getlines") as read:
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

    def test_a_field_that_is_read_stands_once(self) -> None:
        @dataclass
        class Reading:
            temp: float

        values = [
            '{"temp":1,"temp":2}',
            '{"temp":1,"t\\u0065mp":2}',
            '{"x":1,"x":2,"temp":3}',
            '{"x":{"temp":1,"a":"\\n"},"temp":3}',
            '{"tmp":1}',
            "[1]",
        ]
        for process in (
            lambda r, ctx: ctx.emit(r.fields("temp")),
            lambda r, ctx: ctx.emit([int(r.json(Reading).temp)]),
        ):
            run = Harness(plugin(process)).run(*(record(value) for value in values))
            self.assertEqual((run.values(), run.codes()), (["[3]", "[3]"], ["bad-json"] * 4))
            self.assertEqual([failure.index for failure in run.failures], [0, 1, 4, 5])

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
