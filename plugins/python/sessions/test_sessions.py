import unittest

from sessions import Sessions

from wasmill_sdk.testing import ConfigRefused, Harness, Input, record


def at(time: int | None, key: str | bytes | None = "k") -> Input:
    return record(None, key=key, timestamp=time)


def session(start: int, end: int, count: int, key: str = "k") -> dict[str, object]:
    return {"key": key, "start": start, "end": end, "count": count}


class SessionsTest(unittest.TestCase):
    def test_a_gap_ends_a_session(self) -> None:
        plugin = Harness(Sessions, {"gap_ms": 10})
        run = plugin.run(at(0), at(9), at(18), at(28))
        self.assertEqual(run.json(), [session(0, 18, 3)])
        self.assertEqual(
            (run.outputs[0].key, run.outputs[0].timestamp, run.outputs[0].timer), (b"k", 18, "close")
        )
        self.assertEqual(plugin.state("open"), {b"k": [(28, 28, 1)]})
        self.assertEqual(plugin.timers(), {(b"k", "close"): 38})
        self.assertEqual(plugin.advance(37).json(), [])
        self.assertEqual(plugin.advance(38).json(), [session(28, 28, 1)])
        self.assertEqual((plugin.state("open"), plugin.timers()), ({}, {}))

    def test_a_late_record_joins_two(self) -> None:
        plugin = Harness(Sessions, {"gap_ms": 10}, lateness_ms=100)
        self.assertEqual(plugin.run(at(0), at(15), at(40)).json(), [])
        self.assertEqual(plugin.state("open"), {b"k": [(0, 0, 1), (15, 15, 1), (40, 40, 1)]})
        self.assertEqual(plugin.run(at(8)).json(), [])
        self.assertEqual(plugin.state("open"), {b"k": [(0, 15, 3), (40, 40, 1)]})
        self.assertEqual(plugin.timers(), {(b"k", "close"): 25})
        self.assertEqual(plugin.advance(100).json(), [session(0, 15, 3), session(40, 40, 1)])

    def test_exactly_the_gap_is_apart(self) -> None:
        plugin = Harness(Sessions, {"gap_ms": 10}, lateness_ms=100)
        plugin.run(at(20), at(10), at(30), at(11))
        self.assertEqual(plugin.state("open"), {b"k": [(10, 20, 3), (30, 30, 1)]})

    def test_too_late_is_a_session_of_its_own(self) -> None:
        plugin = Harness(Sessions, {"gap_ms": 10})
        run = plugin.run(at(100), at(5))
        self.assertEqual(run.json(), [session(5, 5, 1)])
        self.assertEqual(plugin.timers(), {(b"k", "close"): 110})

    def test_keys_do_not_mix(self) -> None:
        plugin = Harness(Sessions, {"gap_ms": 10})
        plugin.run(at(1, "b"), at(1, "a"), at(2, "b"))
        self.assertEqual(plugin.advance(99).json(), [session(1, 1, 1, "a"), session(1, 2, 2, "b")])

    def test_what_fails(self) -> None:
        run = Harness(Sessions, {"gap_ms": 10}).run(at(1, None), at(1, b"\xff"), at(None), at(None, None))
        self.assertEqual(run.codes(), ["no-key", "bad-utf8", "no-timestamp", "no-key"])

    def test_the_config_is_checked(self) -> None:
        for config in ({}, {"gap_ms": 0}, {"gap_ms": 1.5}, {"gap_ms": True}, {"gap_ms": "1"}):
            with self.assertRaises(ConfigRefused) as caught:
                Harness(Sessions, config)
            self.assertEqual(caught.exception.pointers, ["/gap_ms"], config)


if __name__ == "__main__":
    unittest.main()
