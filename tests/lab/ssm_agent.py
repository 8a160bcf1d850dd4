"""Runs a script in a guest, in place of its SSM agent: guests have none, and no way to Systems Manager."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Protocol

from tests.lab.cgroup import Cgroup
from tests.lab.network_plan import node_words

KILLED = 128 + signal.SIGKILL
GONE_S = 1.0
"""Limit for the hypervisor to notice that a guest has lost its power; its processes die a moment earlier."""
LAST_OUTPUT_S = 5.0
"""Limit for reading the output of a script that was killed. A process that left its group may hold it open."""


class Guest(Protocol):
    """What we need of a node: its first process, None while it has no power, and its control group."""

    @property
    def leader(self) -> int | None: ...

    @property
    def group(self) -> Cgroup: ...


def run(guest: Guest, lines: Sequence[str], limit_s: float, *, hollow: bool) -> tuple[int, str] | None:
    """The exit status and standard output of a shell script that runs as the guest's root.

    None if the guest has no power or stands still. After `limit_s` seconds we kill the script and raise
    TimeoutError. A guest that loses its power meanwhile says nothing any more, so that is the same.
    """
    began, leader = time.monotonic(), guest.leader
    if leader is None or guest.group.is_frozen():
        return None
    process = subprocess.Popen(
        [*node_words(leader, hollow=hollow), "sh", "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=LAST_OUTPUT_S)
        raise TimeoutError(f"the script ran for {limit_s:.0f} s") from None
    ended = time.monotonic()
    while process.returncode == KILLED and guest.leader == leader and time.monotonic() < ended + GONE_S:
        time.sleep(0.02)
    if guest.leader != leader:
        time.sleep(max(0.0, began + limit_s - time.monotonic()))
        raise TimeoutError("the guest lost its power")
    return process.returncode, output
