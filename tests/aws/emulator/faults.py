"""Faults of the API, of the metadata service and of clocks, for one instance or for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .http import Silence

API_KINDS = ("down", "slow", "hang", "throttled", "denied", "expired")
IMDS_KINDS = ("down", "slow", "hang", "401", "404", "503")
CLOCK_KINDS = ("step",)
SLOW_S = 3.0  # the default delay of "slow"


class Fault:
    """A fault that lasts until `undo()` or the end of its `with` block."""

    def __init__(self, faults: Faults, part: str, instance_id: str | None, kind: str, seconds: float) -> None:
        self._faults = faults
        self.part, self.instance_id, self.kind, self.seconds = part, instance_id, kind, seconds
        self.over = threading.Event()

    def undo(self) -> None:
        """End the fault and release the requests it holds up. A second call does nothing."""
        self._faults._end(self)

    def hold_up(self, closing: threading.Event) -> None:
        """Hold a request up as long as this kind of fault does, and no longer than until `closing` is set.

        Raises Silence if no answer may follow.
        """
        if self.kind == "hang":
            self._wait(None, closing)
        if self.kind in ("down", "hang"):
            raise Silence
        if self.kind == "slow":
            self._wait(self.seconds, closing)

    def _wait(self, seconds: float | None, closing: threading.Event) -> None:
        """Wait until the fault ends, the time is up or the emulator closes."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = 0.1 if end is None else min(0.1, end - time.monotonic())
            if left <= 0 or self.over.wait(left) or closing.is_set():
                return

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"Fault({self.part}, {self.instance_id or 'all'}, {self.kind})"


class Faults:
    """The faults in force. `instance_id` None means every instance, but spares the administrator outside.

    down: the connection is closed without an answer. hang: it stays open without one until the fault ends.
    slow: each answer takes `seconds` longer. throttled, denied: RequestLimitExceeded, UnauthorizedOperation.
    expired: RequestExpired, the error for a caller whose clock is minutes off.
    401, 404, 503: that status for every metadata request.
    step: the instance's clock is `seconds` ahead of the world's (negative: behind).
    """

    def __init__(self, record: Callable[[dict[str, Any]], None] = lambda event: None) -> None:
        self._record = record
        self._lock = threading.Lock()
        self._active: list[Fault] = []

    def api(self, instance_id: str | None = None, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """Break the API. Raises ValueError for an unknown kind."""
        return self._begin("api", instance_id, kind, seconds, API_KINDS)

    def imds(self, instance_id: str | None = None, kind: str = "down", seconds: float = SLOW_S) -> Fault:
        """Break the metadata service. Raises ValueError for an unknown kind."""
        return self._begin("imds", instance_id, kind, seconds, IMDS_KINDS)

    def clock(self, instance_id: str | None = None, kind: str = "step", seconds: float = 0.0) -> Fault:
        """Set clocks `seconds` ahead. Raises ValueError for an unknown kind."""
        return self._begin("clock", instance_id, kind, seconds, CLOCK_KINDS)

    def clock_error(self, instance_id: str | None) -> float:
        """By how many seconds the instance's clock is ahead of the world's."""
        return sum(fault.seconds for fault in self.of("clock", instance_id))

    def active(self) -> list[Fault]:
        with self._lock:
            return list(self._active)

    def of(self, part: str, instance_id: str | None) -> list[Fault]:
        """The faults that hit this instance; none if the caller is not an instance."""
        if instance_id is None:
            return []
        with self._lock:
            return [
                each for each in self._active if each.part == part and each.instance_id in (None, instance_id)
            ]

    def clear(self) -> None:
        """End all faults."""
        for fault in self.active():
            fault.undo()

    def _begin(
        self, part: str, instance_id: str | None, kind: str, seconds: float, kinds: tuple[str, ...]
    ) -> Fault:
        if kind not in kinds:
            raise ValueError(f"{kind!r} is no fault of the {part}; use one of {', '.join(kinds)}")
        fault = Fault(self, part, instance_id, kind, seconds)
        with self._lock:
            self._active.append(fault)
        self._tell(fault, "begins")
        return fault

    def _end(self, fault: Fault) -> None:
        with self._lock:
            if fault not in self._active:
                return
            self._active.remove(fault)
        fault.over.set()
        self._tell(fault, "ends")

    def _tell(self, fault: Fault, what: str) -> None:
        event = {"kind": "fault", "part": fault.part, "instance_id": fault.instance_id, "fault": fault.kind}
        self._record({**event, "what": what})
