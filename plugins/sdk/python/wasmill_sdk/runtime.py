"""A plugin's life in its instance: what the exports of the contract call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from . import shapes, strict_json
from .batch import Batch
from .columns import entries
from .context import Context
from .contract import (
    ConfigProblem,
    Description,
    DueTimers,
    Failure,
    Inbound,
    Level,
    Outbound,
    PortDescription,
    Request,
    Response,
    StoreDescription,
)
from .errors import Problem, Problems, explain, valid_text
from .host import Host
from .metrics import Metric
from .migration import Migration
from .plugin import NoConfig, Plugin, about
from .query import Answer, Query, Reader
from .record import Record, Timer
from .store import Format

T = TypeVar("T")


class NotConfigured(Exception):
    """A batch came before `configure`."""

    def __init__(self) -> None:
        super().__init__("the plugin was not configured")


class Refused(Exception):
    """A plugin failed as it answered or migrated; in words."""


class Runtime:
    """A plugin, once configured."""

    def __init__(self, plugin: type[Plugin], host: Host) -> None:
        self._class = plugin
        self._host = host
        self._about = about(plugin)
        self._stores = {store: number for number, store in enumerate(self._about.stores)}
        self._ports = {port.name: number for number, port in enumerate(self._about.ports)}
        self._metrics: dict[Metric, int] = {}
        self._plugin: Plugin | None = None

    def describe(self) -> Description:
        """What the plugin says of itself."""
        config = self._class.Config
        return Description(
            name=self._about.name,
            version=self._class.version,
            doc=self._about.doc,
            state_version=self._class.state_version,
            inputs=list(self._class.inputs),
            ports=[PortDescription(port.name, port.doc, port.rekeys) for port in self._about.ports],
            stores=[
                StoreDescription(
                    name=store.name,
                    doc=store.doc,
                    table=False,
                    keyed=not store.shared,
                    key_format="bytes",
                    value_format=store.format.name,
                )
                for store in self._about.stores
            ],
            sets_timers=self._about.sets_timers,
            reads_headers=self._class.reads_headers,
            reads_origins=self._class.reads_origins,
            config_schema="" if config is NoConfig else json.dumps(shapes.schema(config)),
            extra=[],
        )

    def configure(self, config: str) -> list[ConfigProblem]:
        """Reads the config table and makes the plugin; what is wrong with the table."""
        try:
            table: Any = strict_json.loads_text(config) if config.strip() else {}
        except strict_json.JsonError as error:
            return [ConfigProblem("", f"the config table is not JSON: {error}")]
        options, problems = shapes.read(self._class.Config, table, strict=True)
        if not problems:
            try:
                for metric in self._about.metrics:
                    self._metrics[metric] = self._host.metric_define(
                        metric.name, metric.kind, metric.help, list(metric.labels.items()), metric.bounds
                    )
                self._plugin = self._class(options)
            except Problem as problem:
                problems = [problem]
            except Problems as several:
                problems = several.problems
            except Exception as error:
                # Anything else would trap and tell nothing.
                _, message, detail = explain(error)
                problems = [Problem("", f"{message}\n{detail}")]
        return [
            ConfigProblem(valid_text(problem.pointer), valid_text(problem.message)) for problem in problems
        ]

    def process(self, inbound: Inbound) -> Outbound:
        """Runs a batch, record by record."""
        if self._plugin is None:
            raise NotConfigured
        batch = Batch(inbound, self._class.inputs)
        context = self._context(batch)
        state_undo, timer_undo = context._state.undo, context._timers.undo
        failures: list[Failure] = []
        process = self._plugin.process
        index = 0
        for key, value in zip(batch.keys, entries(inbound.values, batch.count)):
            context._index = index
            context._key = key
            try:
                process(Record(key, value, index, batch), context)
            except (Exception, SystemExit) as error:
                failures.append(self._fail(context, error))
            else:
                if state_undo:
                    state_undo.clear()
                if timer_undo:
                    timer_undo.clear()
            index += 1
        return self._finish(context, failures)

    def on_timers(self, due: DueTimers) -> Outbound:
        """Runs timers that are due, one by one."""
        if self._plugin is None:
            raise NotConfigured
        batch = Batch(due)
        context = self._context(batch)
        failures: list[Failure] = []
        names = entries(due.names, due.count)
        for index, (key, name, time) in enumerate(zip(batch.keys, names, due.times)):
            context._index = index
            context._key = key
            context._firing = (due.clock, time)
            timer = Timer(
                key or b"", (name or b"").decode("utf-8", "replace"), time, due.clock, due.partition, index
            )
            try:
                self._plugin.on_timer(timer, context)
            except (Exception, SystemExit) as error:
                failures.append(self._fail(context, error))
            else:
                context._state.undo.clear()
                context._timers.undo.clear()
        return self._finish(context, failures)

    def answer(self, request: Request) -> Response:
        """Answers a question; raises `Refused`."""
        query = Query(tuple(request.path), tuple(request.parameters))
        answer = self._or_refused(lambda: self.ask(query))
        return Response(answer.status, answer.content_type, answer.body)

    def ask(self, query: Query) -> Answer:
        """Answers a question; raises what the plugin does."""
        if self._plugin is None:
            raise NotConfigured
        answer: Any = self._plugin.answer(query, Reader(self._host, self._stores))
        if not isinstance(answer, Answer):
            raise TypeError(f"`answer` must return an Answer, not {type(answer).__name__}")
        return answer

    def migrate(self, from_version: int) -> None:
        """Changes what an earlier version has stored; raises `Refused`."""
        self._or_refused(lambda: self.change(from_version))

    def change(self, from_version: int) -> None:
        """Changes what an earlier version has stored; raises what the plugin does."""
        if self._plugin is None:
            raise NotConfigured
        self._plugin.migrate(from_version, Migration(self._host, self._stores))

    def _or_refused(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except NotConfigured:
            raise
        except (Exception, SystemExit) as error:
            code, message, detail = explain(error)
            if detail:
                # The message goes to whoever asked; where it happened is for the plugin's author.
                self._host.log_write(Level.ERROR, None, detail)
            raise Refused(f"{code}: {message}") from None

    def stores_by_name(self) -> dict[str, tuple[int, Format[Any]]]:
        """The number and format of each store."""
        return {store.name: (number, store.format) for store, number in self._stores.items()}

    def _context(self, batch: Batch) -> Context:
        return Context(self._about, self._host, batch, self._stores, self._metrics, self._ports)

    def _fail(self, context: Context, error: BaseException) -> Failure:
        context._outputs.drop(context._index)
        context._state.rollback()
        context._timers.rollback()
        return Failure(context._index, *explain(error))

    def _finish(self, context: Context, failures: list[Failure]) -> Outbound:
        context._state.flush()
        context._timers.flush()
        return context._outputs.finish(failures)
