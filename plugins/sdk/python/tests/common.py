"""What several tests need."""

from typing import Any

from wasmill_sdk import Plugin
from wasmill_sdk._test_host import TestHost
from wasmill_sdk.runtime import Runtime


def plugin(process: Any, **members: Any) -> type[Plugin]:
    """A plugin whose function is `process(record, ctx)`."""
    return type("Made", (Plugin,), {"process": lambda self, record, ctx: process(record, ctx), **members})


def describe(made: type[Plugin]) -> Any:
    return Runtime(made, TestHost(0)).describe()
