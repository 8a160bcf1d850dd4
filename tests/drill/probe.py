"""What a client sees: pings at a steady pace, and the longest time that none was answered.

The tool is ping(8) of iputils, so that the same probe runs in the lab's client, on a bastion, or over a session.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

from tests.lab.errors import LabError

INTERVAL_S = 0.01
"""The pace, and the resolution of every outage that is reported."""

REPLY = re.compile(r"^\[(?P<time>\d+\.\d+)\] \d+ bytes from .*icmp_seq=(?P<sequence>\d+) ")


@dataclass(frozen=True)
class Outage:
    """The longest gap between two answered pings.

    `seconds` leaves out the one interval that lies between any two pings; `lost` counts the pings of the whole
    probe that were never answered; `start` is the time (s since 1970, client's clock) of the last answer before.
    """

    seconds: float
    lost: int
    start: float


def longest_outage(replies: Sequence[tuple[float, int]]) -> Outage:
    """The outage in `replies`, each the time of an answer and its sequence number, in order of arrival.

    Raises LabError with fewer than two of them: nothing was measured.
    """
    if len(replies) < 2:
        raise LabError(f"the client got {len(replies)} answers", "the VIP must answer before a trial starts")
    gap, start = max((after[0] - before[0], before[0]) for before, after in pairwise(replies))
    sequences = {sequence for _, sequence in replies}
    span = max(sequences) - min(sequences) + 1
    return Outage(seconds=max(0.0, round(gap - INTERVAL_S, 3)), lost=span - len(sequences), start=start)


@dataclass
class Probe:
    """A ping that runs while the block does: `with Probe(prefix, vip) as probe: …`, then `probe.outage()`."""

    prefix: Sequence[str]
    address: str
    replies: list[tuple[float, int]] = field(default_factory=list)
    _heard: float = 0.0
    _words: str = ""
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    def __enter__(self) -> Probe:
        self._process = subprocess.Popen(
            [*self.prefix, "ping", "-n", "-D", "-i", str(INTERVAL_S), self.address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := REPLY.match(line):
                self.replies.append((float(match["time"]), int(match["sequence"])))
                self._heard = time.time()
            elif line.strip():
                self._words = line.strip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._reader is not None
        if self._process.poll() is None:
            # The whole group: the words of the prefix stand between this process and ping.
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(5)

    def answered_since(self, moment: float) -> bool:
        """Whether an answer was heard of after `moment` (s since 1970, by this machine's clock: the client's,
        by which gaps are measured, may be another's)."""
        return self._heard > moment

    def wait_for_answers(self, within_s: float) -> None:
        """Return as soon as answers come. Raises LabError where none came `within_s` seconds."""
        started = time.time()
        while not self.answered_since(started):
            if time.time() - started > within_s:
                said = f" (it said last: {self._words})" if self._words else ""
                raise LabError(
                    f"{self.address} did not answer the client within {within_s:.0f} s{said}",
                    "see `make status`",
                )
            time.sleep(INTERVAL_S)

    def outage(self) -> Outage:
        """The longest outage so far."""
        return longest_outage(list(self.replies))


def answers(prefix: Sequence[str], address: str) -> bool:
    """Whether one of three quick pings is answered. Raises LabError where the prefix's program is missing."""
    ping = [*prefix, "ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", address]
    try:
        result = subprocess.run(ping, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{ping[0]} is not installed", "install it, or say another PROBE") from error
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0
