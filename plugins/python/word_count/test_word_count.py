import unittest

from word_count import WordCount

from wasmill_sdk.testing import Harness, record


class WordCountTest(unittest.TestCase):
    def test_counts_by_key(self) -> None:
        plugin = Harness(WordCount)
        run = plugin.run(record(key="a"), record(key="b"), record("ignored", key="a"))
        self.assertEqual(
            run.json(), [{"word": "a", "count": 1}, {"word": "b", "count": 1}, {"word": "a", "count": 2}]
        )
        self.assertEqual(run.outputs[1].key, b"b")

    def test_what_is_no_word_fails_alone(self) -> None:
        plugin = Harness(WordCount)
        run = plugin.run(record("a"), record(key="a"), record(key=b"\xff"))
        self.assertEqual(run.json(), [{"word": "a", "count": 1}])
        self.assertEqual(run.codes(), ["no-key", "bad-utf8"])
        self.assertEqual(plugin.stored("count"), {b"a": bytes([1, 0, 0, 0, 0, 0, 0, 0])})


if __name__ == "__main__":
    unittest.main()
