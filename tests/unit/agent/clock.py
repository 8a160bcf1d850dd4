"""The agent's time in these tests: it passes while the agent waits, but not because this machine is busy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent import api, metadata, outcome, record, rules

PATIENCE = 60.0
"""Real seconds for one exchange with a test's server, however busy the machine is."""
SHORT = 0.1
"""Real seconds for an exchange that must not be answered in time; how far it gets makes no difference."""
IMDS_S, API_S = 0.005, 0.3
"""The seconds that one exchange takes by the agent's clock."""


class Clock:
    """Replaces the module `time`: a sleep returns at once and advances the clock."""

    now = 1e6
    gmtime, strftime = staticmethod(time.gmtime), staticmethod(time.strftime)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def time(self) -> float:
        return time.time()


class Patience(outcome.Deadline):
    """A deadline in real time. In the process that waits for an answer, it also ends once `heard` is true."""

    def __init__(self, seconds: float, heard: Callable[[], bool] | None = None) -> None:
        self.end, self.heard, self.owner = time.monotonic() + seconds, heard, os.getpid()
        self.begun = False

    def left(self) -> float:
        waits = self.heard and self.begun and os.getpid() == self.owner
        self.begun = True
        while waits and time.monotonic() < self.end:
            if self.heard and self.heard():
                self.end = time.monotonic()
            time.sleep(0.01)
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time is left")
        return left


class Exchanges:
    """The agent's exchanges with servers; `imds_s` and `api_s` are the real seconds that each may take.

    By the agent's clock, an exchange takes IMDS_S or API_S, or all of its time if it does not end.
    """

    def __init__(self, patch: pytest.MonkeyPatch, clock: Clock) -> None:
        self.clock, self.imds_s, self.api_s = clock, PATIENCE, PATIENCE
        self.heard: Callable[[], bool] | None = None
        real_imds, real_api = metadata.exchange, api.over_tls
        patch.setattr(
            metadata, "exchange", lambda *given: self._timed(real_imds, given, Patience(self.imds_s), IMDS_S)
        )
        patch.setattr(
            api,
            "over_tls",
            lambda *given: self._timed(real_api, given, Patience(self.api_s, self.heard), API_S),
        )

    def _timed(
        self, exchange: Callable[..., Any], given: tuple[Any, ...], until: Patience, takes: float
    ) -> Any:
        nominal: outcome.Deadline = given[-1]
        nominal.left()
        try:
            answer = exchange(*given[:-1], until)
        except TimeoutError:
            self.clock.now = max(self.clock.now, nominal.end)
            raise
        self.clock.now += takes
        return answer


def tick(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Make the agent use this clock."""
    for module in (rules, record, outcome):
        patch.setattr(module, "time", clock)
