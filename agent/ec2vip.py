#!/usr/bin/python3 -IS
"""OCF resource agent: the program that Pacemaker runs. The rest is in a folder of its own, compiled once.

-I gives a clean environment. -S skips `site`: we need only the standard library.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing takes 7 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIBRARY = "/usr/lib/ocf/lib/ec2vip"


def carry_out(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Carry out the named action; return its OCF exit code."""
    sys.path.insert(0, LIBRARY)
    from agent.ocf import main

    return main(arguments, environ)


def answer(
    arguments: list[str], environ: Mapping[str, str], act: Callable[[list[str], Mapping[str, str]], int]
) -> int:
    """The exit code of `act`; if it raises, the code that keeps the VIP up.

    With the usual `on-fail=block`, a failed stop blocks the VIP on both nodes, although the peer's start would
    move it in any case. A failed probe counts as a second holder, and Pacemaker then stops the first
    (docs/agent.md, "Probes").
    """
    try:
        return act(arguments, environ)
    except Exception as error:
        reason = " ".join(f"unexpected {error!r}".split())
    if arguments == ["stop"]:
        print(f"ERR: stop: {reason}; the next start moves the VIP", file=sys.stderr)
        return 0
    print(f"ocf-exit-reason:{reason}", file=sys.stderr)
    # Pacemaker sets an interval only for a recurring monitor.
    probe = arguments == ["monitor"] and environ.get("OCF_RESKEY_CRM_meta_interval", "0") == "0"
    return 7 if probe else 1


if __name__ == "__main__":
    exit_code = answer(sys.argv[1:], os.environ, carry_out)
    sys.stdout.flush()
    os._exit(exit_code)  # at once, without the interpreter's clean-up
