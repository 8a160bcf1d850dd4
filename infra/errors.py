"""How the stack reports wrong settings: all of them at once, each with its value, rule and remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pulumi

T = TypeVar("T")

# How many characters of a value a message shows: enough to find it.
SHOWN_MAX = 80


class ConfigError(pulumi.RunError):
    """Settings that cannot work. Pulumi prints the message, with no stack trace, and creates nothing."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the configuration:", *(f"  - {p}" for p in self.problems)]))


def shown(value: object) -> str:
    """The value as a message shows it: on one line, escaped if it cannot be printed, cut short if long."""
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def quoted(value: object) -> str:
    """The value as a message shows it, with a text in quotes."""
    return shown(repr(value))


def raise_if_any(problems: Sequence[str]) -> None:
    """Raise ConfigError with all the problems, if there are any."""
    if problems:
        raise ConfigError(problems)


def looked_up(setting: str, remedy: str, look_up: Callable[[], T]) -> T:
    """What AWS knows about a setting's value. Raises ConfigError with AWS's answer if the look-up fails."""
    try:
        return look_up()
    except Exception as e:  # pulumi raises nothing narrower for a look-up that fails
        answer = str(e).strip().rsplit("api error ", 1)[-1].splitlines()[-1].strip(" *")
        raise ConfigError([f"{setting} cannot be looked up ({answer}); {remedy}"]) from e
