"""The table of vectors in ``plugins/vectors``, run natively: whole batches and one record at a time.

That every component gives these answers through the real host is another test; this one is quick.

    PYTHONPATH=../sdk/python python -m unittest test_vectors.py
"""

import importlib
import json
import struct
import sys
import unittest
from pathlib import Path
from typing import Any

from wasmill_sdk import EVENT_TIME, WALL_CLOCK, Plugin
from wasmill_sdk.testing import ConfigRefused, Emitted, Harness, Input, Run, record

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
CLASSES = {
    "word_split": "WordSplit",
    "word_count": "WordCount",
    "temperature": "Temperature",
    "enrich": "Enrich",
    "sessions": "Sessions",
}


def plugin(name: str) -> type[Plugin]:
    folder = str(HERE / name)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found: type[Plugin] = getattr(importlib.import_module(name), CLASSES[name])
    return found


def data(spec: Any) -> bytes | None:
    """The bytes that a vector writes."""
    if spec is None:
        return None
    if isinstance(spec, str):
        return spec.encode()
    if "hex" in spec:
        return bytes.fromhex(spec["hex"])
    return json.dumps(spec["json"]).encode()


def comparable(value: Any) -> Any:
    """A JSON value whose numbers are the bits of a float."""
    if isinstance(value, dict):
        return {name: comparable(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [comparable(entry) for entry in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "f64:" + struct.pack(">d", float(value)).hex()
    return value


def same(found: bytes | None, spec: Any) -> tuple[Any, Any]:
    """What was found and what is expected, to be compared."""
    if isinstance(spec, dict) and "json" in spec and found is not None:
        return comparable(json.loads(found)), comparable(spec["json"])
    return found, data(spec)


class Vectors(unittest.TestCase):
    maxDiff = None

    def test_all(self) -> None:
        files = [file for file in sorted(VECTORS.glob("*.json")) if file.stem in CLASSES]
        if not files:
            self.skipTest(f"there are no vectors in {VECTORS}")
        for file in files:
            for case in json.loads(file.read_text()):
                for whole in (True, False):
                    with self.subTest(plugin=file.stem, case=case["name"], whole=whole):
                        self.check(plugin(file.stem), case, whole)

    def check(self, kind: type[Plugin], case: dict[str, Any], whole: bool) -> None:
        if "problems" in case:
            with self.assertRaises(ConfigRefused) as caught:
                Harness(kind, case.get("config", {}))
            self.assertEqual(sorted(caught.exception.pointers), sorted(case["problems"]))
            return
        harness = Harness(kind, case.get("config", {}), lateness_ms=case.get("lateness_ms", 0))
        for store, entries in case.get("stored", {}).items():
            harness.stored(store).update({key.encode(): data(spec) or b"" for key, spec in entries.items()})
        for step in case["steps"]:
            run = self.run_step(harness, [self.input(spec) for spec in step["records"]], whole)
            expected = step.get("outputs", [])
            self.assertEqual(len(run.outputs), len(expected), run)
            for output, spec in zip(run.outputs, expected):
                self.compare(output, spec)
            self.assertEqual(
                [(failure.index, failure.code) for failure in run.failures],
                [(spec["index"], spec["code"]) for spec in step.get("failures", [])],
            )
        self.check_end(kind, harness, case)

    def run_step(self, harness: Harness, inputs: list[Input], whole: bool) -> Run:
        if whole:
            return harness.run(*inputs)
        total = Run()
        for index, one in enumerate(inputs):
            run = harness.run(one)
            total.outputs += [
                Emitted(**{**vars(out), "parent": None if out.parent is None else index})
                for out in run.outputs
            ]
            total.failures += [type(f)(**{**vars(f), "index": index}) for f in run.failures]
        return total

    def input(self, spec: dict[str, Any]) -> Input:
        return record(
            data(spec.get("value")),
            key=data(spec.get("key")),
            timestamp=spec.get("timestamp", 0),
            headers=[(name, data(value)) for name, value in spec.get("headers", [])],
        )

    def compare(self, output: Emitted, spec: dict[str, Any]) -> None:
        self.assertEqual(
            (output.parent, output.timer, output.port, output.timestamp),
            (spec.get("parent"), spec.get("timer"), spec.get("port", "out"), spec.get("timestamp", 0)),
        )
        self.assertEqual(*same(output.key, spec.get("key")))
        self.assertEqual(*same(output.value, spec.get("value")))
        headers = [(name, data(value)) for name, value in spec.get("headers", [])]
        self.assertEqual(list(output.headers), headers)

    def check_end(self, kind: type[Plugin], harness: Harness, case: dict[str, Any]) -> None:
        stores = {store.name for store in harness.description.stores}
        for store in stores | set(case.get("state", {})):
            expected = case.get("state", {}).get(store, {})
            found = harness.stored(store)
            self.assertEqual(sorted(found), sorted(key.encode() for key in expected), store)
            for key, spec in expected.items():
                self.assertEqual(*same(found[key.encode()], spec))
        timers = [
            (key, name, time, clock)
            for clock, of in (("event-time", EVENT_TIME), ("wall-clock", WALL_CLOCK))
            for (key, name), time in harness.timers(of).items()
        ]
        expected_timers = [
            (data(spec["key"]), spec["name"], spec["time"], spec.get("clock", "event-time"))
            for spec in case.get("timers", [])
        ]
        self.assertEqual(sorted(timers), sorted(expected_timers))


if __name__ == "__main__":
    unittest.main()
