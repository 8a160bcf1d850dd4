"""Programs without the parts that only their readers need, for EC2 takes little user data.

What stays is the very text of the source, so the result does not depend on who renders it: a syntax tree written
out again would differ from one Python to the next, and with it the user data, and nodes would be replaced.
"""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
from collections.abc import Iterator

#: A place in a source: the line from 1, the column in characters from 0.
_Place = tuple[int, int]
#: What to leave out, from and to, and what to put there.
_Cut = tuple[_Place, _Place, str]

_LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def shell(source: str) -> str:
    """A shell script without its comment lines, empty lines and indentation.

    It must hold no here-documents, and no text of several lines.
    """
    lines = [line for line in source.splitlines() if line.startswith("#!") or not _is_idle(line)]
    return "".join(f"{line.lstrip(' ')}\n" for line in lines)


def python(source: str) -> str:
    """A Python program without docstrings, comments, empty lines, functions' types and idle spaces.

    Multi-line strings stay as they are. The types of functions and inside of them, the imports for them under
    `if TYPE_CHECKING:`, and that name's own line are left out only where the program has postponed their
    evaluation, so that it does not notice. A type in a class or a module stays: dataclasses
    and others look for it.

    Raises SyntaxError where `source` is not Python.
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
    # From the end, so that the places before a cut stay where they are; none is inside of another.
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
    """The program without the spaces between what stands apart without them: `x=1`."""
    lines = source.splitlines()
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    gaps: list[tuple[int, int, int]] = []
    formatted = 0  # from Python 3.12 on a formatted text is several tokens; before, it is one
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
    """What dataclasses and the like look for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from (each for each in node.body if isinstance(each, ast.AnnAssign))


def _types(
    lines: list[str], tree: ast.Module, tokens: list[tokenize.TokenInfo], kept: set[int]
) -> Iterator[_Cut]:
    """Types with the colons and arrows before them, and the imports for them."""
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
    """The name alone that a condition looks at, or that is given a value."""
    name = node.test if isinstance(node, ast.If) else node.targets[0]
    return name.id if isinstance(name, ast.Name) else None


def _depths(tokens: list[tokenize.TokenInfo]) -> dict[int, int]:
    """How deep each line is indented, by its number; one that goes on from the line before is one deeper."""
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
    """The lines that begin inside of a text, where spaces count."""
    if isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    ):
        yield from range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
        return  # before Python 3.12 what is inside of a formatted text does not know its place
    for child in ast.iter_child_nodes(node):
        yield from _rows_of_text(child)


def _span(lines: list[str], node: ast.stmt | ast.expr) -> tuple[_Place, _Place]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return _place(lines, node.lineno, node.col_offset), _place(lines, node.end_lineno, node.end_col_offset)


def _place(lines: list[str], row: int, offset: int) -> _Place:
    """ast counts the bytes of UTF-8; tokenize, and a text's own index, count characters."""
    return row, len(lines[row - 1].encode()[:offset].decode())


def _without_space(lines: list[str], start: _Place, end: _Place) -> _Cut:
    """A cut that takes the space before it along."""
    row, column = start
    return (row, len(lines[row - 1][:column].rstrip())), end, ""


def _is_comment(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.COMMENT and not (token.start == (1, 0) and token.string.startswith("#!"))


def _is_idle(line: str) -> bool:
    return line.strip() == "" or line.lstrip().startswith("#")


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
