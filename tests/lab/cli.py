"""What all commands share: options, the console, reports, and how they end."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tests.lab.ending import ENDING
from tests.lab.errors import LabError, explained
from tests.lab.files import write_whole
from tests.lab.log import say
from tests.lab.paths import BUILD, PROJECT
from tests.lab.toolchain import LAB_STACK

INTERRUPTED = 130
"""The exit status with which Typer ends after a KeyboardInterrupt."""

LabOption = Annotated[
    str, typer.Option("--lab", envvar="LAB", help="The lab's name; several may run at once.")
]


def plain_console() -> Console:
    """A console that shows text as it is: what a node says may look like rich's markup."""
    return Console(markup=False, emoji=False)


def app(text: str | None, *, of_any_stack: tuple[str, ...] = ()) -> typer.Typer:
    """A Typer app with this help text. Commands in `of_any_stack` also accept a stack in an AWS account."""
    made = typer.Typer(add_completion=False, no_args_is_help=True, help=text, pretty_exceptions_enable=False)

    @made.callback()
    def only_for_the_lab(context: typer.Context) -> None:
        """Refuse a command for the lab if STACK names another stack."""
        stack = os.environ.get("STACK") or LAB_STACK
        if stack != LAB_STACK and context.invoked_subcommand not in of_any_stack:
            raise LabError(
                f"`make {context.invoked_subcommand}` is for the lab, not for stack {stack!r}",
                f"leave STACK out; for the stack: `pulumi up -s {stack}`, `pulumi destroy -s {stack}`",
            )

    return made


def run(commands: typer.Typer, words: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    It prints one line for a LabError, for what the system refuses (no room, no permission), and for a signal.
    """

    def act() -> int:
        try:
            commands(words)
        except SystemExit as end:  # how Typer ends: usage errors, typer.Exit, Ctrl-C
            if end.code == INTERRUPTED:
                say("interrupted; continue with `make up`, or end the lab with `make down`")
                return ENDING.status if ENDING.number else INTERRUPTED
            return int(end.code or 0)
        return 0

    os.chdir(PROJECT)
    with ENDING.in_order():
        return explained(act)


def now() -> str:
    """The current time (UTC) as reports show it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def machine(started: str) -> dict[str, Any]:
    """What a report says about the machine; `started` is when the measuring began."""
    return {"cpus": os.cpu_count(), "load": os.getloadavg(), "started": started}


def in_build(name: str) -> Path:
    """The path in build/ for a report of this name; makes the folder."""
    BUILD.mkdir(exist_ok=True)
    return BUILD / name


def save(name: str, content: Any) -> None:
    """Write a report into build/, whole or not at all."""
    write_whole(in_build(name), json.dumps(content, indent=2) + "\n")
