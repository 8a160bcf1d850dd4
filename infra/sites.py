"""Where a pair lives: in a VPC made for it, in a subnet made for it, or in a subnet that is there."""

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
    """A subnet of the pair's own in a VPC that is there.

    `internet_gateway_id` is the VPC's, and is needed for public addresses alone: a subnet without a route
    table of its own uses the VPC's main one.
    """

    vpc_id: pulumi.Input[str]
    subnet_cidr: IPv4Network
    internet_gateway_id: pulumi.Input[str] | None = None
    availability_zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExistingSubnet:
    """A subnet that is there, with its routes and its way with public addresses, which stay as they are.

    `availability_zone` is checked for the instance type if it is known. `reserved` are addresses that get no
    reservation: another one covers them, or only the owner of a shared subnet may make one.
    """

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    subnet_arn: pulumi.Input[str]
    subnet_cidr: IPv4Network
    availability_zone: str | None = None
    reserved: frozenset[IPv4Address] = frozenset()


Site = NewVpc | NewSubnet | ExistingSubnet
