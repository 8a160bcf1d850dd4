"""Where a pair lives: in a VPC made for it, in a subnet made for it, or in an existing subnet."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pulumi


@dataclass(frozen=True, kw_only=True)
class NewVpc:
    """A VPC and a subnet of the pair's own."""

    vpc_cidr: IPv4Network
    subnet_cidr: IPv4Network
    availability_zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewSubnet:
    """A subnet of the pair's own in an existing VPC.

    `internet_gateway_id` is the VPC's. Only public addresses need it: a subnet without a route table of its own
    uses the VPC's main one.
    """

    vpc_id: pulumi.Input[str]
    subnet_cidr: IPv4Network
    internet_gateway_id: pulumi.Input[str] | None = None
    availability_zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExistingSubnet:
    """An existing subnet. Its routes, and whether it gives public addresses, stay as they are.

    If `availability_zone` is known, we check that it has the instance type. `reserved` are the addresses that
    get no reservation: another one covers them, or only the owner of the shared subnet may make one.
    """

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    subnet_arn: pulumi.Input[str]
    subnet_cidr: IPv4Network
    availability_zone: str | None = None
    reserved: frozenset[IPv4Address] = frozenset()


Site = NewVpc | NewSubnet | ExistingSubnet
