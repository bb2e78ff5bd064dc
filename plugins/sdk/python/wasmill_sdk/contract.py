"""The records and enums of ``wit/plugin.wit``, as ``componentize-py`` names them.

In a component they are those of the generated bindings. Outside WebAssembly, where there are no
bindings, these stand in for them; ``tests/test_bindings.py`` compares the two.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

IN_COMPONENT = sys.platform == "wasi"
"""This runs in a component, or in the build of one."""

MARK_BYTES = 0
MARK_NULL = 1
MARK_INHERITED = 2

if TYPE_CHECKING or not IN_COMPONENT:

    @dataclass
    class Column:
        """n byte strings, laid end to end."""

        data: bytes
        ends: list[int]
        marks: bytes

    @dataclass
    class Headers:
        """The headers of n records."""

        ends: list[int]
        names: Column
        values: Column
        marks: bytes

    @dataclass
    class Origins:
        """Where n records entered the pipeline."""

        topics: list[str]
        topic_indexes: list[int]
        partitions: list[int]
        offsets: list[int]

    @dataclass
    class Inbound:
        """Records of one task."""

        count: int
        partition: int
        keys: Column
        values: Column
        timestamps: list[int]
        inputs: bytes
        headers: Headers
        origins: Origins

    @dataclass
    class Page:
        """Some entries of a store."""

        keys: Column
        values: Column
        more: bool

    @dataclass
    class Request:
        """A question, as `answer` gets it."""

        path: list[str]
        parameters: list[tuple[str, str]]

    @dataclass
    class Response:
        """An answer, as `answer` gives it."""

        status: int
        content_type: str
        body: bytes

    class Clock(enum.Enum):
        """Which time a timer waits for."""

        EVENT_TIME = 0
        """The watermark: the largest event time seen, less the lateness that is allowed."""
        WALL_CLOCK = 1
        """The clock on the wall."""

    @dataclass
    class DueTimers:
        """Timers of one task that are due."""

        count: int
        partition: int
        clock: Clock
        keys: Column
        names: Column
        times: list[int]

    @dataclass
    class Failure:
        """Why one record or timer failed."""

        index: int
        code: str
        message: str
        detail: str

    @dataclass
    class Outbound:
        """Outputs of one call."""

        count: int
        parents: list[int]
        ports: bytes
        keys: Column
        values: Column
        timestamps: list[int]
        headers: Headers
        failures: list[Failure]

    @dataclass
    class PortDescription:
        """A port, as `describe` tells it."""

        name: str
        doc: str
        rekeys: bool

    @dataclass
    class StoreDescription:
        """A store, as `describe` tells it."""

        name: str
        doc: str
        table: bool
        keyed: bool
        key_format: str
        value_format: str

    @dataclass
    class Description:
        """What a plugin says of itself."""

        name: str
        version: str
        doc: str
        state_version: int
        inputs: list[str]
        ports: list[PortDescription]
        stores: list[StoreDescription]
        sets_timers: bool
        reads_headers: bool
        reads_origins: bool
        config_schema: str
        extra: list[tuple[str, str]]

    @dataclass
    class ConfigProblem:
        """What is wrong in the config, and where."""

        pointer: str
        message: str

    class Level(enum.Enum):
        """How important a log message is."""

        TRACE = 0
        DEBUG = 1
        INFO = 2
        WARN = 3
        ERROR = 4

    class Kind(enum.Enum):
        """What a metric measures."""

        COUNTER = 0
        GAUGE = 1
        HISTOGRAM = 2

else:
    from wit_world.exports.lifecycle import Description
    from wit_world.exports.lifecycle import Port as PortDescription
    from wit_world.exports.lifecycle import Problem as ConfigProblem
    from wit_world.exports.lifecycle import Store as StoreDescription
    from wit_world.imports.log import Level
    from wit_world.imports.metrics import Kind
    from wit_world.imports.state import Page
    from wit_world.imports.types import (
        Clock,
        Column,
        DueTimers,
        Failure,
        Headers,
        Inbound,
        Origins,
        Outbound,
    )

    try:
        from wit_world.exports.query_handler import Request, Response
    except ImportError:
        # The plugin answers no queries, so it is built for a world without them.
        Request = Response = None

__all__ = [
    "IN_COMPONENT",
    "MARK_BYTES",
    "MARK_INHERITED",
    "MARK_NULL",
    "Clock",
    "Column",
    "ConfigProblem",
    "Description",
    "DueTimers",
    "Failure",
    "Headers",
    "Inbound",
    "Kind",
    "Level",
    "Origins",
    "Outbound",
    "Page",
    "PortDescription",
    "Request",
    "Response",
    "StoreDescription",
]
