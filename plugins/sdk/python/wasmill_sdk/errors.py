"""Why a record failed, and what is wrong in a configuration."""

from __future__ import annotations

import json
import traceback

from .strict_json import JsonError

_FRAMES_MAX = 20


class RecordError(Exception):
    """Fails the record (or timer) at hand, and only that.

    `code` is a short stable word for metrics, such as ``bad-json``; `message` is for people;
    `detail` may be a longer explanation.
    """

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class Problem(Exception):
    """Something wrong in the config table: raise it in ``Plugin.__init__`` or ``__post_init__``.

    `pointer` is the JSON Pointer of the place, ``""`` for the whole table.
    """

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or 'the config table'}: {message}")
        self.pointer = pointer
        self.message = message


class Problems(Exception):
    """Several problems at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def escape_pointer(name: str) -> str:
    """A name as it stands in a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def valid_text(text: str) -> str:
    """The text with what UTF-8 cannot hold (surrogates) replaced by ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def explain(error: BaseException) -> tuple[str, str, str]:
    """Code, message and detail of what a record's function has raised."""
    if isinstance(error, RecordError):
        return valid_text(str(error.code)), valid_text(str(error.message)), valid_text(str(error.detail))
    code = "error"
    if isinstance(error, (json.JSONDecodeError, JsonError)):
        code = "bad-json"
    elif isinstance(error, UnicodeDecodeError):
        code = "bad-utf8"
    try:
        message = str(error)
    except Exception:
        message = ""
    kind = type(error).__name__
    # The message of a KeyError is only the key, and some errors have none.
    message = f"{kind}: {message}" if message else kind
    return code, valid_text(message), valid_text(_trace(error))


def _trace(error: BaseException) -> str:
    """The stack trace, causes first, without the lines of the source.

    `traceback` itself would look for the source's files, which a component may not.
    """
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        if cause in chain or chain[-1].__suppress_context__ and cause is not chain[-1].__cause__:
            break
        chain.append(cause)
    parts = []
    for one in reversed(chain):
        lines = ["Traceback (most recent call last):"]
        frames = list(traceback.walk_tb(one.__traceback__))
        for frame, line in frames[:_FRAMES_MAX]:
            lines.append(f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}')
        if len(frames) > _FRAMES_MAX:
            lines.append(f"  ... and {len(frames) - _FRAMES_MAX} more")
        try:
            lines.append(f"{type(one).__name__}: {one}")
        except Exception:
            lines.append(type(one).__name__)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
