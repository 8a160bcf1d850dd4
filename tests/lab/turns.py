"""One process at a time: a second one waits for the first, and says for which.

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
    """Hold the cache alone: two set-ups at once would make the same things. Makes the cache if there is none.

    Raises LabError if the cache isn't ours, or can't be written.
    """
    try:
        cache.claim()
        lock = os.open(cache_dir() / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LabError(
            f"set-up can't write to {cache_dir()}: {error.strerror}",
            "fix that, or point EC2VIP_CACHE at a folder of yours",
        ) from error
    try:
        _wait_for(lock, "another set-up")
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Let only one process at a time run the block; the file `lock` exists for as long.

    `what` names the other process in the message of one that waits.
    """
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _wait_for(handle, what)
        # The previous holder has removed its file, so the one that we hold may no longer be `lock`.
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
    """Take the lock and write our process id into it, so that others can say whom they wait for."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        say(f"{what} is at work (process {holder or 'unknown'}); waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with contextlib.suppress(OSError):  # on a full disk, nobody learns who it is
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
