"""docs/prove.md has the one list of what only AWS can tell, and it is complete."""

from __future__ import annotations

import re

import pytest

from tests.drill.prove.questions import QUESTIONS
from tests.drill.prove.report import MEASURES
from tests.lab.paths import PROJECT

NOT_ASKED = "not asked: "
OPEN = re.compile(r"not settled|assumed|second-hand|no public source|no bound known", re.IGNORECASE)


def cells(page: str, heading: str) -> list[list[str]]:
    """The rows of all tables below the heading, without the tables' own headings."""
    lines = (PROJECT / page).read_text().partition(f"\n## {heading}\n")[2].splitlines()
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("|")
    ]
    rules = [at for at, row in enumerate(rows) if set("".join(row)) <= set("-|")]
    return [row for at, row in enumerate(rows) if at not in rules and at + 1 not in rules]


LIST = cells("docs/prove.md", "What the lab cannot show")
TABLE = cells("tests/lab/README.md", "Fidelity")
ROW_OF = {question.name: question.row for question in QUESTIONS}


def settled(by: str) -> list[str]:
    """The questions and measures that a row of the list names."""
    return [] if by.startswith(NOT_ASKED) else re.findall(r"`([^`]+)`", by)


@pytest.mark.parametrize("row", LIST, ids=lambda row: row[0])
def test_each_point_has_a_question_or_measure_that_exists_or_a_reason(row: list[str]) -> None:
    _, of, by = row
    assert settled(by) or len(by) > len(NOT_ASKED)
    assert set(settled(by)) <= {*ROW_OF, *MEASURES}
    assert of in {row[0] for row in TABLE}
    assert {ROW_OF[name] for name in settled(by) if name in ROW_OF} <= {of}


def test_each_question_and_each_measure_is_in_the_list_once() -> None:
    assert sorted(name for *_, by in LIST for name in settled(by)) == sorted([*ROW_OF, *MEASURES])


def test_each_open_row_of_the_fidelity_table_is_in_the_list() -> None:
    still_open = {row[0] for row in TABLE if OPEN.search(" ".join(row[1:3]))}
    assert "assigning what the interface has already" in still_open
    assert still_open - {of for _, of, _ in LIST} == set()
