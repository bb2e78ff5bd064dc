"""JSON as the other languages' SDKs have it, where Python's own module is more lenient.

Refused here: text that is not UTF-8, ``NaN`` and ``Infinity``, numbers that no 64-bit float can
hold, lone surrogates, and more than 127 levels of nesting (the stack of WebAssembly is small).
Whole numbers stay exact, however long; ``-0`` is the float ``-0.0``.
"""

from __future__ import annotations

import json
import json.encoder
import re
from dataclasses import asdict, is_dataclass
from typing import Any, NoReturn

_DEPTH_MAX = 127

# A text of so many characters cannot be nested deeper than that.
_SHORT = _DEPTH_MAX
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class JsonError(ValueError):
    """The text is not JSON, or the value cannot be written as JSON."""


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"`{name}` is not JSON")


def _float(text: str) -> float:
    number = float(text)
    # Infinity less itself is not a number.
    if number - number != 0.0:
        raise JsonError("a number is out of range")
    return number


def _int(text: str) -> int | float:
    if text == "-0":
        return -0.0
    if len(text) > 300:
        _float(text)
    return int(text)


class Repeating(dict[str, Any]):
    """An object in which fields stand more than once; their last values."""

    repeated: frozenset[str]


def _note_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    names = [name for name, _ in pairs]
    noted = Repeating(value)
    noted.repeated = frozenset(name for name in names if names.count(name) > 1)
    return noted


# Calling a function for each whole number costs, so that is left to texts that may need it.
_QUICK = json.JSONDecoder(parse_constant=_no_constant, parse_float=_float)
_CAREFUL = json.JSONDecoder(parse_constant=_no_constant, parse_float=_float, parse_int=_int)
_NOTING = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_note_repeats
)
_scan: Any = _QUICK.scan_once  # type: ignore[attr-defined]
_scan_carefully: Any = _CAREFUL.scan_once  # type: ignore[attr-defined]


def loads(data: bytes, *, note_repeats: bool = False) -> Any:
    """The value that UTF-8 JSON stands for; raises :class:`JsonError`.

    Of fields that stand more than once the last one counts. `note_repeats`: such an object is
    :class:`Repeating`, at some cost.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    return loads_text(text, note_repeats=note_repeats)


def loads_text(text: str, *, note_repeats: bool = False) -> Any:
    """As :func:`loads`, of text."""
    try:
        if len(text) <= _SHORT:
            scan = _scan_carefully if "-0" in text else _scan
        else:
            if text.count("[") + text.count("{") > _DEPTH_MAX:
                _check_depth(text)
            scan = _scan_carefully if len(text) > 300 or "-0" in text else _scan
        if note_repeats:
            value = _NOTING.decode(text)
        else:
            try:
                value, end = scan(text, 0)
            except StopIteration:
                end = -1
            if end != len(text):
                # There is white space around it, or something is wrong.
                value = _CAREFUL.decode(text)
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from None
    if "\\u" in text:
        _check_surrogates(value)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        if bracket in "[{":
            depth += 1
            if depth > _DEPTH_MAX:
                raise JsonError(f"nested deeper than {_DEPTH_MAX} levels")
        else:
            depth -= 1


def _check_surrogates(value: Any) -> None:
    try:
        "".join(_new_encoder()(value, 0)).encode()
    except UnicodeEncodeError:
        raise JsonError("a lone surrogate") from None


def _default(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _new_encoder() -> Any:
    """`JSONEncoder.encode` would make this anew for each value, which takes longer than its work."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default
        ).encode
        return lambda value, _level: (encode(value),)
    escape = json.encoder.encode_basestring
    # markers, default, encoder, indent, key and item separator, sort_keys, skipkeys, allow_nan
    return make({}, _default, escape, None, ":", ",", False, False, False)


_encoder = _new_encoder()


def dumps(value: Any) -> bytes:
    """A value as compact UTF-8 JSON; raises :class:`JsonError`."""
    global _encoder
    try:
        return "".join(_encoder(value, 0)).encode()
    except (ValueError, TypeError, RecursionError) as error:
        # It remembers which containers it was in.
        _encoder = _new_encoder()
        if isinstance(error, UnicodeEncodeError):
            raise JsonError("a string holds a lone surrogate") from None
        raise JsonError(str(error)) from error


def quoted(text: str) -> str:
    """Text as a JSON string, for values that are written by hand because that is faster."""
    return json.encoder.encode_basestring(text)
