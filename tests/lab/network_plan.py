"""Names, addresses and ways inside a lab, the same in every lab: each has network namespaces of its own."""

from __future__ import annotations

import os

TERMINAL = os.environ.get("TERM", "dumb")

FABRIC = "fabric"
CLIENT = "client"
CLIENT_ADDRESS = "10.0.0.10"
"""Inside the VPC's range and in no subnet: a peered or on-premises host as far as security groups can tell."""
CLIENT_GATEWAY = "169.254.0.1"

IMDS = "169.254.169.254"
RESOLVER = "169.254.169.253"
API = "198.51.100.10"
MIRROR = "198.51.100.20"
"""The last two stand for public addresses (RFC 5737), reached as the internet is."""

GUEST_LINK = "ens5"


def link_of(eni_id: str) -> str:
    """The fabric's end of an interface: its id cut to the kernel's 15 characters."""
    return "eni" + eni_id.removeprefix("eni-")[-11:]


def node_words(leader: int, *, hollow: bool = False) -> list[str]:
    """The words before a command that run it as root in the node whose process 1 is `leader`: the node's own root,
    which is nobody on the machine, or in a `hollow` node, which has none, the machine's.

    A shell stands between nsenter and the command: nsenter itself would stop when a shutdown stops the command,
    and then never reap it, which no machine could survive. The shell is not in the node's process namespace, so it
    must not run the command itself either: its own `kill` would meet another process of that number.
    """
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    spaces += [] if hollow else ["--user"]
    path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    shell = ("env", "-i", path, "LANG=C.UTF-8", f"TERM={TERMINAL}", "HOME=/root")
    parent = ("sh", "-c", '(exec "$@"); exit "$?"', "sh")
    return ["nsenter", "--no-fork", "--target", str(leader), *spaces, "--", *shell, *parent]
