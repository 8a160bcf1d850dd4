"""Starts and ends other programs: `run()` for those that end, `is_alive()`/`end()` for those that last.

Standard library only: set-up uses it before the virtual environment exists.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabError

TAIL_LINES = 12
"""How much of a failed program's output an error repeats."""


class CommandError(LabError):
    """A program failed. Carries its command line, exit status and both streams."""

    def __init__(self, argv: Sequence[str], status: int, stdout: str, stderr: str, remedy: str = "") -> None:
        tail = "\n".join((stdout + stderr).strip().splitlines()[-TAIL_LINES:])
        super().__init__(f"`{' '.join(argv)}` ended with status {status}:\n{tail}", remedy)
        self.argv, self.status, self.stdout, self.stderr = list(argv), status, stdout, stderr


def run(
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002 (subprocess.run calls it so)
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = 120,
    check: bool = True,
    remedy: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its result, output captured as text.

    `env` is added to this process's environment. Raises CommandError if `check` is set and the status is not
    0. Raises LabError if the program is missing or takes longer than `timeout_s` seconds.
    """
    try:
        result = subprocess.run(
            list(argv),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            timeout=timeout_s,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{argv[0]} is not installed", "run `make up` as root: it installs what it needs"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(argv)}` did not end within {timeout_s:.0f} s", remedy) from error
    if check and result.returncode != 0:
        raise CommandError(argv, result.returncode, result.stdout, result.stderr, remedy)
    return result


@dataclass(frozen=True)
class ProcessId:
    """Identifies one process for good: its id together with its start time (clock ticks since boot).

    By the time we use it, the id alone may belong to another process.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The process that has `pid` now. Raises LabError if there is none."""
        started = _start_time(pid)
        if started is None:
            raise LabError(f"there is no process {pid}")
        return cls(pid, started)

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return _start_time(self.pid) == self.started

    def end(self, *, grace_s: float, timeout_s: float = 20.0) -> None:
        """Send SIGTERM and, after `grace_s` seconds, SIGKILL; returns when the process is gone.

        Raises LabError if it is still there after `timeout_s` more seconds.
        """
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, timeout_s)):
            if not self.is_alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + wait_s
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.is_alive():
            raise LabError(
                f"process {self.pid} did not end", f"see /proc/{self.pid}/stack, then end it by hand"
            )


def children(pid: int) -> list[int]:
    """The ids of the process's children now, whichever of its threads started them."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), None if the process is gone or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
