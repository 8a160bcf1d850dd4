"""How the stack says what is wrong with its settings: value, rule, remedy, and all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pulumi

T = TypeVar("T")


class ConfigError(pulumi.RunError):
    """Settings that cannot work. Pulumi prints the message, with no stack trace, and creates nothing."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the configuration:", *(f"  - {p}" for p in self.problems)]))


def raise_if_any(problems: Sequence[str]) -> None:
    """Raise ConfigError with all the problems, if there are any."""
    if problems:
        raise ConfigError(problems)


def looked_up(setting: str, remedy: str, look_up: Callable[[], T]) -> T:
    """What AWS knows about a setting's value. Raises ConfigError with its answer where it does not know it."""
    try:
        return look_up()
    except Exception as e:  # pulumi raises nothing narrower for a look-up that fails
        answer = str(e).strip().rsplit("api error ", 1)[-1].splitlines()[-1].strip(" *")
        raise ConfigError([f"{setting} cannot be looked up ({answer}); {remedy}"]) from e
