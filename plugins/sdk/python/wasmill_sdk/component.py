# The bindings are only there when a component is built.
# mypy: disable-error-code="import-not-found, misc"
"""The plugin as a component: the contract's exports, and its imports as a host.

Imported only by ``componentize-py``, where the generated bindings are.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import context, log, metrics, state, timers

from .contract import ConfigProblem, Description, DueTimers, Inbound, Level, Outbound
from .errors import valid_text
from .plugin import Plugin
from .runtime import NotConfigured, Runtime


class ComponentHost:
    """The imports of the contract."""

    state_get = staticmethod(state.get)
    state_get_many = staticmethod(state.get_many)
    state_put_many = staticmethod(state.put_many)
    timer_get = staticmethod(timers.get)
    timer_set_many = staticmethod(timers.set_many)
    log_threshold = staticmethod(log.threshold)
    log_write = staticmethod(log.write)
    metric_define = staticmethod(metrics.define)
    metric_update = staticmethod(metrics.update)
    pipeline = staticmethod(context.pipeline)
    transform = staticmethod(context.transform)
    now = staticmethod(context.now)
    stream_time = staticmethod(context.stream_time)
    watermark = staticmethod(context.watermark)
    seed = staticmethod(context.seed)


class LogStream(io.TextIOBase):
    """What is printed goes to the log, line by line: there is no standard output in the sandbox."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._line = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Keeps what is no whole line yet."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            log.write(self._level, None, valid_text(line))
        return len(text)


def exports_of(plugin: type[Plugin]) -> dict[str, Any]:
    """The classes that the bindings look for in the app's module."""
    runtime = Runtime(plugin, ComponentHost())
    sys.stdout = LogStream(Level.INFO)
    sys.stderr = LogStream(Level.WARN)

    class Lifecycle(exports.Lifecycle):
        def describe(self) -> Description:
            return runtime.describe()

        def configure(self, config: str) -> None:
            problems: list[ConfigProblem] = runtime.configure(config)
            if problems:
                raise Err(problems)

    class Processor(exports.Processor):
        def process(self, batch: Inbound) -> Outbound:
            try:
                return runtime.process(batch)
            except NotConfigured as error:
                raise Err(str(error)) from None

    class TimerHandler(exports.TimerHandler):
        def on_timers(self, due: DueTimers) -> Outbound:
            try:
                return runtime.on_timers(due)
            except NotConfigured as error:
                raise Err(str(error)) from None

    return {"Lifecycle": Lifecycle, "Processor": Processor, "TimerHandler": TimerHandler}
