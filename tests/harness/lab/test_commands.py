"""Every command has a help text with an example that the Makefile accepts."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from tests.bench import __main__ as bench
from tests.drill import __main__ as drill
from tests.lab import __main__ as lab
from tests.lab.paths import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text()
COMMANDS = {
    (name, command.name or command.callback.__name__): part.app
    for name, part in (("lab", lab), ("drill", drill), ("bench", bench))
    for command in part.app.registered_commands
    if command.callback
}


def test_the_commands_are_those_that_the_makefile_calls() -> None:
    called = set(re.findall(r"\(call WITH_LAB,(lab|drill|bench) ([\w-]+)", MAKEFILE)) | {
        ("lab", "up"),
        ("drill", "prove"),
    }
    assert called == set(COMMANDS)


@pytest.mark.parametrize(("part", "command"), COMMANDS, ids=map(" ".join, COMMANDS))
def test_a_command_has_a_help_with_an_example(part: str, command: str) -> None:
    shown = CliRunner().invoke(COMMANDS[part, command], [command, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    example = re.search(r"Example: (.*)", shown.output)
    assert example is not None
    targets = re.findall(r"make (?:-s )?([\w-]+)", example[1])
    assert targets == [command]
    for variable in re.findall(r"\b([A-Z]+)=", example[1]):
        assert variable in MAKEFILE


def test_help_is_what_comes_without_a_command() -> None:
    for part in (lab, drill, bench):
        assert "Usage" in CliRunner().invoke(part.app, []).output
        assert isinstance(part.app, typer.Typer)
