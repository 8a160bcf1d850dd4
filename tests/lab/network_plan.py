"""Names, addresses and ways inside a lab. All labs share them, since each has its own network namespaces."""

from __future__ import annotations

import os

TERMINAL = os.environ.get("TERM", "dumb")

FABRIC = "fabric"
CLIENT = "client"
CLIENT_ADDRESS = "10.0.0.10"
"""In the VPC's range, but in no subnet: to security groups, it is a peered or on-premises host."""
CLIENT_GATEWAY = "169.254.0.1"

IMDS = "169.254.169.254"
RESOLVER = "169.254.169.253"
API = "198.51.100.10"
MIRROR = "198.51.100.20"
"""API and MIRROR stand for public addresses (RFC 5737); nodes reach them as they would the internet."""

GUEST_LINK = "ens5"


def link_of(eni_id: str) -> str:
    """The name of the fabric's end of an interface: its id, cut to fit the kernel's 15 characters."""
    return "eni" + eni_id.removeprefix("eni-")[-11:]


def node_words(leader: int, *, hollow: bool = False) -> list[str]:
    """The command prefix that runs a command as root in the node whose process 1 is `leader`.

    That is the node's own root, which is an unprivileged user on the machine. A `hollow` node has no root of
    its own, so there it is the machine's.

    A shell stands between nsenter and the command. When a shutdown stops the command, nsenter would stop too
    and never reap it, so the machine could not end. The shell itself is outside the node's process namespace,
    so it runs the command in a child, which is inside. Otherwise a `kill` in the command would hit another
    process with that number.
    """
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    spaces += [] if hollow else ["--user"]
    path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    shell = ("env", "-i", path, "LANG=C.UTF-8", f"TERM={TERMINAL}", "HOME=/root")
    parent = ("sh", "-c", '(exec "$@"); exit "$?"', "sh")
    return ["nsenter", "--no-fork", "--target", str(leader), *spaces, "--", *shell, *parent]
