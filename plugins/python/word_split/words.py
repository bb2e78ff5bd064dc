"""What a word is: a maximal run of Unicode letters, marks and numbers.

An apostrophe between letters belongs to the word; a mark belongs to the letter before it.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable


def _class_of(major: str) -> str:
    """The characters of a general category, as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] == major:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _pattern(letters: str, marks: str, others: str) -> re.Pattern[str]:
    # The loop never has to be taken back, which `++` says.
    return re.compile(f"(?:[{letters}]{marks}(?:['\u2019](?=[{letters}]))?|[{others}])++")


# This runs once, when the component is built.
_LETTERS, _MARKS, _NUMBERS = _class_of("L"), _class_of("M"), _class_of("N")
_WORD = _pattern(_LETTERS, f"[{_MARKS}]*+", _NUMBERS + _MARKS)
# No word of ASCII text differs from the whole text in how it is lower-cased.
_ASCII_WORD = re.compile("(?:[a-z]++(?:'(?=[a-z]))?|[0-9])++")


def words(text: str) -> Iterable[str]:
    """The words of a text, lower-cased by Unicode's default."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # Word by word, as the form of a sigma depends on what is around it.
    return [word.lower() for word in _WORD.findall(text)]
