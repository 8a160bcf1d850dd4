"""How the drill's results are shown."""

from __future__ import annotations

from tests.drill.trials import Result


def verdict(result: Result) -> str:
    """The verdict in one word."""
    return {True: "passed", False: "FAILED", None: "skipped"}[result.passed]


def seconds(time_s: float | None) -> str:
    """A time in seconds, as a table shows it."""
    return "-" if time_s is None else f"{time_s:.2f}"
