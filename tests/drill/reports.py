"""How the drill's results are kept and shown."""

from __future__ import annotations

import json
from typing import Any

from tests.drill.trials import Result
from tests.lab.paths import BUILD


def save(name: str, content: Any) -> None:
    """Write a report into build/, whole or not at all."""
    BUILD.mkdir(exist_ok=True)
    aside = BUILD / f"{name}.part"
    aside.write_text(json.dumps(content, indent=2) + "\n")
    aside.replace(BUILD / name)


def verdict(result: Result) -> str:
    """In a word."""
    return {True: "passed", False: "FAILED", None: "skipped"}[result.passed]


def seconds(time_s: float | None) -> str:
    """A time for a table."""
    return "-" if time_s is None else f"{time_s:.2f}"
