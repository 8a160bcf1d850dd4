"""Strips from programs what only their readers need, because EC2 takes little user data.

What stays is the very text of the source, so the result is the same on every Python. A syntax tree written out
again would differ from one version to the next. The user data would differ too, and Pulumi would replace the
nodes.
"""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator

#: A place in a source: the line from 1, the column in characters from 0.
_Place = tuple[int, int]
#: What to leave out, from and to, and what to put in its place.
_Cut = tuple[_Place, _Place, str]

_LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def shell(source: str) -> str:
    """The shell script without its comment lines, empty lines and indentation.

    It may have neither here-documents nor multi-line strings.
    """
    lines = [line for line in source.splitlines() if line.startswith("#!") or not _is_idle(line)]
    return "".join(f"{line.lstrip(' ')}\n" for line in lines)


def python(source: str) -> str:
    """The Python program without docstrings, comments, empty lines, functions' type hints and idle spaces.

    Multi-line strings stay as they are. The hints of functions and inside them go only if the program postpones
    the evaluation of annotations, since it then does not notice. So do the imports for them under
    `if TYPE_CHECKING:`, and the assignment of that name. A hint in a class or a module stays, because dataclasses
    and others read it.

    Raises SyntaxError if `source` is not Python.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    cuts = [_without_space(lines, t.start, t.end) for t in tokens if _is_comment(t)]
    cuts += _docstrings(lines, tree)
    if postponing := [node for node in tree.body if _postpones(node)]:
        kept = {id(node) for node in _types_to_keep(tree)}
        cuts += _types(lines, tree, tokens, kept)
        cuts += [] if kept else [(*_span(lines, node), "") for node in postponing]
    fixed = set(_rows_of_text(tree))
    dropped: set[int] = set()
    # From the end, so that the places before a cut stay valid. No cut is inside another.
    for (row, column), (last, end), instead in sorted(cuts, reverse=True):
        lines[row - 1] = lines[row - 1][:column] + instead + lines[last - 1][end:]
        dropped.update(range(row + 1, last + 1))
    depths = _depths(tokens)
    return _closed_up(
        "".join(
            line + "\n" if row in fixed else f"{depths[row] * ' '}{line.lstrip(' ')}\n"
            for row, line in enumerate(lines, start=1)
            if row not in dropped and (row in fixed or line.strip())
        )
    )


def _closed_up(source: str) -> str:
    """The program without the spaces that it does not need: `x=1`."""
    lines = source.splitlines()
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    gaps: list[tuple[int, int, int]] = []
    formatted = 0  # the depth of f-strings: from Python 3.12 on one is several tokens, before it is one
    for before, after in itertools.pairwise(tokens):
        kind = tokenize.tok_name[before.type]
        formatted += (kind == "FSTRING_START") - (kind == "FSTRING_END")
        (row, start), (other, end) = before.end, after.start
        if row != other or start == end or formatted or {before.type, after.type} & set(_LAYOUT):
            continue
        if before.type != tokenize.NUMBER and not (_is_word(before.string[-1]) and _is_word(after.string[0])):
            gaps.append((row, start, end))
    for row, start, end in reversed(gaps):
        lines[row - 1] = lines[row - 1][:start] + lines[row - 1][end:]
    return "\n".join(lines) + "\n"


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _docstrings(lines: list[str], tree: ast.Module) -> Iterator[_Cut]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            needed = len(node.body) == 1 and not isinstance(node, ast.Module)
            yield *_span(lines, node.body[0]), "pass" if needed else ""


def _postpones(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and node.names[0].name == "annotations"
    )


def _types_to_keep(tree: ast.Module) -> Iterator[ast.AnnAssign]:
    """The annotations that dataclasses and the like read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from (each for each in node.body if isinstance(each, ast.AnnAssign))


def _types(
    lines: list[str], tree: ast.Module, tokens: list[tokenize.TokenInfo], kept: set[int]
) -> Iterator[_Cut]:
    """Cuts for type hints, with the colon or arrow before each, and for the imports that they need."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.Assign) and _names(node) == "TYPE_CHECKING":
            yield *_span(lines, node), ""
        elif isinstance(node, ast.arg) and node.annotation is not None:
            row, column = _place(lines, node.lineno, node.col_offset)
            yield (row, column + len(node.arg)), _span(lines, node.annotation)[1], ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            start, end = _span(lines, node.returns)
            arrow = max(token.start for token in tokens if token.string == "->" and token.start < start)
            yield _without_space(lines, arrow, end)
        elif isinstance(node, ast.AnnAssign) and node.value is not None and id(node) not in kept:
            yield _span(lines, node.target)[1], _span(lines, node.annotation)[1], ""


def _names(node: ast.If | ast.Assign) -> str | None:
    """The name that the condition tests or the assignment sets; None if that is more than a name."""
    name = node.test if isinstance(node, ast.If) else node.targets[0]
    return name.id if isinstance(name, ast.Name) else None


def _depths(tokens: list[tokenize.TokenInfo]) -> dict[int, int]:
    """How deep to indent each line, by its number; a continuation of the line before is one deeper."""
    depths: dict[int, int] = {}
    depth, goes_on = 0, False
    for token in tokens:
        depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type == tokenize.NEWLINE:
            goes_on = False
        elif token.type not in _LAYOUT:
            depths.setdefault(token.start[0], depth + goes_on)
            goes_on = goes_on or token.type != tokenize.COMMENT
    return depths


def _rows_of_text(node: ast.AST) -> Iterator[int]:
    """The lines that begin inside a string, where spaces count."""
    if isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    ):
        yield from range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
        return  # before Python 3.12 the nodes inside an f-string have wrong positions
    for child in ast.iter_child_nodes(node):
        yield from _rows_of_text(child)


def _span(lines: list[str], node: ast.stmt | ast.expr) -> tuple[_Place, _Place]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return _place(lines, node.lineno, node.col_offset), _place(lines, node.end_lineno, node.end_col_offset)


def _place(lines: list[str], row: int, offset: int) -> _Place:
    """The place of an ast offset: ast counts bytes of UTF-8; tokenize and string indices count characters."""
    return row, len(lines[row - 1].encode()[:offset].decode())


def _without_space(lines: list[str], start: _Place, end: _Place) -> _Cut:
    """A cut that also removes the space before it."""
    row, column = start
    return (row, len(lines[row - 1][:column].rstrip())), end, ""


def _is_comment(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.COMMENT and not (token.start == (1, 0) and token.string.startswith("#!"))


def _is_idle(line: str) -> bool:
    return line.strip() == "" or line.lstrip().startswith("#")
