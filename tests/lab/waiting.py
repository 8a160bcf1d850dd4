"""Waits until something holds. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.lab.errors import LabError


def wait_for(
    what: str, holds: Callable[[], object], within_s: float, *, pause_s: float = 0.05, remedy: str = ""
) -> None:
    """Return as soon as `holds` is true, looking every `pause_s` seconds.

    Raises LabError, with what we waited for, if that takes more than `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {within_s:g} s", remedy)
        time.sleep(pause_s)
