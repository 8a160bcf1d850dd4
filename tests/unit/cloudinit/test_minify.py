from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudinit import minify, places

PROGRAM = '''#!/usr/bin/python3 -I
"""What it is."""

# Why.
from __future__ import annotations

import os  # goes, though it shares its line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Error(Exception):
    """Only a docstring."""

    # A comment.


class Keeps:
    size: int = 0


def text(
    name: str, more: Mapping[str, int] | None = None, *rest: str  # ü
) -> tuple[
    str, int
]:
    """Says something.

    At length.
    """
    # A comment.
    found: list[str] = ["ü", name]; kept: int = 3 if more else 4
    return f"""# not a comment

    {name } = {  kept}
""", not -1 and 1 .real or found
'''

THIN = '''#!/usr/bin/python3 -I
from __future__ import annotations
import os
class Error(Exception):
 pass
class Keeps:
 size:int=0
def text(
 name,more=None,*rest
 ):
 found=["ü",name];kept=3 if more else 4
 return f"""# not a comment

    {name } = {  kept}
""",not-1 and 1 .real or found
'''


class Bare(ast.NodeTransformer):
    """Removes from a syntax tree exactly what minifying may leave out."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return None
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TYPE_CHECKING":
            return None
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.body = [self.untyped(each) for each in node.body]
        return self.generic_visit(node)

    def untyped(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return ast.Assign(targets=[node.target], value=node.value)
        return node


def bare(source: str) -> str:
    tree = ast.parse(source)
    Bare().visit(tree)
    return ast.dump(tree)


def test_only_what_its_readers_need_is_left_out() -> None:
    assert minify.python(PROGRAM) == THIN
    assert bare(THIN) == bare(PROGRAM)


@pytest.mark.parametrize(
    "path",
    [places.AGENT_SOURCE, places.PARAMETER_SOURCE, Path(minify.__file__), Path(__file__)],
    ids=lambda path: path.name,
)
def test_the_program_is_the_same_program(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    thin = minify.python(source)
    assert bare(thin) == bare(source)
    assert len(thin) < len(source)
    assert minify.python(thin) == thin


def test_types_stay_where_they_are_evaluated() -> None:
    assert minify.python("def f(a: int) -> int:\n    b: int = a\n    return b\n") == (
        "def f(a:int)->int:\n b:int=a\n return b\n"
    )


def test_a_script_keeps_its_first_line_and_its_commands() -> None:
    assert minify.shell("#!/bin/bash\n# why\n\nx=1 # 2\n    # more\n    echo $#\n") == (
        "#!/bin/bash\nx=1 # 2\necho $#\n"
    )


@pytest.mark.parametrize(
    "path",
    [
        places.BOOTSTRAP_SOURCE,
        places.REPORT_SOURCE,
        places.GUARD_SOURCE,
        *places.INSTALL_SOURCES.values(),
        places.REPOSITORY_SOURCE,
        places.BUILD_SOURCE,
    ],
    ids=lambda path: path.name,
)
def test_the_scripts_have_nothing_that_thinning_would_break(path: Path) -> None:
    script = path.read_text(encoding="utf-8")
    assert "<<-" not in script
    assert "<<E" not in script
    for line in script.splitlines():
        assert line.startswith(" " * (len(line) - len(line.lstrip()))), "indented by spaces alone"


@pytest.mark.subprocess  # starts other interpreters
def test_every_python_makes_the_same_of_the_agent() -> None:
    """`pulumi up` from another machine must not replace the nodes."""
    others = [found for minor in range(10, 16) if (found := shutil.which(f"python3.{minor}"))]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cloudinit import minify; "
        "[sys.stdout.write(minify.python(open(path, encoding='utf-8').read())) for path in sys.argv[2:]]"
    )
    root = Path(minify.__file__).resolve().parents[1]
    sources = sorted((root / "agent").glob("*.py"))
    wanted = "".join(minify.python(source.read_text(encoding="utf-8")) for source in sources)
    for python in [sys.executable, *others]:
        asked = subprocess.run(
            [python, "-c", code, str(root), *map(str, sources)], capture_output=True, text=True, check=False
        )
        # A name on PATH may belong to a version manager that lacks this Python.
        assert asked.returncode != 0 or asked.stdout == wanted, python
