"""Every test that the lab README's fidelity table names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.paths import PROJECT

README = PROJECT / "tests/lab/README.md"
NAMED = re.compile(r"`(?P<file>(?:(?:engine|cluster)/)?[\w.]*)(?:::(?P<test>\w+))?`")


def named() -> list[tuple[Path, str]]:
    """File and test of each reference in the tables' last columns; `::test_x` is in the file before it."""
    found, file = [], Path()
    for row in README.read_text().partition("## Fidelity")[2].splitlines():
        for match in NAMED.finditer(row.rpartition(" | ")[2] if row.startswith("|") else ""):
            if "/" in match["file"]:
                file = PROJECT / "tests" / match["file"]
            elif match["file"].endswith(".py"):
                file = PROJECT / "tests/harness/aws" / match["file"]
            elif match["file"]:
                file = PROJECT / f"tests/cluster/test_lab_{match['file']}.py"
            found.append((file, match["test"] or ""))
    return found


def rows() -> list[list[str]]:
    """The cells of every row of the tables, without the headings."""
    table = [
        row for row in README.read_text().partition("## Fidelity")[2].splitlines() if row.startswith("|")
    ]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table]
    return [row for row in cells if row[0] not in ("behaviour", "fault") and not row[0].startswith("---")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_is_complete_and_has_a_test_or_is_not_emulated(row: list[str]) -> None:
    assert all(row)
    assert len(row) in (3, 4)
    assert "test" in row[-1] or row[-1] == "the same" or "not emulated" in row[-2]


def test_the_tables_name_many_tests() -> None:
    assert len(named()) > 70


@pytest.mark.parametrize(("file", "test"), named(), ids=lambda value: getattr(value, "name", value))
def test_a_test_that_the_tables_name_exists(file: Path, test: str) -> None:
    assert f"def {test}" in file.read_text()
