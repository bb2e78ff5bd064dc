"""The plugin's own metrics, shown beside those of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .contract import Kind


class Metric:
    """A metric. List it as a class attribute of the plugin and call ``ctx.update(metric, value)``."""

    __slots__ = ("bounds", "help", "kind", "labels", "name")

    def __init__(
        self,
        kind: Kind,
        name: str,
        help: str,
        labels: Mapping[str, str] | None = None,
        bounds: Sequence[float] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.help = help
        self.labels = dict(labels or {})
        self.bounds = list(bounds)


class Counter(Metric):
    """A sum that only grows. The name is snake_case and ends in ``_total``."""

    __slots__ = ()

    def __init__(self, name: str, help: str, labels: Mapping[str, str] | None = None) -> None:
        super().__init__(Kind.COUNTER, name, help, labels)


class Gauge(Metric):
    """A value that goes up and down."""

    __slots__ = ()

    def __init__(self, name: str, help: str, labels: Mapping[str, str] | None = None) -> None:
        super().__init__(Kind.GAUGE, name, help, labels)


class Histogram(Metric):
    """How values are distributed over buckets with these upper bounds, rising."""

    __slots__ = ()

    def __init__(
        self, name: str, help: str, bounds: Sequence[float], labels: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(Kind.HISTOGRAM, name, help, labels, bounds)
