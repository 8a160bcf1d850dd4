"""Faults of the network, all of them packets that the fabric drops."""

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
    """No packet from `one` to `other`, nor back unless `one_way`; only those of `protocol` where it is named."""
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
    """No packet to or from the node, the metadata, name and API services included."""
    return _everywhere(lab, node, "counter drop")


def loss(lab: Lab, node: str, percent: float) -> AbstractContextManager[None]:
    """So many packets of a hundred to and from the node get lost, at random."""
    if not 0 < percent <= 100:
        raise LabError(f"a loss of {percent} % is none", "name one above 0 and up to 100")
    return _everywhere(lab, node, f"numgen random mod 10000 < {round(percent * 100)} counter drop")


def _everywhere(lab: Lab, node: str, verdict: str) -> AbstractContextManager[None]:
    own = link(lab, node)
    inward, outward = f'iifname "{own}" {verdict}', f'oifname "{own}" {verdict}'
    return filtering(lab, forward=[inward, outward], input=[inward], output=[outward])


def dns_down(lab: Lab, node: str) -> AbstractContextManager[None]:
    """The name service does not answer the node; names that it remembers go on working."""
    return filtering(
        lab,
        input=[
            f'iifname "{link(lab, node)}" ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 counter drop'
        ],
    )
