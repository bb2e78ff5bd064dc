"""Write Wasmill plugins in Python: one method per record, typed state, errors by ``raise``.

    from wasmill_sdk import U64, Context, Plugin, Record, Store, export

    class WordCount(Plugin):
        "Counts words by their key."

        version = "1.0.0"
        count = Store("count", U64, doc="How often each word was seen")

        def process(self, record: Record, ctx: Context) -> None:
            count = ctx.get(self.count, 0) + 1
            ctx.put(self.count, count)
            ctx.emit({"word": record.key_text(), "count": count})

    export(WordCount)

``wasmill build DIR`` turns the module into a component; ``wasmill_sdk.testing`` runs the plugin as a
plain function.
"""

from __future__ import annotations

import sys

from .context import Context
from .contract import IN_COMPONENT, Clock, Level
from .errors import Problem, Problems, RecordError
from .metrics import Counter, Gauge, Histogram, Metric
from .migration import Migration
from .output import INHERIT, Json
from .plugin import NoConfig, Plugin, Port, about
from .query import Answer, Entries, Query, Reader
from .record import Header, Origin, Record, Timer
from .shapes import option
from .store import BYTES, F64, JSON, S64, U64, UTF8, Format, Store, json_of, packed
from .strict_json import quoted

EVENT_TIME = Clock.EVENT_TIME
"""A timer's clock: the watermark."""
WALL_CLOCK = Clock.WALL_CLOCK
"""A timer's clock: the clock on the wall."""


def export(plugin: type[Plugin]) -> None:
    """Makes a plugin the one of this module. Call it once, at the end of the module.

    Raises `TypeError` when what the class says of itself is wrong.
    """
    about(plugin)
    if IN_COMPONENT:
        from .component import exports_of

        # The bindings look for the classes in the module that is built, which is the caller's.
        sys._getframe(1).f_globals.update(exports_of(plugin))


__all__ = [
    "BYTES",
    "EVENT_TIME",
    "F64",
    "INHERIT",
    "JSON",
    "S64",
    "U64",
    "UTF8",
    "WALL_CLOCK",
    "Answer",
    "Clock",
    "Context",
    "Counter",
    "Entries",
    "Format",
    "Gauge",
    "Header",
    "Histogram",
    "Json",
    "Level",
    "Metric",
    "Migration",
    "NoConfig",
    "Origin",
    "Plugin",
    "Port",
    "Problem",
    "Problems",
    "Query",
    "Reader",
    "Record",
    "RecordError",
    "Store",
    "Timer",
    "export",
    "json_of",
    "option",
    "packed",
    "quoted",
]
