import math
import struct
import unittest
from typing import Any

from temperature import Temperature

from wasmill_sdk.testing import Harness, Input, record


def reading(room: str, temp: Any, key: str | None = None, ts: Any = 7) -> Input:
    return record({"room": room, "temp": temp, "ts": ts, "more": []}, key=key or room)


class TemperatureTest(unittest.TestCase):
    def test_change_and_average(self) -> None:
        plugin = Harness(Temperature)
        run = plugin.run(reading("a", 20), reading("b", 1.5), reading("a", 21, key="b"), reading("a", 22))
        self.assertEqual(
            run.values(),
            [
                '{"room":"a","temp":20.0,"delta":null,"avg":20.0,"count":1,"ts":7}',
                '{"room":"b","temp":1.5,"delta":null,"avg":1.5,"count":1,"ts":7}',
                '{"room":"a","temp":22.0,"delta":2.0,"avg":21.0,"count":2,"ts":7}',
            ],
        )
        self.assertEqual(run.codes(), ["wrong-key"])
        self.assertEqual(plugin.stored("room")[b"a"], struct.pack("<3d", 22, 42, 2))
        run = plugin.run(reading("a", 0))
        self.assertEqual(run.json()[0]["delta"], -22.0)

    def test_what_is_no_reading(self) -> None:
        values: list[Any] = [
            {},
            [],
            "null",
            '"room"',
            {"room": "a", "temp": True, "ts": 0},
            {"room": "a", "temp": "1", "ts": 0},
            {"room": "a", "temp": 1, "ts": 1.0},
            {"room": "a", "temp": 1, "ts": True},
            {"room": "a", "temp": 1, "ts": 2**63},
            {"room": 1, "temp": 1, "ts": 0},
            '{"room":"a","temp":NaN,"ts":0}',
            '{"room":"a","temp":1e400,"ts":0}',
            b"\xff",
        ]
        run = Harness(Temperature).run(*(record(value, key="a") for value in values))
        self.assertEqual((run.values(), run.codes()), ([], ["bad-json"] * len(values)))

    def test_order_of_failures(self) -> None:
        run = Harness(Temperature).run(record(None), record("x"), record(None, key="a"))
        self.assertEqual(run.codes(), ["no-key", "no-key", "no-value"])

    def test_the_sum_has_a_limit(self) -> None:
        plugin = Harness(Temperature)
        run = plugin.run(reading("a", 1.7e308), reading("a", 1.7e308), reading("a", -1.0))
        self.assertEqual(run.codes(), ["out-of-range"])
        self.assertEqual([output["count"] for output in run.json()], [1, 2])

    def test_a_change_beyond_what_a_float_holds_is_null(self) -> None:
        run = Harness(Temperature).run(reading("a", -1.7e308), reading("a", 1.7e308))
        self.assertEqual([output["delta"] for output in run.json()], [None, None])
        self.assertEqual([output["avg"] for output in run.json()], [-1.7e308, 0.0])

    def test_a_room_is_written_as_json(self) -> None:
        room = 'a"\\\n\u00e9\u2028'
        self.assertEqual(Harness(Temperature).run(reading(room, 1)).json()[0]["room"], room)

    def test_to_the_bit(self) -> None:
        run = Harness(Temperature).run(
            record('{"room":"a\\u0062","temp":-0,"ts":0}', key="ab"),
            record('{"room":"ab","temp":0.1,"ts":-1}', key="ab"),
        )
        self.assertEqual(math.copysign(1, run.json()[0]["temp"]), -1)
        self.assertEqual(run.json()[1]["avg"], 0.05)


if __name__ == "__main__":
    unittest.main()
