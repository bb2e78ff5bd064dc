# The bindings are only there when a component is built.
# mypy: disable-error-code="import-not-found, misc"
"""The plugin as a component: the contract's exports, and its imports as a host.

Imported only by ``componentize-py``, where the generated bindings are.
"""

from __future__ import annotations

from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import context, log, metrics, state, timers

try:
    from wit_world.imports import stores
except ImportError:
    # The world of a plugin that answers no queries has none.
    stores = None

from . import sandbox
from .contract import ConfigProblem, Description, DueTimers, Inbound, Outbound, Request, Response
from .plugin import Plugin, about
from .runtime import NotConfigured, Refused, Runtime


class ComponentHost:
    """The imports of the contract."""

    state_get = staticmethod(state.get)
    state_get_many = staticmethod(state.get_many)
    state_put_many = staticmethod(state.put_many)
    state_scan = staticmethod(state.scan)
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
    if stores is not None:
        stores_get = staticmethod(stores.get)
        stores_get_many = staticmethod(stores.get_many)
        stores_scan = staticmethod(stores.scan)


def exports_of(plugin: type[Plugin]) -> dict[str, Any]:
    """The classes that the bindings look for in the app's module."""
    runtime = Runtime(plugin, ComponentHost())

    class Lifecycle(exports.Lifecycle):
        def describe(self) -> Description:
            sandbox.close(log.write)
            return runtime.describe()

        def configure(self, config: str) -> None:
            sandbox.close(log.write)
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

    made = {"Lifecycle": Lifecycle, "Processor": Processor, "TimerHandler": TimerHandler}
    said = about(plugin)
    if _has(plugin, "QueryHandler", said.answers, "answer", "queries"):

        class QueryHandler(exports.QueryHandler):
            def answer(self, request: Request) -> Response:
                try:
                    return runtime.answer(request)
                except (NotConfigured, Refused) as error:
                    raise Err(str(error)) from None

        made["QueryHandler"] = QueryHandler
    if _has(plugin, "MigrationHandler", said.migrates, "migrate", "migrates"):

        class MigrationHandler(exports.MigrationHandler):
            def migrate(self, from_version: int) -> None:
                try:
                    runtime.migrate(from_version)
                except (NotConfigured, Refused) as error:
                    raise Err(str(error)) from None

        made["MigrationHandler"] = MigrationHandler
    return made


def _has(plugin: type[Plugin], handler: str, defined: bool, method: str, key: str) -> bool:
    """Whether the world has a handler; raises `TypeError` unless the plugin's class defines its method."""
    built = hasattr(exports, handler)
    if built and not defined:
        raise TypeError(
            f"pyproject.toml says `{key} = true`, but {plugin.__name__} does not define `{method}`"
        )
    if defined and not built:
        raise TypeError(
            f"{plugin.__name__} defines `{method}`: say `{key} = true` in `[tool.wasmill]` of pyproject.toml"
        )
    return built
