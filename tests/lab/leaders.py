"""Finds a guest's first process, by its id on this machine."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.process import children


def find(machine: subprocess.Popen[bytes], look: Callable[[int], int | None]) -> int:
    """The guest's first process, by its id here; waits until `look` gets it from the machine's program."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and machine.poll() is None:
        with contextlib.suppress(OSError):
            if found := look(machine.pid):
                return found
        time.sleep(0.02)
    raise LabError("the guest's process 1 did not start", "look at the end of its console.log")


def process_1(machine: int) -> int | None:
    """The child of systemd-nspawn that has its own pid namespace."""
    own = Path("/proc/self/ns/pid").readlink()
    for child in children(machine):
        if Path(f"/proc/{child}/ns/pid").readlink() != own and _comm(child) in ("systemd", "init"):
            return child
    return None


def in_own_network(machine: int) -> int | None:
    """A hollow guest's only process, None while it is still in this machine's network."""
    own = Path("/proc/self/ns/net").readlink()
    return machine if Path(f"/proc/{machine}/ns/net").readlink() != own else None


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
