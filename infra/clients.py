"""Who may reach the VIP: the rules of `clients`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from .errors import quoted, shown

# Corosync's port (corosync.conf(5), `mcastport`).
COROSYNC_PORT = 5405
# The rules of a security group, in each direction (VPC user guide, "Amazon VPC quotas").
RULES_MAX = 60
PROTOCOLS = ("tcp", "udp", "icmp")
KEYS = ("protocol", "ports", "cidr", "securityGroup")
SECURITY_GROUP_ID = re.compile(r"sg-[0-9a-f]{8,17}")
# An ICMP rule's "ports" are a type and a code; -1 is any code:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
ECHO_REQUEST, ANY_CODE = 8, -1


@dataclass(frozen=True, kw_only=True)
class ClientRule:
    """One way to the VIP, for one source.

    `from_port` and `to_port` are as EC2 has them: a range of ports, or ICMP's type and code. At most one of
    `cidr` and `security_group` is set; with neither, the rule is for the stack's own client group alone.
    """

    protocol: str
    from_port: int
    to_port: int
    cidr: IPv4Network | None = None
    security_group: str | None = None

    @property
    def service(self) -> str:
        """The protocol and ports in a form fit for a resource's name: `tcp-443`, `udp-5000-5010`, `icmp`."""
        if self.protocol == "icmp":
            return "icmp"
        ports = [str(self.from_port)] + ([str(self.to_port)] if self.to_port != self.from_port else [])
        return "-".join([self.protocol, *ports])

    @property
    def source(self) -> str | None:
        """Who may reach the VIP so, in a form fit for a resource's name; None for the client group alone."""
        if self.cidr is not None:
            return str(self.cidr).replace("/", "-")
        return self.security_group


class ClientRuleError(ValueError):
    """What is wrong with one entry of `clients`."""


def parse_rule(entry: object) -> list[ClientRule]:
    """One entry of `clients` as rules, one for each range of its ports. Raises ClientRuleError."""
    if not isinstance(entry, Mapping):
        raise ClientRuleError("is not a mapping; write {protocol: tcp, ports: 443, cidr: 10.0.0.0/16}")
    for key in entry:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(KEYS)}"
            raise ClientRuleError(f"has the unknown key {shown(str(key))}; {hint}")
    protocol = entry.get("protocol")
    if protocol not in PROTOCOLS:
        raise ClientRuleError(f"has the protocol {quoted(protocol)}; set it to one of {', '.join(PROTOCOLS)}")
    cidr, group = _source(entry)
    ranges = _ports(protocol, entry.get("ports"))
    for low, high in ranges:
        if protocol == "udp" and low <= COROSYNC_PORT <= high:
            raise ClientRuleError(
                f"has the udp ports {low}-{high}, but {COROSYNC_PORT} is Corosync's, between the nodes only; "
                f"leave {COROSYNC_PORT} out"
            )
    return [
        ClientRule(protocol=protocol, from_port=low, to_port=high, cidr=cidr, security_group=group)
        for low, high in ranges
    ]


def quota_problems(clients: Sequence[ClientRule]) -> Iterator[str]:
    """Which of the stack's security groups, from network.make_groups, would get more rules than EC2 takes."""
    services = len({rule.service for rule in clients})
    corosync = 1
    into_nodes = corosync + len([rule for rule in clients if rule.source is not None]) + services
    for count, what in ((into_nodes, "the nodes' group"), (services, "the clients' group")):
        if count > RULES_MAX:
            yield (
                f"clients needs {count} rules in {what}, but EC2 takes {RULES_MAX} by default; join "
                "neighbouring ports and networks in ec2vip:clients, or name a securityGroup in place of many "
                "networks"
            )


def _source(entry: Mapping[str, Any]) -> tuple[IPv4Network | None, str | None]:
    cidr, group = entry.get("cidr"), entry.get("securityGroup")
    if cidr is not None and group is not None:
        raise ClientRuleError(
            f"has both cidr {shown(str(cidr))} and securityGroup {shown(str(group))}; write one entry for each"
        )
    if group is not None and not SECURITY_GROUP_ID.fullmatch(str(group)):
        raise ClientRuleError(
            f"has the securityGroup {quoted(group)}; set it to an id such as sg-0123456789abcdef0"
        )
    if cidr is None:
        return None, group
    try:
        return IPv4Network(str(cidr)), None
    except ValueError as e:
        raise ClientRuleError(
            f"has the cidr {quoted(cidr)}: {shown(str(e))}; set it to a network such as 10.0.0.0/16"
        ) from None


def _ports(protocol: str, ports: object) -> list[tuple[int, int]]:
    if protocol == "icmp":
        if ports is not None:
            raise ClientRuleError(
                f"has ports {shown(str(ports))}, but icmp has no ports; remove them (icmp admits echo requests)"
            )
        return [(ECHO_REQUEST, ANY_CODE)]
    if ports is None:
        raise ClientRuleError(f"has no ports; set ports to a port or a range of {protocol}, such as 443")
    wanted = ports if isinstance(ports, Sequence) and not isinstance(ports, str) else [ports]
    if not wanted:
        raise ClientRuleError(f"has an empty list of ports; set ports to those of {protocol}, such as 443")
    return [_range(port) for port in wanted]


def _range(ports: object) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?", str(ports))
    if match is None:
        raise ClientRuleError(
            f"has the ports {quoted(ports)}; write a port or a range, such as 443 or 8000-8010"
        )
    low, high = int(match[1]), int(match[2] or match[1])
    if not 1 <= low <= high <= 65535:
        raise ClientRuleError(f"has the ports {ports}; ports go from 1 to 65535, the lower one first")
    return low, high
