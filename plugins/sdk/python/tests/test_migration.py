"""Migrations, seen from a plugin."""

import unittest
from typing import Any

from common import describe, plugin

from wasmill_sdk import U64, Migration, RecordError, Store
from wasmill_sdk._test_host import TestHost
from wasmill_sdk.runtime import NotConfigured, Refused, Runtime
from wasmill_sdk.testing import Harness

SEEN: Store[Any] = Store("seen")
SEEN_0: Store[int] = Store("seen", U64)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def migrating(migrate: Any) -> Any:
    return plugin(
        lambda r, ctx: None,
        seen=SEEN,
        state_version=1,
        migrate=lambda self, from_version, state: migrate(from_version, state),
    )


class Migrations(unittest.TestCase):
    def test_every_entry_is_rewritten(self) -> None:
        keys = []

        def migrate(from_version: int, state: Migration) -> None:
            def change(key: bytes, count: int) -> Any:
                keys.append(key)
                return {"count": count} if count else None

            self.assertEqual(from_version, 0)
            state.rewrite(SEEN_0, SEEN, change)

        harness = Harness(migrating(migrate))
        self.assertEqual(describe(migrating(migrate)).state_version, 1)
        # More than one page.
        for i in range(2500):
            harness.stored("seen")[b"k%d" % i] = number(i)
        harness.migrate(0)
        self.assertEqual(keys, sorted(b"k%d" % i for i in range(2500)))
        self.assertEqual(len(harness.stored("seen")), 2499)
        self.assertEqual(harness.stored("seen")[b"k7"], b'{"count":7}')
        self.assertEqual(harness.state("seen")[b"k2499"], {"count": 2499})

    def test_an_empty_store(self) -> None:
        harness = Harness(migrating(lambda version, state: state.rewrite(SEEN_0, SEEN, None)))
        harness.migrate(0)
        self.assertEqual(harness.stored("seen"), {})

    def test_one_by_one(self) -> None:
        def migrate(from_version: int, state: Migration) -> None:
            count = state.get(SEEN_0, "a", 0) + state.get(SEEN_0, b"x", 1)
            assert state.get(SEEN_0, "x") is None
            state.put(SEEN, "all", {"count": count})
            state.remove(SEEN, "a")

        harness = Harness(migrating(migrate))
        harness.stored("seen")[b"a"] = number(2)
        harness.migrate(0)
        self.assertEqual(harness.stored("seen"), {b"all": b'{"count":3}'})

    def test_one_that_fails_changes_nothing(self) -> None:
        def migrate(from_version: int, state: Migration) -> None:
            state.remove(SEEN, "a")
            state.put(SEEN, "b", 1)
            state.get(SEEN_0, "bad")

        harness = Harness(migrating(migrate))
        stored = harness.stored("seen")
        stored[b"a"], stored[b"bad"] = number(2), b"{}"
        with self.assertRaises(RecordError) as caught:
            harness.migrate(0)
        self.assertEqual(caught.exception.code, "bad-state")
        self.assertEqual(stored, {b"a": number(2), b"bad": b"{}"})

    def test_a_store_that_the_class_does_not_list(self) -> None:
        harness = Harness(migrating(lambda version, state: state.get(Store("gone"), "a")))
        with self.assertRaisesRegex(RecordError, "no store named `gone`"):
            harness.migrate(0)

    def test_what_the_component_says(self) -> None:
        def refuse(from_version: int, state: Migration) -> None:
            raise RecordError("no-version", f"there was no version {from_version}")

        runtime = Runtime(migrating(refuse), TestHost(0))
        with self.assertRaises(NotConfigured):
            runtime.migrate(0)
        self.assertEqual(runtime.configure("{}"), [])
        with self.assertRaises(Refused) as caught:
            runtime.migrate(7)
        self.assertEqual(str(caught.exception), "no-version: there was no version 7")


if __name__ == "__main__":
    unittest.main()
