"""Which parts of the project may import which: the product no test, a tool only those below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PRODUCT = {"agent", "cloudinit", "infra"}
BELOW = {
    "agent": {"agent"},
    "cloudinit": {"cloudinit", "agent"},
    "infra": PRODUCT,
    "tests/aws": {"tests.aws"},
    "tests/lab": {*PRODUCT, "tests.aws", "tests.lab"},
    "tests/drill": {*PRODUCT, "tests.aws", "tests.lab", "tests.drill"},
    "tests/bench": {*PRODUCT, "tests.aws", "tests.lab", "tests.drill", "tests.bench"},
}
"""The project's packages that a folder's modules may import.

A package's commands (`__main__`) may import more, because nobody imports them.
"""


def imported(source: Path) -> set[str]:
    """The project's packages that a module imports, at its head or further down: `infra`, `tests.lab`."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] in {*PRODUCT, "tests"}:
                found.add(".".join(parts[: 2 if parts[0] == "tests" else 1]))
    return found


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_what_is_below_it(folder: str) -> None:
    sources = [path for path in (PROJECT / folder).rglob("*.py") if path.name != "__main__.py"]
    assert sources
    beyond = {str(path.relative_to(PROJECT)): imported(path) - BELOW[folder] for path in sources}
    assert {path: names for path, names in beyond.items() if names} == {}


@pytest.mark.parametrize("folder", ["unit", "engine", "cluster", "harness"])
def test_no_tool_imports_a_test(folder: str) -> None:
    tools = [
        path for tool in ("aws", "lab", "drill", "bench") for path in (PROJECT / "tests" / tool).rglob("*.py")
    ]
    assert [path for path in tools if f"tests.{folder}" in imported(path)] == []
