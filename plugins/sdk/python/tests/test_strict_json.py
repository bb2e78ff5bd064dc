"""JSON is what the other languages' SDKs take for JSON."""

import math
import unittest

from wasmill_sdk import strict_json
from wasmill_sdk.strict_json import JsonError, dumps, loads


class Reading(unittest.TestCase):
    def test_what_is_json(self) -> None:
        self.assertEqual(
            loads(b' {"a":[1,2.5,true,null,"\\u00e9\xc3\xa9"]} '), {"a": [1, 2.5, True, None, "éé"]}
        )
        self.assertEqual(loads(b'"\\ud83d\\ude00"'), "\U0001f600")
        self.assertEqual(loads(b"123456789012345678901234567890"), 123456789012345678901234567890)
        self.assertEqual(loads(b"1e300"), 1e300)
        self.assertEqual(loads(b"1e-400"), 0.0)

    def test_minus_zero_keeps_its_sign(self) -> None:
        for text in (b"-0", b"[-0]", b"-0.0", b"-0e1"):
            value = loads(text)
            number = value[0] if isinstance(value, list) else value
            self.assertEqual(math.copysign(1, number), -1, text)
        self.assertEqual(loads(b'["2026-01-02",-0.5]'), ["2026-01-02", -0.5])

    def test_what_is_not(self) -> None:
        for text in (
            b"",
            b"{",
            b"NaN",
            b"[Infinity]",
            b"-Infinity",
            b"1e400",
            b"-1E+400",
            b"1" * 400,
            b"1" * 5000,
            b"1" * 300 + b"e99",
            b'"\\ud800"',
            b'{"\\udc00":1}',
            b"\xff",
            b'"\xed\xa0\x80"',
            b"\xef\xbb\xbf1",
            '"é"'.encode("utf-16"),
            b"1 2",
            b"'a'",
            b"01",
            b'"a\nb"',
            b"\xc2\xa01",
        ):
            with self.subTest(text[:20]), self.assertRaises(JsonError):
                loads(text)

    def test_nesting_has_a_limit(self) -> None:
        self.assertEqual(loads(b"[" * 127 + b"]" * 127), eval("[" * 127 + "]" * 127))
        self.assertEqual(len(loads(b"[" + b"[]," * 500 + b"[]]")), 501)
        self.assertEqual(loads(b'"' + b"[" * 500 + b'"'), "[" * 500)
        for text in (b"[" * 128 + b"]" * 128, b'{"a":' * 200 + b"1" + b"}" * 200, b"[" * 100_000):
            with self.assertRaises(JsonError):
                loads(text)


class Writing(unittest.TestCase):
    def test_compact_utf8(self) -> None:
        self.assertEqual(
            dumps({"é": [1, 1.5, None, True, '"\n']}), '{"é":[1,1.5,null,true,"\\"\\n"]}'.encode()
        )

    def test_what_json_cannot_hold(self) -> None:
        circle: list[object] = []
        circle.append(circle)
        for value in (math.nan, [math.inf], "\ud800", {"\ud800": 1}, object(), {1, 2}, circle):
            with self.subTest(repr(value)), self.assertRaises(JsonError):
                dumps(value)
        # What failed leaves nothing behind.
        inner: list[object] = [object()]
        with self.assertRaises(JsonError):
            dumps(inner)
        inner[0] = 1
        self.assertEqual(dumps(inner), b"[1]")

    def test_without_the_accelerated_module(self) -> None:
        import json.encoder

        fast = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        json.encoder.c_make_encoder = None  # type: ignore[attr-defined]
        try:
            self.assertEqual(strict_json._new_encoder()({"é": 1}, 0), ('{"é":1}',))
        finally:
            json.encoder.c_make_encoder = fast  # type: ignore[attr-defined]


if __name__ == "__main__":
    unittest.main()
