"""What the SDK expects of the bindings is what ``componentize-py`` makes of ``wit/plugin.wit``.

Skipped where ``componentize-py`` is not installed: ``pip install componentize-py==0.25.1``.
"""

import ast
import dataclasses
import enum
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from wasmill_sdk import contract

SDK = Path(__file__).resolve().parent.parent
WIT = SDK.parents[2] / "wit"
BESIDE_PYTHON = Path(sys.executable).parent / "componentize-py"
TOOL = shutil.which("componentize-py") or (str(BESIDE_PYTHON) if BESIDE_PYTHON.exists() else None)


class Bindings(unittest.TestCase):
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        if TOOL is None:
            raise unittest.SkipTest("componentize-py is not installed: `pip install componentize-py==0.25.1`")
        if not WIT.is_dir():
            raise unittest.SkipTest(f"the contract is not at {WIT}")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        # As `wasmill build` does for a plugin that answers and migrates.
        wit = Path(cls.folder.name) / "wit"
        wit.mkdir()
        contract_text = (WIT / "plugin.wit").read_text()
        includes = "include timed-transform; include query; include migrate;"
        (wit / "plugin.wit").write_text(f"{contract_text}\nworld built {{ {includes} }}\n")
        command = [TOOL, "-q", "-d", str(wit), "-w", "built", "bindings", cls.folder.name]
        subprocess.run(command, check=True)

    def tree(self, module: str) -> ast.Module:
        return ast.parse((Path(self.folder.name) / "wit_world" / f"{module}.py").read_text())

    def classes(self, *modules: str) -> dict[str, ast.ClassDef]:
        return {
            node.name: node
            for module in modules
            for node in self.tree(module).body
            if isinstance(node, ast.ClassDef)
        }

    def test_records_and_enums(self) -> None:
        generated = self.classes(
            "imports/types",
            "imports/state",
            "imports/log",
            "imports/metrics",
            "exports/lifecycle",
            "exports/query_handler",
        )
        ours = {
            {"PortDescription": "Port", "StoreDescription": "Store", "ConfigProblem": "Problem"}.get(
                name, name
            ): kind
            for name, kind in vars(contract).items()
            if isinstance(kind, type) and kind.__module__ == contract.__name__
        }
        # Only named by a mistake of the other side: nothing is missing, nothing is left over.
        self.assertEqual(sorted(ours), sorted(generated))
        for name, kind in ours.items():
            body = generated[name].body
            if issubclass(kind, enum.Enum):
                theirs = [node.targets[0].id for node in body if isinstance(node, ast.Assign)]  # type: ignore[attr-defined]
                self.assertEqual([member.name for member in kind], theirs, name)
            else:
                fields = [
                    (node.target.id, plain(ast.unparse(node.annotation)))
                    for node in body
                    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
                ]
                own = [(field.name, plain(str(field.type))) for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
                self.assertEqual(own, fields, name)

    def test_what_is_imported(self) -> None:
        """Each name that ``component.py`` takes from the bindings is there."""
        source = ast.parse((SDK / "wasmill_sdk" / "component.py").read_text())
        taken = {
            (node.value.id, node.attr)
            for node in ast.walk(source)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        for module in ("state", "stores", "timers", "log", "metrics", "context"):
            functions = {
                n.name for n in self.tree(f"imports/{module}").body if isinstance(n, ast.FunctionDef)
            }
            used = {name for owner, name in taken if owner == module}
            self.assertTrue(used, module)
            self.assertLessEqual(used, functions, module)

    def test_parameters_of_the_host(self) -> None:
        """The functions take what :class:`wasmill_sdk.host.Host` says."""
        host = next(
            node
            for node in ast.parse((SDK / "wasmill_sdk" / "host.py").read_text()).body
            if isinstance(node, ast.ClassDef)
        )
        for method in host.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            module, name = (ast.get_docstring(method) or "").strip("`").split(".")
            generated = next(
                node
                for node in self.tree(f"imports/{module}").body
                if isinstance(node, ast.FunctionDef) and node.name == name.replace("-", "_")
            )
            self.assertEqual(signature(method)[1:], signature(generated), method.name)

    def test_exports(self) -> None:
        source = ast.parse((SDK / "wasmill_sdk" / "component.py").read_text())
        ours = {
            node.name: [(m.name, len(m.args.args)) for m in node.body if isinstance(m, ast.FunctionDef)]
            for node in ast.walk(source)
            if isinstance(node, ast.ClassDef) and node.name != "ComponentHost"
        }
        theirs = {
            name: [(m.name, len(m.args.args)) for m in node.body if isinstance(m, ast.FunctionDef)]
            for name, node in self.classes("exports/__init__").items()
        }
        self.assertEqual(ours, theirs)


def signature(function: ast.FunctionDef) -> list[tuple[str, str]]:
    """Names and types of the parameters, and of the result."""
    pairs = [(a.arg, plain(ast.unparse(a.annotation)) if a.annotation else "") for a in function.args.args]
    return [*pairs, ("", plain(ast.unparse(function.returns)) if function.returns else "")]


def plain(annotation: str) -> str:
    """An annotation in one spelling."""
    words = (
        annotation.replace("List[", "list[")
        .replace("Tuple[", "tuple[")
        .replace("types.", "")
        .replace("state.", "")
    )
    words = words.replace("PortDescription", "Port").replace("StoreDescription", "Store")
    if words.startswith("Optional[") and words.endswith("]"):
        words = words[len("Optional[") : -1] + " | None"
    return words


if __name__ == "__main__":
    unittest.main()
