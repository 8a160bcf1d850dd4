from __future__ import annotations

import re

from tests.lab.paths import PROJECT
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
