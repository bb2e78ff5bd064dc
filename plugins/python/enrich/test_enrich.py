import unittest

from enrich import Enrich

from wasmill_sdk.testing import ConfigRefused, Harness, record

CONFIG = {"fields": {"site": "x", "n": [1]}, "headers": {"agent": "User-Agent", "host": "Host"}}


class EnrichTest(unittest.TestCase):
    def test_fields_are_added_or_replaced_in_place(self) -> None:
        run = Harness(Enrich, CONFIG).run(
            record(
                '{"big":123456789012345678901234567890,"site":1.10, "z":{}}',
                headers=[("user-agent", "old"), ("User-Agent", 'a"b')],
            ),
            record({}, headers={"host": None}),
            record(None, key="k"),
        )
        self.assertEqual(
            [output.value and output.value.decode() for output in run.outputs],
            [
                '{"big":123456789012345678901234567890,"site":"x","z":{},"n":[1],"agent":"a\\"b"}',
                '{"site":"x","n":[1],"host":null}',
                None,
            ],
        )

    def test_a_header_that_differs_beyond_ascii_is_another(self) -> None:
        # The Kelvin sign is lower-cased to a k by Unicode, but not by ASCII.
        run = Harness(Enrich, {"headers": {"a": "k"}}).run(
            record({}, headers={"\u212a": "1"}), record({}, headers={"K": "2"})
        )
        self.assertEqual(run.values(), ["{}", '{"a":"2"}'])

    def test_what_is_no_object_fails(self) -> None:
        run = Harness(Enrich, CONFIG).run(
            record("[1]"),
            record(""),
            record({}, headers={"host": b"\xff"}),
            record('{"a":"\\ud800"}'),
            record('{"a":NaN}'),
        )
        self.assertEqual(run.codes(), ["bad-json", "bad-json", "bad-utf8", "bad-json", "bad-json"])

    def test_a_field_has_one_source(self) -> None:
        with self.assertRaises(ConfigRefused) as caught:
            Harness(Enrich, {"fields": {"a/b": 1}, "headers": {"a/b": "A", "c": "C"}})
        self.assertEqual(caught.exception.pointers, ["/headers/a~1b"])
        with self.assertRaises(ConfigRefused) as caught:
            Harness(Enrich, {"headers": {"a": 1}, "feilds": {}})
        self.assertEqual(caught.exception.pointers, ["/headers/a", "/feilds"])


if __name__ == "__main__":
    unittest.main()
