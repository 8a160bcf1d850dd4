"""EC2's request limits: one token bucket for each action of the account in the Region."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """How many tokens a bucket holds, and how many it regains a second."""

    capacity: float
    refill: float


# Source: AWS, EC2 developer guide, "Request throttling for the Amazon EC2 API", rate limits by action.
MUTATING = Rate(50, 5)
FILTERED_READ = Rate(100, 20)
PLAIN_READ = Rate(50, 10)
RATES: Mapping[str, Rate] = {
    "AssignPrivateIpAddresses": Rate(100, 5),
    "UnassignPrivateIpAddresses": Rate(100, 5),
    "StartInstances": Rate(5, 2),
    "TerminateInstances": Rate(100, 5),
    "RunInstances": Rate(5, 2),
}
READS = ("Describe", "Get", "List")


def rate_of(action: str, *, narrowed: bool) -> Rate:
    """The rate of an action. A filter or paging makes a read `narrowed`; ids alone do not."""
    if action in RATES:
        return RATES[action]
    if action.startswith(READS):
        return FILTERED_READ if narrowed else PLAIN_READ
    return MUTATING


class Throttle:
    """Token buckets, full at first."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, Rate], tuple[float, float]] = {}

    def take(self, action: str, *, narrowed: bool) -> bool:
        """Take a token for one call. Returns False, and takes nothing, if there is none."""
        rate = rate_of(action, narrowed=narrowed)
        with self._lock:
            now = self._now()
            tokens, since = self._buckets.get((action, rate), (rate.capacity, now))
            tokens = min(rate.capacity, tokens + (now - since) * rate.refill)
            granted = tokens >= 1
            self._buckets[action, rate] = (tokens - 1 if granted else tokens, now)
            return granted
