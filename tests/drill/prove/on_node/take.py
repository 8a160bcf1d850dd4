"""Moves an address to this node in EC2 with the node's own agent, and says when what happened.

A program for a node, in Python 3.9 with the standard library. Arguments: the address, when to make the call (s
since 1970), for how long to ask EC2 after that (s), the folder of the agent's package. Only tests add the two
places of the metadata and of EC2. It prints one line of JSON; times are s since 1970 by this node's clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

POLL_S = 0.05
"""Time between two questions to EC2 (s)."""


def take(words: Sequence[str]) -> dict[str, Any]:
    """What to print: `began` and `answered` of the call, `described` if EC2 showed it, `reads` (s each).

    If the program comes too late for the common start, or EC2 refuses, it is `error` instead.
    """
    address, start, limit, library = words[0], float(words[1]), float(words[2]), words[3]
    place, _, port = words[4].partition(":") if len(words) > 4 else ("", "", "")
    endpoint = words[5] if len(words) > 5 else ""
    sys.path.insert(0, library)
    from agent.api import Api
    from agent.ec2 import Ec2
    from agent.metadata import ADDRESS, Metadata
    from agent.outcome import AgentError, Deadline
    from agent.record import Record

    exchanges: list[tuple[float, float]] = []

    class Timed(Api):
        """The agent's API client, which also notes when it asked and when EC2 carried that out."""

        def post(self, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
            began = time.time()
            answer = super().post(headers, body)
            if answer[0] == 200:
                exchanges.append((began, time.time()))
            return answer

    until = Deadline(max(0.0, start - time.time()) + limit)
    record = Record("", address)  # never saved
    try:
        imds = Metadata(until, (place, int(port)) if place else ADDRESS)
        vars(record).update(imds.identity())
        vars(record).update(imds.credentials()[0])
        _add(address, record.primary)
        ec2 = Ec2(record, until, endpoint)
        ec2.api = Timed("ec2", record, until, endpoint)
        if time.time() > start:
            return {"error": f"began {time.time() - start:.1f} s too late"}
        time.sleep(max(0.0, start - time.time()))
        ec2.assign(address)
        began, answered = exchanges.pop()
        said: dict[str, Any] = {"began": began, "answered": answered, "described": None}
    except (AgentError, OSError, subprocess.SubprocessError) as error:
        return {"error": str(error)}
    try:
        while until.left():
            if ec2.owner(address)[0] == record.eni:
                said["described"] = exchanges[-1][1]
                break
            time.sleep(POLL_S)
    except (AgentError, OSError):
        pass  # the time is up; what we know is worth telling
    said["reads"] = [ended - began for began, ended in exchanges]
    return said


def _add(address: str, primary: str) -> None:
    """Give the address to this system, on the interface that has the primary one."""
    found = _ip("-4", "-o", "address", "show", "to", f"{primary}/32").split()
    if not found:
        raise OSError(f"no interface has {primary}")
    _ip("address", "replace", f"{address}/32", "dev", found[1])


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, check=True, timeout=10)
    return done.stdout.decode()


if __name__ == "__main__":
    print(json.dumps(take(sys.argv[1:])))
