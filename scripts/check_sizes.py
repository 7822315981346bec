"""Warns of files past 400 lines and functions past 60: they ask to be two. Warnings only, so the exit code is 0."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("gateway", "scripts", "migrations", "tests")
FILE_LINES = 400
FUNCTION_LINES = 60


def main() -> int:
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            for warning in warnings_for(str(path.relative_to(ROOT)), path.read_text()):
                print(warning, file=sys.stderr)
    return 0


def warnings_for(name: str, source: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, aim at {FILE_LINES} at most"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, aim at {FUNCTION_LINES} at most"


if __name__ == "__main__":
    sys.exit(main())
