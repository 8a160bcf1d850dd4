"""The rules that AWS and this stack have for addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

# RFC 1918, and the shared space of RFC 6598 that VPCs may use too.
PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
# The sizes that a VPC's and a subnet's CIDR may have:
# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
SHORTEST_PREFIX, LONGEST_PREFIX = 16, 28
# AWS keeps the first four addresses of every subnet and the last one:
# https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
RESERVED = {
    0: "the network's own address",
    1: "the VPC router's address",
    2: "the name server's address",
    3: "kept by AWS for future use",
    -1: "the broadcast address",
}


def network_problems(key: str, network: IPv4Network) -> Iterator[str]:
    """What makes this CIDR unfit for a VPC or a subnet; `key` is its setting's name."""
    if not SHORTEST_PREFIX <= network.prefixlen <= LONGEST_PREFIX:
        yield (
            f"{key} {network} has a prefix of /{network.prefixlen}, and AWS takes /{SHORTEST_PREFIX} to "
            f"/{LONGEST_PREFIX}; set ec2vip:{key} to a CIDR of such a size"
        )
    if not any(network.subnet_of(private) for private in PRIVATE):
        yield (
            f"{key} {network} is not private; set ec2vip:{key} to a CIDR inside one of "
            f"{', '.join(str(n) for n in PRIVATE)}"
        )


def nesting_problems(subnet: IPv4Network, vpc: IPv4Network) -> Iterator[str]:
    """What keeps the subnet out of the VPC."""
    if not subnet.subnet_of(vpc):
        yield f"subnetCidr {subnet} is outside vpcCidr {vpc}; set ec2vip:subnetCidr to a part of it"


def pair_problems(
    vips: tuple[IPv4Address, ...],
    nodes: tuple[IPv4Address, ...],
    subnet: IPv4Network | None,
    key: str = "",
) -> Iterator[str]:
    """What keeps these addresses from being a pair's in that subnet.

    `key` is the setting of the VIPs; if it is empty, `vip` for one and `vips` for several. If `subnet` is None, it
    is not known, and its rules are left out.
    """
    key = key or ("vip" if len(vips) == 1 else "vips")
    named = [(key, vip) for vip in vips] + [("nodeIps", node) for node in nodes]
    for name, address in named:
        yield from _address_problems(name, address, subnet)
    for vip in dict.fromkeys(vips):
        if vip in nodes:
            yield f"{key} {vip} is also in nodeIps; set ec2vip:{key} to an address that neither node uses"
        if vips.count(vip) > 1:
            yield f"{key} {vip} is listed {vips.count(vip)} times; list each address once in ec2vip:{key}"
    if len(set(nodes)) < len(nodes):
        yield f"nodeIps {nodes[0]} is listed twice; give each node in ec2vip:nodeIps an address of its own"


def _address_problems(key: str, address: IPv4Address, subnet: IPv4Network | None) -> Iterator[str]:
    if not any(address in private for private in PRIVATE):
        yield (
            f"{key} {address} is not a private address; set ec2vip:{key} from one of "
            f"{', '.join(str(n) for n in PRIVATE)}"
        )
    if subnet is None:
        return
    if address not in subnet:
        yield f"{key} {address} is outside {subnet}; set ec2vip:{key} to an address inside it"
        return
    if subnet.prefixlen > LONGEST_PREFIX:
        return  # too small for a subnet, which network_problems reports
    for index, use in RESERVED.items():
        if address == subnet[index]:
            yield (
                f"{key} {address} is {use} in {subnet}; AWS reserves a subnet's first four addresses and its "
                f"last; set ec2vip:{key} to one from {subnet[4]} to {subnet[-2]}"
            )
