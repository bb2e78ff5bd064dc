"""What a component has not is refused with a remedy. In a process of its own, which it changes."""

import subprocess
import sys
import unittest
from pathlib import Path

SCRIPT = """
import os, sys, time
from wasmill_sdk import Level, sandbox
lines = []
sandbox.close(lambda level, index, text: lines.append((level, index, text)))
def refused(action):
    try:
        action()
    except OSError as error:
        return str(error)
    except ImportError as error:
        return str(error)
found = [
    refused(time.time), refused(lambda: time.sleep(1)), refused(lambda: os.urandom(1)),
    refused(lambda: open("x")), refused(lambda: __import__("wave")),
]
print("a", 1)
print("b", end="", file=sys.stderr)
print("c\\ud800", file=sys.stderr)
assert lines == [(Level.INFO, None, "a 1"), (Level.WARN, None, "bc?")], lines
assert "é€".encode("cp1252") == b"\\xe9\\x80" and b"\\xff\\xfea\\0".decode("utf-16") == "a"
sys.__stdout__.write("\\n".join(map(str, found)))
sys.__stdout__.flush()
"""


class Sandbox(unittest.TestCase):
    def test_what_is_refused(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            text=True,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            done.stdout.splitlines(),
            [
                "there is no clock in a component; take `ctx.now()`",
                "a component cannot wait; set a timer",
                "there is no entropy in a component; take `random.Random(ctx.seed())`",
                "there are no files in a component",
                "`wave` was not imported when the component was built; import it at the top of a module",
            ],
        )


if __name__ == "__main__":
    unittest.main()
