"""The host's functions: the imports of the contract in a component, the testing module elsewhere."""

from __future__ import annotations

from typing import Protocol

from .contract import Clock, Column, Kind, Level, Page


class Host(Protocol):
    """What the runtime asks of the host; see ``wit/plugin.wit``. `stores` is for plugins that answer."""

    def state_get(self, store: int, key: bytes) -> bytes | None:
        """``state.get``"""

    def state_get_many(self, store: int, keys: Column) -> Column:
        """``state.get-many``"""

    def state_put_many(self, store: int, keys: Column, values: Column) -> None:
        """``state.put-many``"""

    def state_scan(self, store: int, prefix: bytes, after: bytes | None, limit: int) -> Page:
        """``state.scan``"""

    def stores_get(self, transform: str, store: str, key: bytes) -> bytes | None:
        """``stores.get``"""

    def stores_get_many(self, transform: str, store: str, keys: Column) -> Column:
        """``stores.get-many``"""

    def stores_scan(self, transform: str, store: str, prefix: bytes, after: bytes | None, limit: int) -> Page:
        """``stores.scan``"""

    def timer_get(self, clock: Clock, key: bytes, name: str) -> int | None:
        """``timers.get``"""

    def timer_set_many(self, clock: Clock, keys: Column, names: Column, times: list[int]) -> None:
        """``timers.set-many``"""

    def log_threshold(self) -> Level:
        """``log.threshold``"""

    def log_write(self, level: Level, index: int | None, message: str) -> None:
        """``log.write``"""

    def metric_define(
        self, name: str, kind: Kind, help: str, labels: list[tuple[str, str]], bounds: list[float]
    ) -> int:
        """``metrics.define``"""

    def metric_update(self, metric: int, value: float) -> None:
        """``metrics.update``"""

    def pipeline(self) -> str:
        """``context.pipeline``"""

    def transform(self) -> str:
        """``context.transform``"""

    def now(self) -> int:
        """``context.now``"""

    def stream_time(self, index: int) -> int:
        """``context.stream-time``"""

    def watermark(self, index: int) -> int:
        """``context.watermark``"""

    def seed(self, index: int) -> int:
        """``context.seed``"""
