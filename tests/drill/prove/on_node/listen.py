"""Pings an address and says when its new holder was heard first.

A program for a client, in Python 3.9 with the standard library. Arguments: the address, when it moves (s since
1970), for how long to ping after that (s). It prints one line of JSON; times are s since 1970 by this host's
clock, which ping(8) of iputils prints with -D.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INTERVAL_S = "0.01"
"""Time between two pings (s), as the drill's own probe has it."""
REPLY = re.compile(r"^\[(\d+\.\d+)\] \d+ bytes from ")


def listen(words: Sequence[str]) -> dict[str, Any]:
    """What to print: `heard`, None if nobody was; or `error`, if that would not be the new holder."""
    address, start, limit = words[0], float(words[1]), float(words[2])
    if time.time() > start:
        return {"error": f"began {time.time() - start:.1f} s too late"}
    ping = subprocess.Popen(
        ["ping", "-n", "-D", "-i", INTERVAL_S, address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # Not ping's own -w: with it, ping ends at the first ICMP error.
    end = threading.Timer(start - time.time() + limit, ping.kill)
    end.start()
    last = ""
    try:
        assert ping.stdout is not None
        for line in ping.stdout:
            last = line.decode(errors="replace").strip() or last
            if not (found := REPLY.match(last)):
                continue
            if float(found[1]) < start:
                return {"error": "somebody answered before the move"}
            return {"heard": float(found[1])}
        return {"heard": None, "said": last[:200]}
    finally:
        end.cancel()
        ping.kill()
        ping.wait()


if __name__ == "__main__":
    print(json.dumps(listen(sys.argv[1:])))
