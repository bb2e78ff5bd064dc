import unittest

from word_split import WordSplit
from words import words

from wasmill_sdk.testing import ConfigRefused, Harness, record


class Words(unittest.TestCase):
    def test_letters_marks_and_numbers(self) -> None:
        for text, expected in {
            "Hello, world! 42nd_x": ["hello", "world", "42nd", "x"],
            "": [],
            " -- ' '' \u2019": [],
            "na\u00efve \u0397\u039c\u0395\u03a1\u0391 \u4f60\u597d": [
                "na\u00efve",
                "\u03b7\u03bc\u03b5\u03c1\u03b1",
                "\u4f60\u597d",
            ],
            # A decomposed accent is a mark; Roman numeral two and a superscript are numbers.
            "e\u0301te\u0301 \u2161 x\u00b2": ["e\u0301te\u0301", "\u2171", "x\u00b2"],
            # Beyond the first 65,536 characters.
            "\U0001d54f\U0001f600\U00020000": ["\U0001d54f", "\U00020000"],
        }.items():
            self.assertEqual(list(words(text)), expected, text)

    def test_apostrophes_between_letters(self) -> None:
        for text, expected in {
            "don't 'quoted' rock'n'roll": ["don't", "quoted", "rock'n'roll"],
            "dogs' 5'6 a''b 5'a a'5": ["dogs", "5", "6", "a", "b", "5", "a", "a", "5"],
            "l\u2019e\u0301te\u0301's": ["l\u2019e\u0301te\u0301's"],
            "e\u0301'e 5\u0301'e \u0301'e e'\u0301e": [
                "e\u0301'e",
                "5\u0301",
                "e",
                "\u0301",
                "e",
                "e",
                "\u0301e",
            ],
        }.items():
            # With and without a letter beyond ASCII the answer is the same.
            self.assertEqual(list(words(text)), expected, text)
            self.assertEqual(list(words(text + " \u4f60")), [*expected, "\u4f60"], text)

    def test_lower_case_of_each_word(self) -> None:
        # The sigma at the end of a word, and the dotted capital I.
        self.assertEqual(
            list(words("\u03a3\u0391\u03a3.\u0391 \u0130X")), ["\u03c3\u03b1\u03c2", "\u03b1", "i\u0307x"]
        )

    def test_a_long_word(self) -> None:
        for letter in ("a", "\u00e9", "1"):
            self.assertEqual(list(words(letter * 1_000_000)), [letter * 1_000_000])


class WordSplitTest(unittest.TestCase):
    def test_the_value_is_the_text(self) -> None:
        run = Harness(WordSplit).run(record("One TWO", key="k", timestamp=7), record(None), record(b"\xff"))
        self.assertEqual(run.values(), ["one", "two"])
        self.assertEqual(
            [(output.key, output.timestamp) for output in run.outputs], [(b"one", 7), (b"two", 7)]
        )
        self.assertEqual(run.codes(), ["bad-utf8"])

    def test_the_text_is_in_a_field(self) -> None:
        for field in ("text", "/text"):
            run = Harness(WordSplit, {"field": field}).run(
                record({"text": "One TWO"}),
                record({"txt": "x"}),
                record({"text": 1}),
                record("no json"),
                record(None),
            )
            self.assertEqual(run.values(), ["one", "two"])
            self.assertEqual(run.codes(), ["no-field", "not-text", "bad-json"])

    def test_a_pointer_leads_anywhere(self) -> None:
        value = record({"a/b": [{"~": "x"}]})
        self.assertEqual(Harness(WordSplit, {"field": "/a~1b/0/~0"}).run(value).values(), ["x"])
        self.assertEqual(Harness(WordSplit, {"field": "/a~1b/00/~0"}).run(value).codes(), ["no-field"])
        self.assertEqual(Harness(WordSplit, {"field": "/a~1b/1"}).run(value).codes(), ["no-field"])
        self.assertEqual(Harness(WordSplit, {"field": "a/b"}).run(value).codes(), ["not-text"])

    def test_the_config_is_checked(self) -> None:
        for config, pointer in (
            ({"feild": "x"}, "/feild"),
            ({"field": ""}, "/field"),
            ({"field": 1}, "/field"),
        ):
            with self.assertRaises(ConfigRefused) as caught:
                Harness(WordSplit, config)
            self.assertEqual(caught.exception.pointers, [pointer])


if __name__ == "__main__":
    unittest.main()
