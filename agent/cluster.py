"""Asks Corosync for the membership, and tells Pacemaker which node took the VIP last."""

from __future__ import annotations

import os

from agent.metadata import is_ipv4
from agent.outcome import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

QUORUM_TIMEOUT = 2.0  # seconds
QUORUMTOOL = "/usr/sbin/corosync-quorumtool"
COROSYNC_CONF = "/etc/corosync/corosync.conf"

# Far below the cluster's stickiness, so it only decides if two nodes have the VIP.
PREFERENCE = 100
PREFER_AFTER = 0.3  # seconds: IPaddr2 has begun by then, and a woken peer takes half a second to rejoin
PREFER = 'sleep "$1"; exec cibadmin --modify --allow-create --scope constraints --xml-text "$2"'


def membership() -> tuple[str, str]:
    """The number of members, this one included, and the ring's id, new with each change; "" if unknown."""
    import subprocess

    try:
        done = subprocess.run([QUORUMTOOL, "-s"], capture_output=True, text=True, timeout=QUORUM_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return "", ""
    found = ["".join(done.stdout.partition(f"\n{item}:")[2].split()[:1]) for item in ("Nodes", "Ring ID")]
    return found[0], found[1]


def members(path: str = COROSYNC_CONF) -> set[str]:
    """The addresses of all configured members; empty if the file is unreadable or has names instead."""
    import re

    try:
        with open(path, encoding="utf-8") as file:
            found = set(re.findall(r"(?m)^\s*ring\d+_addr\s*:\s*(\S+)", file.read()))
    except (OSError, ValueError):
        return set()
    return found if all(map(is_ipv4, found)) else set()


def prefer(environ: Mapping[str, str]) -> None:
    """Tell the cluster, in the background, that this node took the VIP last.

    A holder that stalls for longer than the token wakes up and still believes that it has the VIP. When the
    two nodes see each other again, there are two holders. With this constraint Pacemaker starts the VIP on the
    right one. The constraint is also the newest change of the CIB, so this node's CIB wins over the woken
    node's. We write it after a pause: an immediate change would make Pacemaker recompute its transition midway.
    """
    resource, node = environ.get("OCF_RESOURCE_INSTANCE"), environ.get("OCF_RESKEY_CRM_meta_on_node")
    if not resource or not node:
        return
    place = f'<rsc_location id="{resource}-taker" rsc="{resource}" node="{node}" score="{PREFERENCE}"/>'
    words = ["sh", "-c", PREFER, "sh", str(PREFER_AFTER), place]
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    try:
        os.posix_spawn("/bin/sh", words, dict(os.environ), file_actions=null)
    except OSError as error:
        log("WARNING", f"cannot tell the cluster who took the VIP: {error}")
