import unittest

from wasmill_sdk.testing import Harness, record
from {{ident}} import CountRecords


class CountRecordsTest(unittest.TestCase):
    def test_counts_by_key(self) -> None:
        plugin = Harness(CountRecords)
        run = plugin.run(record("x", key="a"), record("x", key="b"), record("x", key="a"))
        self.assertEqual(
            run.json(), [{"key": "a", "count": 1}, {"key": "b", "count": 1}, {"key": "a", "count": 2}]
        )
        self.assertEqual(plugin.state("count"), {b"a": 2, b"b": 1})

    def test_a_bad_record_fails_alone(self) -> None:
        run = Harness(CountRecords).run(record("x"), record(None, key="a"), record("x", key="a"))
        self.assertEqual(run.codes(), ["no-key", "no-value"])
        self.assertEqual(run.json(), [{"key": "a", "count": 1}])


if __name__ == "__main__":
    unittest.main()
