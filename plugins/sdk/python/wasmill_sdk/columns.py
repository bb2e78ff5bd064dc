"""Reading and writing the flat columns of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from .contract import MARK_BYTES, Column


def entries(column: Column, count: int) -> Sequence[bytes | None]:
    """The entries of a column; all ``None`` when it is left out."""
    ends = column.ends
    if not ends:
        return [None] * count
    data = column.data
    slices: list[bytes | None] = [data[start:end] for start, end in zip([0, *ends], ends)]
    if column.marks:
        for i, mark in enumerate(column.marks):
            if mark != MARK_BYTES:
                slices[i] = None
    return slices


def column(values: Iterable[bytes], marks: bytes = b"") -> Column:
    """A column of these entries; those that are marked must be empty."""
    values = list(values)
    return Column(b"".join(values), list(accumulate(map(len, values))), marks)


def nullable(values: Iterable[bytes | None]) -> Column:
    """A column of these entries, ``None`` for null."""
    values = list(values)
    if None not in values:
        return column(values)  # type: ignore[arg-type]
    return column([value or b"" for value in values], bytes([value is None for value in values]))


def left_out() -> Column:
    """A column without entries."""
    return Column(b"", [], b"")
