"""Says when this node's metadata begin or cease to show an address.

A program for a node, in Python 3.9 with the standard library. Arguments: the address, when the move begins (s
since 1970), for how long to look after that (s), the folder of the agent's package, and `shown` or `gone`. Only
tests add the place of the metadata. It prints one line of JSON; times are s since 1970 by this node's clock.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

POLL_S = 0.05
"""Time between two looks (s). The metadata serve a node alone, and refuse one that asks too often."""


def look(words: Sequence[str]) -> dict[str, Any]:
    """What to print: `seen`, None if the time is up; or `error`, if there was no change to wait for."""
    address, start, limit, library = words[0], float(words[1]), float(words[2]), words[3]
    wanted = words[4] == "shown"
    place, _, port = words[5].partition(":") if len(words) > 5 else ("", "", "")
    sys.path.insert(0, library)
    from agent.metadata import ADDRESS, Metadata
    from agent.outcome import AgentError, Deadline

    until = Deadline(max(0.0, start - time.time()) + limit)
    imds = Metadata(until, (place, int(port)) if place else ADDRESS)
    other = False
    try:
        while until.left():
            as_wanted = (address in imds.addresses()) is wanted
            if not as_wanted:
                other = True
            elif time.time() < start:
                other = False
            elif other:
                return {"seen": time.time()}
            else:
                return {"error": "the metadata were so at the first look"}
            time.sleep(POLL_S)
    except TimeoutError:
        pass
    except AgentError as error:
        return {"error": str(error)}
    return {"seen": None}


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1:])))
