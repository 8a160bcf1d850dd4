"""One at a time: two set-ups at once would make the same things; the second waits for the first.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from tests.lab.log import say
from tests.lab.paths import cache_dir


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the cache, which is made where it isn't there."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
