import unittest

from migrating import Migrating

from wasmill_sdk import RecordError
from wasmill_sdk.testing import Harness, record


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


class MigratingTest(unittest.TestCase):
    def test_numbers_become_objects(self) -> None:
        plugin = Harness(Migrating)
        stored = plugin.stored("seen")
        for i in range(2500):
            stored[f"k{i}".encode()] = number(i)
        plugin.migrate(0)
        # Version 0 had an entry for 0, too.
        self.assertEqual(len(stored), 2499)
        self.assertEqual(stored[b"k7"], b'{"count":7}')
        plugin.run(record(key="k7"))
        self.assertEqual(plugin.ask("seen/k7").json(), {"count": 8})
        self.assertEqual(plugin.ask("seen/k0").status, 404)

    def test_what_fails_changes_nothing(self) -> None:
        plugin = Harness(Migrating, {"refuse": True})
        stored = plugin.stored("seen")
        stored.update({b"room-1": number(1), b"room-2": number(2)})
        for version, code in ((0, "no-mood"), (1, "no-version")):
            with self.assertRaises(RecordError) as caught:
                plugin.migrate(version)
            self.assertEqual(caught.exception.code, code)
        self.assertEqual(stored, {b"room-1": number(1), b"room-2": number(2)})

    def test_answers(self) -> None:
        plugin = Harness(Migrating)
        plugin.run(record(key="a"))
        oracle = plugin.stored_of("oracle", "seen")
        for i in range(1, 5):
            oracle[f"room-{i}".encode()] = number(i)
        self.assertEqual(plugin.ask("many/a/b").json(), [{"count": 1}, None])
        self.assertEqual(plugin.ask("seen-of/oracle/room-2").json(), 2)
        self.assertEqual(plugin.ask("all-of/oracle").json(), {"room-2": 2, "room-3": 3})
        self.assertEqual(plugin.ask("many-of/oracle/x/room-4").json(), [None, 4])
        self.assertEqual((plugin.ask("now").status, plugin.ask("now").text()), (299, "0"))
        with self.assertRaisesRegex(RecordError, "not today"):
            plugin.ask("refuse")


if __name__ == "__main__":
    unittest.main()
