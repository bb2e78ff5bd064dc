"""Queries, seen from a plugin and from whoever asks."""

import unittest
from typing import Any

from common import plugin

from wasmill_sdk import U64, Answer, Query, Reader, RecordError, Store
from wasmill_sdk._test_host import TestHost
from wasmill_sdk.contract import Level, Request
from wasmill_sdk.runtime import NotConfigured, Refused, Runtime
from wasmill_sdk.testing import Harness, record

COUNT = Store("count", U64)
NAMES: Store[Any] = Store("names", shared=True)


def answering(answer: Any) -> Any:
    """A plugin that counts records by key, and answers by `answer(query, reader)`."""

    def process(r: Any, ctx: Any) -> None:
        ctx.put(COUNT, ctx.get(COUNT, 0) + 1)

    return plugin(process, count=COUNT, names=NAMES, answer=lambda self, query, reader: answer(query, reader))


def asked(answer: Any, path: str = "") -> Any:
    return Harness(answering(answer)).ask(path)


class Reading(unittest.TestCase):
    def harness(self, answer: Any) -> Harness:
        harness = Harness(answering(answer))
        harness.run(record(key="ab"), record(key="b"), record(key="ab"))
        harness.stored_of("other", "count")[b"a"] = (7).to_bytes(8, "little")
        return harness

    def test_own_stores(self) -> None:
        def answer(query: Query, reader: Reader) -> Answer:
            return Answer.json(
                [
                    reader.get(COUNT, "ab"),
                    reader.get(COUNT, b"x"),
                    reader.get(COUNT, "x", 0),
                    reader.get_many(COUNT, ["b", "x", b"ab"]),
                    reader.get_many(COUNT, []),
                    reader.get(NAMES, "x"),
                    reader.now(),
                ]
            )

        harness = self.harness(answer)
        self.assertEqual(harness.ask().json(), [2, None, 0, [1, None, 2], [], None, 0])

    def test_stores_of_another_transform(self) -> None:
        def answer(query: Query, reader: Reader) -> Answer:
            other = reader.of("other")
            # Not the same store: it is known there by its name.
            count: Store[int] = Store("count", U64)
            pairs = [(key.decode(), value) for key, value in other.scan(count)]
            return Answer.json([other.get(count, "a"), other.get_many(count, ["b", "a"]), pairs])

        self.assertEqual(self.harness(answer).ask().json(), [7, [None, 7], [["a", 7]]])

    def test_scans(self) -> None:
        def answer(query: Query, reader: Reader) -> Answer:
            found = reader.scan(
                COUNT, query.parameter("prefix", ""), after=query.parameter("after"), limit=int(query.path[0])
            )
            return Answer.json([len(found), [key.decode() for key, _ in found], found.more])

        harness = self.harness(answer)
        self.assertEqual(harness.ask("9").json(), [2, ["ab", "b"], False])
        self.assertEqual(harness.ask("1").json(), [1, ["ab"], True])
        self.assertEqual(harness.ask("1?after=ab").json(), [1, ["b"], False])
        self.assertEqual(harness.ask("9?prefix=a").json(), [1, ["ab"], False])
        self.assertEqual(harness.ask("9?prefix=a&after=ab").json(), [0, [], False])
        # As the host, it gives no more than 1000 at once.
        for i in range(1500):
            harness.stored("count")[b"k%04d" % i] = bytes(8)
        self.assertEqual(harness.ask("5000?prefix=k").json()[0::2], [1000, True])
        self.assertEqual(harness.ask("5000?prefix=k&after=k0999").json()[0::2], [500, False])
        # More than the host's own numbers hold.
        self.assertEqual(harness.ask("99999999999?prefix=k").json()[0::2], [1000, True])
        self.assertEqual(harness.ask("0").json(), [0, [], True])

    def test_wrong_limits(self) -> None:
        limits: list[Any] = [-1, 1.5, True, "9", None]
        for limit in limits:
            with self.assertRaisesRegex(ValueError, "a limit is a whole number"):
                asked(lambda query, reader, limit=limit: reader.scan(COUNT, limit=limit))

    def test_what_cannot_be_read(self) -> None:
        reads = [
            lambda reader: reader.get(COUNT, "bad"),
            lambda reader: reader.get_many(COUNT, ["bad"]),
            lambda reader: reader.scan(COUNT),
        ]
        for read in reads:
            harness = self.harness(lambda query, reader, read=read: read(reader))
            harness.stored("count")[b"bad"] = b"1"
            with self.assertRaises(RecordError) as caught:
                harness.ask()
            self.assertEqual(caught.exception.code, "bad-state")

    def test_a_store_that_is_not_listed(self) -> None:
        with self.assertRaisesRegex(RecordError, "does not list"):
            asked(lambda query, reader: reader.get(Store("count", U64), "a"))

    def test_wrong_keys(self) -> None:
        with self.assertRaisesRegex(TypeError, "a key must be bytes or text"):
            asked(lambda query, reader: reader.get(COUNT, 1))


class Answers(unittest.TestCase):
    def test_the_question(self) -> None:
        answers = []

        def answer(query: Query, reader: Reader) -> Answer:
            answers.append((query.path, query.parameters, query.parameter("a"), query.parameter("c", "-")))
            return Answer.text("")

        harness = Harness(answering(answer))
        harness.ask()
        harness.ask("items/7?a=1&a=2&b")
        self.assertEqual(answers[0], ((), (), None, "-"))
        self.assertEqual(answers[1], (("items", "7"), (("a", "1"), ("a", "2"), ("b", "")), "1", "-"))

    def test_kinds(self) -> None:
        kinds = [
            (Answer.json({"é": 1.0}), 200, "application/json", '{"é":1.0}'.encode()),
            (Answer.text("é"), 200, "text/plain; charset=utf-8", "é".encode()),
            (Answer.bytes("image/png", b"\xff"), 200, "image/png", b"\xff"),
            (Answer.not_found("no"), 404, "text/plain; charset=utf-8", b"no"),
            (Answer.bad_request("no"), 400, "text/plain; charset=utf-8", b"no"),
            (Answer.text("new").with_status(201), 201, "text/plain; charset=utf-8", b"new"),
        ]
        for made, status, content_type, body in kinds:
            answered = asked(lambda query, reader, made=made: made)
            self.assertEqual(
                (answered.status, answered.content_type, answered.body), (status, content_type, body)
            )
        self.assertEqual(asked(lambda query, reader: Answer.text("a")).text(), "a")

    def test_what_is_no_answer(self) -> None:
        with self.assertRaisesRegex(RecordError, "cannot be written as JSON"):
            Answer.json(float("nan"))
        wrong: list[Any] = [
            lambda: Answer.text(b"bytes"),  # type: ignore[arg-type]
            lambda: Answer.bytes("text/plain", "text"),  # type: ignore[arg-type]
            lambda: Answer.bytes(1, b""),  # type: ignore[arg-type]
            lambda: Answer.text("").with_status("404"),  # type: ignore[arg-type]
            lambda: Answer.text("").with_status(True),
        ]
        for make in wrong:
            with self.assertRaises(TypeError):
                make()
        for status in (199, 600):
            with self.assertRaisesRegex(ValueError, "200 to 599"):
                Answer.text("").with_status(status)
        with self.assertRaisesRegex(TypeError, "must return an Answer, not dict"):
            asked(lambda query, reader: {})
        with self.assertRaises(NotImplementedError):
            Harness(plugin(lambda r, ctx: None)).ask()


class Contract(unittest.TestCase):
    """What the component answers."""

    def runtime(self, answer: Any) -> tuple[Runtime, TestHost]:
        host = TestHost(0)
        runtime = Runtime(answering(answer), host)
        self.assertEqual(runtime.configure("{}"), [])
        return runtime, host

    def test_an_answer(self) -> None:
        runtime, _ = self.runtime(lambda query, reader: Answer.json([query.path, query.parameters]))
        response = runtime.answer(Request(["a"], [("n", "1")]))
        self.assertEqual((response.status, response.content_type), (200, "application/json"))
        self.assertEqual(response.body, b'[["a"],[["n","1"]]]')

    def test_the_plugins_own_error(self) -> None:
        def answer(query: Query, reader: Reader) -> Answer:
            raise RecordError("no-mood", "not today\ud800")

        runtime, host = self.runtime(answer)
        with self.assertRaises(Refused) as caught:
            runtime.answer(Request([], []))
        self.assertEqual(str(caught.exception), "no-mood: not today?")
        self.assertEqual(host.logs, [])

    def test_any_other_error_has_its_trace_in_the_log(self) -> None:
        runtime, host = self.runtime(lambda query, reader: dict[str, Answer]()["none"])
        with self.assertRaises(Refused) as caught:
            runtime.answer(Request([], []))
        self.assertEqual(str(caught.exception), "error: KeyError: 'none'")
        [(level, text)] = host.logs
        self.assertEqual(level, Level.ERROR)
        self.assertIn("test_query.py", text)

    def test_not_configured(self) -> None:
        with self.assertRaises(NotConfigured):
            Runtime(answering(None), TestHost(0)).answer(Request([], []))


if __name__ == "__main__":
    unittest.main()
