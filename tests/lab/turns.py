"""One at a time: the second waits for the first, and says for whom.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tests.lab import cache
from tests.lab.errors import LabError
from tests.lab.log import say
from tests.lab.paths import cache_dir


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the cache, which is made where it isn't there: two set-ups at once would make the same things.

    Raises LabError if the cache isn't ours, or can't be written.
    """
    try:
        cache.claim()
        lock = os.open(cache_dir() / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LabError(
            f"set-up can't write to {cache_dir()}: {error.strerror}",
            "mend that, or point EC2VIP_CACHE at a folder of yours",
        ) from error
    try:
        _wait_for(lock, "another set-up")
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Be the only one who does `what`; the file `lock` is there for as long."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _wait_for(handle, what)
        # The one before has removed its file: what was waited for may no longer be the file of that name.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), lock.stat()):
                break
        os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _wait_for(lock: int, what: str) -> None:
    """Take the lock; whoever has it has written its process id into it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        say(f"{what} is at work (process {holder or 'unknown'}); waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with contextlib.suppress(OSError):  # a full disk: then nobody learns who it is
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
