from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cloudinit import slim, userdata

PROGRAM = '''#!/usr/bin/python3 -I
"""What it is."""

# Why.
import os  # kept: it shares its line


class Error(Exception):
    """Only a docstring."""


def text(name: str) -> str:
    """Says something.

    At length.
    """
    # A comment.
    return f"""# not a comment

{name}
"""
'''


def without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or node.body
    return ast.dump(tree)


def test_only_what_its_readers_need_is_left_out() -> None:
    assert slim.python(PROGRAM) == (
        "#!/usr/bin/python3 -I\n"
        "import os  # kept: it shares its line\n"
        "class Error(Exception):\n"
        '    """Only a docstring."""\n'
        "def text(name: str) -> str:\n"
        '    return f"""# not a comment\n\n{name}\n"""\n'
    )


@pytest.mark.parametrize("path", [userdata.AGENT_SOURCE, Path(slim.__file__)], ids=lambda path: path.name)
def test_the_program_is_the_same_program(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    thin = slim.python(source)
    assert without_docstrings(thin) == without_docstrings(source)
    assert len(thin) < len(source)
    assert slim.python(thin) == thin


def test_a_script_keeps_its_first_line_and_its_commands() -> None:
    assert slim.shell("#!/bin/bash\n# why\n\nx=1 # 2\n    # more\n  echo $#\n") == (
        "#!/bin/bash\nx=1 # 2\n  echo $#\n"
    )


def test_the_bootstrap_has_nothing_that_thinning_would_break() -> None:
    script = userdata.BOOTSTRAP_SOURCE.read_text(encoding="utf-8")
    assert "<<-" not in script
    assert "<<E" not in script
