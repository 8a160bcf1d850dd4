"""What a client sees: pings at a steady pace, and the longest time without an answer.

The tool is ping(8) of iputils, so the same probe runs in the lab's client, on a bastion, or over a session.
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
"""Time between two pings, and the resolution of every reported outage."""

END_LIMIT_S = 15.0
"""How long a ping may take to end (s): through SSM that is some seconds (assumed)."""

REPLY = re.compile(r"^\[(?P<time>\d+\.\d+)\] \d+ bytes from .*icmp_seq=(?P<sequence>\d+) ")


@dataclass(frozen=True)
class Outage:
    """The longest gap between two answered pings.

    `seconds` is its length as `pauses` has it. `lost` counts the unanswered pings
    between the probe's first and last answer. `start` is the time of the last answer before the gap (s since
    1970, client's clock).
    """

    seconds: float
    lost: int
    start: float


def pauses(replies: Sequence[tuple[float, int]], since: float = 0.0) -> list[tuple[float, float, int]]:
    """The pauses between two answers that end after `since`: their start, length and lost pings.

    The start is `since` (s since 1970) at the earliest. The length (s) excludes the one interval that lies
    between any two pings.
    """
    return [
        (start := max(before, since), after - start - INTERVAL_S, number - last - 1)
        for (before, last), (after, number) in pairwise(replies)
        if after > since
    ]


def longest_outage(replies: Sequence[tuple[float, int]]) -> Outage:
    """The longest outage in `replies`.

    Each reply is the time of an answer and its sequence number, in order of arrival. Raises LabError for
    fewer than two replies: they measure nothing.
    """
    if len(replies) < 2:
        raise LabError(f"the client got {len(replies)} answers", "the VIP must answer before a trial starts")
    start, seconds, _ = max(pauses(replies), key=lambda pause: pause[1])
    sequences = {sequence for _, sequence in replies}
    span = max(sequences) - min(sequences) + 1
    return Outage(seconds=max(0.0, round(seconds, 3)), lost=span - len(sequences), start=start)


@dataclass
class Probe:
    """A ping that runs as long as its block: `with Probe(prefix, vip) as probe: …`, then `probe.outage()`."""

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
            # We signal the whole group: the prefix's programs run between this process and ping.
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(5)

    def answered_since(self, moment: float) -> bool:
        """Whether an answer arrived after `moment` (s since 1970, by this machine's clock).

        We measure gaps by the client's clock, which may be a different one.
        """
        return self._heard > moment

    def wait_for_answers(self, within_s: float) -> None:
        """Return once an answer arrives. Raises LabError if none does within `within_s` seconds."""
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
    """Whether one of three quick pings is answered. Raises LabError if the prefix's program is missing."""
    ping = [*prefix, "ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", address]
    try:
        result = subprocess.run(ping, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{ping[0]} is not installed", "install it, or set another PROBE") from error
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0
