"""Splits text into lower-case words; each leaves with itself as key and value."""

from dataclasses import dataclass
from typing import Any

from words import words

from wasmill_sdk import Context, Plugin, Port, Record, RecordError, export, option


class WordSplit(Plugin):
    """Splits text into lower-case words."""

    name = "word_split"
    version = "0.1.0"
    ports = [Port("out", "One record per word, the word as key and value", rekeys=True)]

    @dataclass
    class Config:
        """The config table."""

        field: str | None = option(
            None,
            doc="Where the text is in a JSON value: a JSON Pointer, or the name of a field."
            " Left out: the value is the text.",
            min_length=1,
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.pointer = config.field
        self.path: list[str] = []
        if config.field is not None:
            self.path = [config.field]
            if config.field.startswith("/"):
                steps = config.field.split("/")[1:]
                self.path = [step.replace("~1", "/").replace("~0", "~") for step in steps]

    def process(self, record: Record, ctx: Context) -> None:
        # A tombstone holds no words.
        if record.value is None:
            return
        text = record.text() if self.pointer is None else self.text_in(record.json())
        for word in words(text):
            key = word.encode()
            ctx.emit(key, key=key)

    def text_in(self, value: Any) -> str:
        """The text that the config's pointer leads to."""
        for step in self.path:
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and is_index(step) and int(step) < len(value):
                value = value[int(step)]
            else:
                raise RecordError("no-field", f"the value has nothing at `{self.pointer}`")
        if not isinstance(value, str):
            raise RecordError("not-text", f"what is at `{self.pointer}` is no text")
        return value


def is_index(step: str) -> bool:
    """The step of a JSON Pointer may be an index: digits without a leading zero."""
    return step.isascii() and step.isdigit() and (step == "0" or step[0] != "0") and len(step) < 20


export(WordSplit)
