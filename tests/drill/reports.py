"""How the drill's results are kept and shown."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from tests.drill.trials import Result
from tests.lab.files import write_whole
from tests.lab.paths import BUILD


def plain_console() -> Console:
    """A console that shows text as it is: what a node says may look like rich's markup."""
    return Console(markup=False, emoji=False)


def save(name: str, content: Any) -> None:
    """Write a report into build/, whole or not at all."""
    BUILD.mkdir(exist_ok=True)
    write_whole(BUILD / name, json.dumps(content, indent=2) + "\n")


def verdict(result: Result) -> str:
    """In a word."""
    return {True: "passed", False: "FAILED", None: "skipped"}[result.passed]


def seconds(time_s: float | None) -> str:
    """A time for a table."""
    return "-" if time_s is None else f"{time_s:.2f}"
