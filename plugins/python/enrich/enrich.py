"""Adds fields to a JSON object: fixed ones from the configuration, and the values of headers."""

from dataclasses import dataclass
from typing import Any

from wasmill_sdk import (
    INHERIT,
    Context,
    Plugin,
    Port,
    Problem,
    Problems,
    Record,
    RecordError,
    export,
    option,
)


class Enrich(Plugin):
    """Adds fields from headers and from the configuration to a JSON value."""

    name = "enrich"
    version = "0.1.0"
    ports = [Port("out", "The record with the fields added")]
    reads_headers = True

    @dataclass
    class Config:
        """The config table."""

        fields: dict[str, Any] = option(factory=dict, doc="Fields to add, and their values.")
        headers: dict[str, str] = option(
            factory=dict,
            doc="Fields to add, and the headers whose values they get. Header names are compared without"
            " regard to ASCII case; a field whose header is missing is not added.",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        twice = [
            Problem(f"/headers/{name.replace('~', '~0').replace('/', '~1')}", f"`fields` sets `{name}` too")
            for name in config.headers
            if name in config.fields
        ]
        if twice:
            raise Problems(twice)
        self.fields = config.fields
        self.headers = [(name, ascii_lower(header)) for name, header in config.headers.items()]

    def process(self, record: Record, ctx: Context) -> None:
        # A tombstone stays one.
        if record.value is None:
            ctx.emit(INHERIT)
            return
        found = self.found_headers(record)
        value = record.json()
        if not isinstance(value, dict):
            raise RecordError("bad-json", "the value is no JSON object")
        # What is there already keeps its place.
        value.update(self.fields)
        value.update(found)
        ctx.emit(value)

    def found_headers(self, record: Record) -> dict[str, str | None]:
        """The fields whose headers the record has; of several of a name the last one counts."""
        if not self.headers:
            return {}
        values = {ascii_lower(name): value for name, value in record.headers}
        return {field: text_of(values[header], header) for field, header in self.headers if header in values}


def ascii_lower(name: str) -> str:
    """Lower-cased where it is ASCII, as HTTP compares the names of headers."""
    return name.encode().lower().decode()


def text_of(value: bytes | None, header: str) -> str | None:
    """A header's value as text."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        raise RecordError("bad-utf8", f"the header `{header}` is not UTF-8: {error.reason}") from None


export(Enrich)
