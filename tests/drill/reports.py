"""How the drill's results are shown."""

from __future__ import annotations

from tests.drill.trials import Result


def verdict(result: Result) -> str:
    """In a word."""
    return {True: "passed", False: "FAILED", None: "skipped"}[result.passed]


def seconds(time_s: float | None) -> str:
    """A time for a table."""
    return "-" if time_s is None else f"{time_s:.2f}"
