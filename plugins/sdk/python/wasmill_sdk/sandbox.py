"""What a component has not: files, clocks, entropy, standard output, modules that are not built in.

Python would ask the system for them, and asking traps: the whole call is lost, with a message about
`unreachable` instructions. So these raise exceptions that name the remedy. What is written in C
(``datetime.now()``) still traps, and the host finds the record that does it.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import time
from collections.abc import Callable

# Encodings are modules, found by name while a plugin runs: these are built in.
from encodings import ascii as _ascii
from encodings import cp1252, iso8859_1, iso8859_15, latin_1, utf_8_sig, utf_16, utf_16_be, utf_16_le
from typing import Any, NoReturn

from .contract import Level
from .errors import valid_text

ENCODINGS = [_ascii, cp1252, iso8859_1, iso8859_15, latin_1, utf_8_sig, utf_16, utf_16_be, utf_16_le]

LogWrite = Callable[[Level, "int | None", str], None]

_CLOCK = "there is no clock in a component; take `ctx.now()`"
_CLOSED = False


class LogStream(io.TextIOBase):
    """What is printed goes to the log, line by line."""

    def __init__(self, write: LogWrite, level: Level) -> None:
        self._write = write
        self._level = level
        self._line = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Keeps what is no whole line yet."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._write(self._level, None, valid_text(line))
        return len(text)


class NoMoreModules:
    """Refuses what was not imported when the component was built."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Raises `ImportError` for any module that is not loaded yet."""
        raise ModuleNotFoundError(
            f"`{name}` was not imported when the component was built; import it at the top of a module",
            name=name,
        )


def _refusing(remedy: str) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(remedy)

    return refuse


def close(write: LogWrite) -> None:
    """Called when the component runs; while it is built, modules are imported from files."""
    global _CLOSED
    if _CLOSED:
        return
    _CLOSED = True
    sys.stdout = LogStream(write, Level.INFO)
    sys.stderr = LogStream(write, Level.WARN)
    sys.meta_path.insert(0, NoMoreModules)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
        setattr(time, name, _refusing(_CLOCK))
    time.sleep = _refusing("a component cannot wait; set a timer")
    os.urandom = _refusing("there is no entropy in a component; take `random.Random(ctx.seed())`")
    builtins.open = io.open = _refusing("there are no files in a component")
