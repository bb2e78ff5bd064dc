"""One call of the host, taken out of its columns: records of one partition, or due timers."""

from __future__ import annotations

from collections.abc import Sequence

from .columns import entries
from .contract import DueTimers, Inbound
from .record import Header, Origin


class Batch:
    """The parents that a call's outputs may have: their keys and times, and what only records have.

    Headers and origins are taken out at first use, since few plugins read them.
    """

    __slots__ = ("_headers", "_inbound", "_inputs", "count", "keys", "partition", "timestamps", "timers")

    def __init__(self, call: Inbound | DueTimers, inputs: Sequence[str] = ()) -> None:
        self.count = call.count
        self.partition = call.partition
        self.keys = entries(call.keys, call.count)
        self.timers = not isinstance(call, Inbound)
        self._inbound = call if isinstance(call, Inbound) else None
        self.timestamps = call.timestamps if isinstance(call, Inbound) else call.times
        self._inputs = inputs
        self._headers: list[list[Header]] | None = None

    def headers_of(self, index: int) -> Sequence[Header]:
        """A record's headers."""
        if self._headers is None:
            self._headers = self._take_headers()
        return self._headers[index] if self._headers else ()

    def _take_headers(self) -> list[list[Header]]:
        if self._inbound is None or not self._inbound.headers.ends:
            return []
        columns = self._inbound.headers
        total = columns.ends[-1]
        names = [(name or b"").decode("utf-8", "replace") for name in entries(columns.names, total)]
        pairs = list(zip(names, entries(columns.values, total)))
        return [pairs[start:end] for start, end in zip([0, *columns.ends], columns.ends)]

    def origin_of(self, index: int) -> Origin | None:
        """Where a record entered the pipeline."""
        if self._inbound is None or not self._inbound.origins.offsets:
            return None
        origins = self._inbound.origins
        topic = origins.topic_indexes[index] if origins.topic_indexes else 0
        partition = origins.partitions[index] if origins.partitions else self.partition
        return Origin(origins.topics[topic], partition, origins.offsets[index])

    def input_of(self, index: int) -> str:
        """The name of the input by which a record came."""
        if not self._inputs:
            return ""
        numbers = self._inbound.inputs if self._inbound is not None else b""
        return self._inputs[numbers[index] if numbers else 0]
