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

    def test_answers(self) -> None:
        plugin = Harness(WordCount)
        plugin.run(*(record(key=word) for word in "the cat and the other cat and the dog".split()))
        self.assertEqual(plugin.ask("count/the").json(), {"word": "the", "count": 3})
        self.assertEqual(plugin.ask("count/none").json(), {"word": "none", "count": 0})
        self.assertEqual(
            plugin.ask("top?n=3").json(),
            [{"word": "the", "count": 3}, {"word": "and", "count": 2}, {"word": "cat", "count": 2}],
        )
        self.assertEqual([one["word"] for one in plugin.ask("top").json()][3:], ["dog", "other"])
        for n in ("0", "1001", "ten", "-1", "²", "1" * 5000, ""):
            self.assertEqual(plugin.ask(f"top?n={n}").status, 400, n)
        self.assertEqual(plugin.ask("bottom").status, 404)

    def test_the_top_of_more_words_than_one_page_has(self) -> None:
        plugin = Harness(WordCount)
        for i in range(2500):
            plugin.stored("count")[f"w{i}".encode()] = i.to_bytes(8, "little")
        self.assertEqual(plugin.ask("top?n=1").json(), [{"word": "w2499", "count": 2499}])


if __name__ == "__main__":
    unittest.main()
