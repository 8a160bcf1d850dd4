"""Programs without the parts that only their readers need, for EC2 takes little user data.

The lines that stay are the very lines of the source, so the result does not depend on who renders it.
"""

from __future__ import annotations

import ast


def shell(source: str) -> str:
    """A shell script without its comment lines and empty lines. It must hold no here-documents."""
    return _lines([line for line in source.splitlines() if _needed(line)])


def python(source: str) -> str:
    """A Python program without docstrings, comment lines and empty lines; multi-line strings stay whole.

    Raises SyntaxError where `source` is not Python.
    """
    dropped: set[int] = set()
    kept: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            # A body of nothing but its docstring needs it to be a body.
            if docstring is not None and (len(node.body) > 1 or isinstance(node, ast.Module)):
                dropped.update(_span(docstring))
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            kept.update(_span(node))
    kept -= dropped
    return _lines(
        [
            line
            for number, line in enumerate(source.splitlines(), start=1)
            if number in kept or (number not in dropped and _needed(line))
        ]
    )


def _span(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _needed(line: str) -> bool:
    return line.startswith("#!") or not (line.strip() == "" or line.lstrip().startswith("#"))


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
