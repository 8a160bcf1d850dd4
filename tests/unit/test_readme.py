from __future__ import annotations

import re

from tests.drill.fault_rows import ROWS
from tests.lab.paths import PROJECT
from tests.proofs import promise
from tests.readme import README, SECTION, settings_table


def test_the_settings_table_is_the_declared_schema() -> None:
    found = SECTION.search(README.read_text())
    assert found
    assert found.group() == settings_table(), "run `python -m tests.readme`"


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`(?:eval \"\$\()?make (?:-s )?([a-z]+)", README.read_text()))
    assert named
    assert named <= targets


def test_every_file_that_the_readme_names_exists() -> None:
    paths = re.findall(r"`((?:tests|infra|cloudinit|agent)/[a-z0-9_/.]+)`", README.read_text())
    assert paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_the_drills_table_says_of_every_row_what_the_code_expects() -> None:
    lines = (PROJECT / "tests/drill/README.md").read_text().splitlines()
    said = {
        row.name: [line for line in lines if line.startswith(f"| `{row.name}`: ")] for row in ROWS.values()
    }
    assert {name: len(found) for name, found in said.items()} == dict.fromkeys(ROWS, 1)
    wrong = [name for name, (line,) in said.items() if not line.startswith(promise(ROWS[name]))]
    assert not wrong, f"the lines are in build/faults.md after make faults: {wrong}"
