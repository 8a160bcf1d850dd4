"""Finds a guest's first process, by its id on this machine."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.process import children

HOLLOW_GUEST = """
import signal, sys
for button in sys.argv[1:]:
    signal.signal(int(button), lambda *_: sys.exit())
while True: signal.pause()
"""
"""Heeds the power button by a handler: without one, even a frozen process would die of the signal."""


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
    """A hollow guest's only process, None while it is in this machine's network or heeds no power button yet."""
    own = Path("/proc/self/ns/net").readlink()
    return machine if Path(f"/proc/{machine}/ns/net").readlink() != own and _handles(machine) else None


def _handles(process: int) -> bool:
    """Whether the process handles real-time signals (SigCgt of proc_pid_status(5): the lowest bit is signal 1)."""
    status = Path(f"/proc/{process}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return int(caught, 16) >> (signal.SIGRTMIN - 1) > 0


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
