"""The one error of the lab's commands: what is wrong, and what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tests.lab.log import say


class LabError(Exception):
    """An error that the user can fix.

    `message` gives the value and the rule, `remedy` the next step. The commands print both on one line,
    without a traceback, and exit with status 1.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


MENDS = {
    errno.ENOSPC: "free some room there",
    errno.EDQUOT: "free some room there",
    errno.EROFS: "make it writable, or point EC2VIP_CACHE or EC2VIP_LABS at a folder that is",
    errno.EACCES: "only root can use a lab: run it with sudo, or as root",
    errno.EPERM: "only root can use a lab: run it with sudo, or as root",
}


def of_system(error: OSError) -> LabError | None:
    """A LabError for what the system refused, None if the user cannot fix it."""
    if error.errno not in MENDS:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return LabError(f"{place}{error.strerror}", MENDS[error.errno])


def explained(act: Callable[[], int]) -> int:
    """What `act` returns; or 1 after an error that the user can fix, with one line on it and its remedy."""
    try:
        return act()
    except LabError as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        if (refused := of_system(error)) is None:
            raise
        say(f"error: {refused}")
        return 1
