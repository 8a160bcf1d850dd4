"""Pings at a steady pace from the client host, and writes every answer to the timeline.

Use `with prober.probing(lab, vip): …` from outside. It runs this module as a program in the client's network.
Standard library only, so that it starts at once.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.paths import PROJECT
from tests.lab.timeline import Timeline
from tests.lab.waiting import wait_for

if TYPE_CHECKING:
    from tests.lab.lab import Lab

INTERVAL_S = 0.01
ECHO_REQUEST, ECHO_REPLY = 8, 0
FIRST_ANSWER_LIMIT_S = 10.0


@contextmanager
def probing(lab: Lab, address: str, *, answering: bool = True) -> Iterator[None]:
    """Ping the address every INTERVAL_S while the block runs. The block starts once the address answers.

    Raises LabError if it does not answer within FIRST_ANSWER_LIMIT_S. With `answering=False` the block starts
    at once.
    """
    # A process that enters the lab's mounts loses its working folder.
    python = ["env", f"PYTHONPATH={PROJECT}", sys.executable]
    words = [*lab.in_client(), *python, "-m", "tests.lab.prober", address, str(lab.folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    try:
        if answering:
            began = time.monotonic()
            wait_for(
                f"{address} answers the client",
                lambda: any(e["address"] == address for e in lab.timeline.read("ping", since=began)),
                FIRST_ANSWER_LIMIT_S,
                remedy="see `make status`",
            )
        yield
    finally:
        # The prober ends with its input, whatever other processes are in between.
        process.stdin.close()
        process.wait(10)


def checksum(packet: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def request(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request (RFC 792) without data."""
    head = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum(head), identifier, sequence)


def answered(packet: bytes, identifier: int) -> int | None:
    """The sequence number that this IP packet answers, None if it answers no ping of ours."""
    kind, _, _, named, sequence = struct.unpack("!BBHHH", packet[20:28])
    return sequence if (kind, named) == (ECHO_REPLY, identifier) else None


def main(address: str, folder: str) -> int:
    """Ping until the standard input ends."""
    timeline, identifier, count = Timeline(Path(folder)), os.getpid() & 0xFFFF, 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        due = time.monotonic()
        while True:
            ready, _, _ = select.select([raw, sys.stdin], [], [], max(0.0, due - time.monotonic()))
            if raw in ready:
                packet, (sender, _) = raw.recvfrom(256)
                sequence = answered(packet, identifier) if sender == address else None
                if sequence is not None:
                    timeline.append("ping", address=address, sequence=sequence)
            if sys.stdin in ready:
                return 0
            if time.monotonic() >= due:
                # Having no route at the moment counts as no answer.
                with suppress(OSError):
                    raw.sendto(request(identifier, count & 0xFFFF), (address, 0))
                count, due = count + 1, due + INTERVAL_S


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
