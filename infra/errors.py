"""How the stack says what is wrong with its settings: value, rule, remedy, and all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi


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
