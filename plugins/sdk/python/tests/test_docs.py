"""What README.md shows runs, and so does the project that `wasmill new plugin` makes of `template/`."""

import os
import re
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path
from typing import Any

from wasmill_sdk.testing import ConfigRefused, Harness, record

SDK = Path(__file__).resolve().parent.parent
PLUGINS = SDK.parents[1] / "python"
BLOCKS = re.findall(r"```python\n(.*?)```", (SDK / "README.md").read_text(), re.DOTALL)


def run(code: str, **names: Any) -> dict[str, Any]:
    """Runs code as a module."""
    module = types.ModuleType("readme")
    vars(module).update(names)
    sys.modules["readme"] = module
    exec(compile(code, "README.md", "exec"), vars(module))
    return vars(module)


class Readme(unittest.TestCase):
    def test_the_first_example(self) -> None:
        made = run(BLOCKS[0])["WordCount"]
        self.assertEqual(Harness(made).run(record(key="a")).json(), [{"word": "a", "count": 1}])

    def test_the_config(self) -> None:
        head = "from dataclasses import dataclass\nfrom wasmill_sdk import *\nclass Made(Plugin):\n"
        tail = "    def process(self, record, ctx): ctx.emit(self.config.gap_ms)\n"
        made = run(head + BLOCKS[1] + tail)["Made"]
        self.assertEqual(Harness(made, {"gap_ms": 2}).run(record()).values(), ["2"])
        with self.assertRaises(ConfigRefused):
            Harness(made, {"gap_ms": 0})

    def test_the_test(self) -> None:
        folder = PLUGINS / "sessions"
        if not folder.is_dir():
            self.skipTest(f"the plugins are not at {PLUGINS}")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        from sessions import Sessions  # type: ignore[import-not-found]

        run(BLOCKS[4], Sessions=Sessions)

    def test_the_query(self) -> None:
        plain = BLOCKS[0].replace("export(WordCount)", "")
        made = run("from wasmill_sdk import *\n" + plain + BLOCKS[2])["WordCount"]
        plugin = Harness(made)
        plugin.run(record(key="a"), record(key="b"), record(key="b"))
        self.assertEqual(plugin.ask("count/b").json(), 2)
        self.assertEqual(plugin.ask("first?prefix=a").json(), {"a": 1})
        self.assertEqual(plugin.ask("").status, 404)

    def test_the_migration(self) -> None:
        process = "    def process(self, record, ctx): pass\n"
        made = run("from wasmill_sdk import *\n" + BLOCKS[3] + process)["Counted"]
        plugin = Harness(made)
        plugin.stored("count")[b"a"] = b"\2" + bytes(7)
        plugin.migrate(0)
        self.assertEqual(plugin.state("count"), {b"a": {"count": 2}})

    def test_the_test_of_a_query(self) -> None:
        folder = PLUGINS / "word_count"
        if not folder.is_dir():
            self.skipTest(f"the plugins are not at {PLUGINS}")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        from word_count import WordCount  # type: ignore[import-not-found]

        run(BLOCKS[5], WordCount=WordCount, Harness=Harness, record=record)

    def test_every_block_is_tested(self) -> None:
        self.assertEqual(len(BLOCKS), 6)


class Template(unittest.TestCase):
    def test_its_tests_pass(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file in (SDK / "template").iterdir():
                text = file.read_text().replace("{{name}}", "my-plugin").replace("{{ident}}", "my_plugin")
                self.assertNotIn("{{", text, file.name)
                (Path(folder) / file.name.replace("{{ident}}", "my_plugin")).write_text(text)
            done = subprocess.run(
                [sys.executable, "-m", "unittest"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(SDK)},
                capture_output=True,
                text=True,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Ran 2 tests", done.stderr)


if __name__ == "__main__":
    unittest.main()
