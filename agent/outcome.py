"""What every module needs: OCF's exit codes, the errors that carry them, the log, and deadlines."""

from __future__ import annotations

import os
import sys
import time

SUCCESS, ERR_GENERIC, ERR_ARGS, ERR_UNIMPLEMENTED, ERR_PERM = range(5)
ERR_INSTALLED, ERR_CONFIGURED, NOT_RUNNING = range(5, 8)


TRY_TIME = 0.3  # seconds: with less left, another try would only hide why the last one failed


class AgentError(Exception):
    """Why an action failed: words for a person to act on, and the OCF code that Pacemaker should get."""

    def __init__(self, reason: str, code: int = ERR_GENERIC) -> None:
        super().__init__(one_line(reason))
        self.code = code


class UnansweredError(AgentError):
    """No usable answer came, so we know nothing."""


class NoItemError(UnansweredError):
    """IMDS answered that it has no such item."""


class RefusedError(AgentError):
    """EC2 refused the call."""


def one_line(text: str) -> str:
    """The text on one line: some of EC2's messages span several."""
    return " ".join(text.split())


def log(level: str, text: str) -> None:
    """Log as ocf_log does: to the cluster's syslog facility, or else to stderr, which Pacemaker logs."""
    tag, text = f"ec2vip({os.environ.get('OCF_RESOURCE_INSTANCE', '')})", f"{level}: {one_line(text)}"
    facility = os.environ.get("HA_LOGFACILITY", "none")
    if facility == "none":
        print(f"{tag}: {text}", file=sys.stderr)
        return
    import syslog

    syslog.openlog(tag, syslog.LOG_PID, getattr(syslog, f"LOG_{facility.upper()}", syslog.LOG_DAEMON))
    syslog.syslog(getattr(syslog, f"LOG_{level}"), text)


class Deadline:
    """The moment by which a piece of work must have ended."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left. Raises TimeoutError if there are none: to a socket 0 means "do not wait"."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time is left")
        return left

    def part(self, seconds: float) -> Deadline:
        """A deadline that many seconds from now, or this one if it is earlier."""
        return Deadline(min(seconds, self.end - time.monotonic()))

    def sleep(self, seconds: float) -> bool:
        """Sleep, or return False at once if that would leave no time for another try."""
        if self.end - time.monotonic() < seconds + TRY_TIME:
            return False
        time.sleep(seconds)
        return True
