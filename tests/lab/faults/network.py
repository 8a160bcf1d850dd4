"""Faults of the network: for all of them, the fabric drops packets."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tests.lab.errors import LabError
from tests.lab.faults.core import filtering, link
from tests.lab.network_plan import RESOLVER

if TYPE_CHECKING:
    from tests.lab.lab import Lab

PROTOCOLS = {
    "corosync": "udp dport 5405",
    "icmp": "ip protocol icmp",
    "tcp": "ip protocol tcp",
    "udp": "ip protocol udp",
}


def partition(
    lab: Lab, one: str, other: str, protocol: str | None, one_way: bool
) -> AbstractContextManager[None]:
    """Drop packets from `one` to `other` and, unless `one_way`, those back.

    With `protocol`, it drops only those of that protocol. Raises LabError if that is not in PROTOCOLS.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise LabError(f"there is no protocol {protocol!r}", f"use one of {', '.join(PROTOCOLS)}")
    match = f"{PROTOCOLS[protocol]} " if protocol else ""
    ways = [(link(lab, one), link(lab, other))]
    if not one_way:
        ways.append((ways[0][1], ways[0][0]))
    return filtering(
        lab, forward=[f'iifname "{here}" oifname "{there}" {match}counter drop' for here, there in ways]
    )


def silence(lab: Lab, node: str) -> AbstractContextManager[None]:
    """Drop all packets to and from the node, including those of the metadata, name and API services."""
    return _everywhere(lab, node, "counter drop")


def loss(lab: Lab, node: str, percent: float) -> AbstractContextManager[None]:
    """Drop `percent` of the packets to and from the node, at random. Raises LabError outside (0, 100]."""
    if not 0 < percent <= 100:
        raise LabError(f"a loss of {percent} % is out of range", "use more than 0 and at most 100")
    return _everywhere(lab, node, f"numgen random mod 10000 < {round(percent * 100)} counter drop")


def _everywhere(lab: Lab, node: str, verdict: str) -> AbstractContextManager[None]:
    own = link(lab, node)
    inward, outward = f'iifname "{own}" {verdict}', f'oifname "{own}" {verdict}'
    return filtering(lab, forward=[inward, outward], input=[inward], output=[outward])


def dns_down(lab: Lab, node: str) -> AbstractContextManager[None]:
    """The name service does not answer the node; names that the node remembers still work."""
    return filtering(
        lab,
        input=[
            f'iifname "{link(lab, node)}" ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 counter drop'
        ],
    )
