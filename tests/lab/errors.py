"""The one error of the lab's commands: what is wrong, and what to do about it."""

from __future__ import annotations


class LabError(Exception):
    """Something the person at the keyboard can mend.

    `message` gives the value and the rule, `remedy` the next step. The commands print both on one line and
    exit with status 1; nothing else of the lab prints a traceback for it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message
