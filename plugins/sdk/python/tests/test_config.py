"""The config table, and what a class says of itself."""

import json
import unittest
import unittest.mock
from dataclasses import dataclass
from typing import Any, Literal

from common import describe, plugin

from wasmill_sdk import (
    U64,
    Context,
    Plugin,
    Problem,
    Record,
    Store,
    Timer,
    export,
    option,
)
from wasmill_sdk.testing import ConfigRefused, Harness


@dataclass
class Inner:
    size: int = option(1, minimum=0, doc="How big")


@dataclass
class Options:
    name: str = option(doc="A name", min_length=1)
    ratio: float = 1.0
    on: bool = False
    mode: Literal["a", "b"] = "a"
    inner: Inner = option(factory=Inner)
    tags: list[str] = option(factory=list)
    sizes: dict[str, int] = option(factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise Problem("/name", "is forbidden")


class Config(unittest.TestCase):
    def pointers(self, table: dict[str, Any], config: type = Options) -> list[str]:
        made = plugin(lambda r, ctx: None, Config=config)
        with self.assertRaises(ConfigRefused) as caught:
            Harness(made, table)
        return caught.exception.pointers

    def test_a_table_is_read(self) -> None:
        got: list[Options] = []
        made = plugin(lambda r, ctx: None, Config=Options, __init__=lambda self, config: got.append(config))
        Harness(made, {"name": "x", "ratio": 2, "inner": {"size": 3}, "sizes": {"a": 1}, "limit": 4})
        self.assertEqual(got, [Options("x", 2.0, False, "a", Inner(3), [], {"a": 1}, 4)])
        self.assertIs(type(got[0].ratio), float)

    def test_problems_name_their_place(self) -> None:
        self.assertEqual(self.pointers({}), ["/name"])
        self.assertEqual(self.pointers({"name": "forbidden"}), ["/name"])
        self.assertEqual(self.pointers({"name": ""}), ["/name"])
        self.assertEqual(
            self.pointers(
                {
                    "name": 1,
                    "ratio": True,
                    "on": 1,
                    "mode": "c",
                    "inner": {"size": -1, "a/b~": 1},
                    "tags": ["x", 2],
                    "sizes": {"a/b": 1.5},
                    "limit": "x",
                    "nmae": "x",
                }
            ),
            [
                "/name",
                "/ratio",
                "/on",
                "/mode",
                "/inner/size",
                "/inner/a~1b~0",
                "/tags/1",
                "/sizes/a~1b",
                "/limit",
                "/nmae",
            ],
        )

    def test_a_plugin_without_options_refuses_any(self) -> None:
        made = plugin(lambda r, ctx: None)
        with self.assertRaises(ConfigRefused) as caught:
            Harness(made, {"x": 1})
        self.assertEqual(caught.exception.problems, [("/x", "unknown option `x`; there are none")])

    def test_an_exception_is_a_problem(self) -> None:
        def fail(self: Any, config: Any) -> None:
            raise OSError("no such thing")

        with self.assertRaises(ConfigRefused) as caught:
            Harness(plugin(lambda r, ctx: None, __init__=fail))
        self.assertEqual(caught.exception.pointers, [""])
        self.assertIn("no such thing", str(caught.exception))

    def test_the_schema(self) -> None:
        schema = json.loads(describe(plugin(lambda r, ctx: None, Config=Options)).config_schema)
        self.assertEqual(schema["required"], ["name"])
        self.assertEqual(schema["additionalProperties"], False)
        self.assertEqual(
            schema["properties"]["name"], {"type": "string", "description": "A name", "minLength": 1}
        )
        self.assertEqual(schema["properties"]["mode"], {"enum": ["a", "b"]})
        self.assertEqual(schema["properties"]["limit"], {"type": "integer"})
        self.assertEqual(schema["properties"]["inner"]["properties"]["size"]["minimum"], 0)
        self.assertEqual(describe(plugin(lambda r, ctx: None)).config_schema, "")


class Ringing(Plugin):
    def process(self, record: Record, ctx: Context) -> None: ...

    def on_timer(self, timer: Timer, ctx: Context) -> None: ...


class Description(unittest.TestCase):
    def test_what_a_class_says(self) -> None:
        class MyPlugin(Plugin):
            """Does
            things.

            More of it.
            """

            a = Store("a", U64, doc="A")
            b: Store[Any] = Store("b", shared=True)

            def process(self, record: Record, ctx: Context) -> None: ...

        about = describe(MyPlugin)
        self.assertEqual((about.name, about.doc), ("my_plugin", "Does things."))
        self.assertEqual([port.name for port in about.ports], ["out"])
        self.assertEqual(
            [(s.name, s.keyed, s.value_format) for s in about.stores],
            [("a", True, "u64-le"), ("b", False, "json")],
        )
        self.assertFalse(about.sets_timers)
        self.assertTrue(describe(Ringing).sets_timers)

    def test_what_is_wrong_is_told(self) -> None:
        class Nothing(Plugin):
            pass

        with self.assertRaisesRegex(TypeError, "does not define `process"):
            export(Nothing)
        with self.assertRaisesRegex(TypeError, "two stores named `x`"):
            export(plugin(lambda r, ctx: None, a=Store("x"), b=Store("x")))


if __name__ == "__main__":
    unittest.main()
