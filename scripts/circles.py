"""Refuse files that import each other in a circle when they are loaded."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src"


def loaded(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """The imports that run when a file is loaded: not those of functions or type checkers."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            found += loaded(node.body) + loaded(node.orelse)
        elif isinstance(node, ast.Try | ast.ClassDef):
            found += loaded(node.body)
    return found


def main() -> int:
    """Exit code 1 and the circle, if there is one."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        needs: set[str] = set()
        for node in loaded(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Import):
                needs |= {alias.name for alias in node.names}
            elif node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                needs |= {one if one in files else node.module for one in inner}
        graph[name] = (needs & files.keys()) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        print("files import each other in a circle:", " → ".join(error.args[1]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
