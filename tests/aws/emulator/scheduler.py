"""Runs delayed actions in order, in one thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Scheduler:
    """Runs actions after a delay in seconds; without a delay, at once and in the caller's thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def after(self, delay: float, action: Callable[[], object]) -> None:
        """Run the action after `delay` seconds; never, if the delay is infinite."""
        if delay <= 0:
            action()
            return
        if math.isinf(delay):
            return
        with self._changed:
            heapq.heappush(self._due, (self._now() + delay, next(self._numbers), action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="emulator-scheduler", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Drop the actions that are still due, and stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > self._now()):
                    wait = self._due[0][0] - self._now() if self._due else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, action = heapq.heappop(self._due)
            try:
                action()
            except Exception:
                log.exception("an action of the scheduler failed")
