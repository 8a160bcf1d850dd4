"""Looks up in AWS what a stack's settings only name, and checks the settings against it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumi_aws as aws

from . import existing
from .addressing import pair_problems
from .aws_client import ec2_client
from .config import StackConfig
from .errors import looked_up, raise_if_any
from .network import endpoint_services, reservation_note
from .pair import FloatingIpPairArgs
from .settings import PairSettings, SiteSettings
from .sites import ExistingSubnet, NewSubnet, NewVpc, Site
from .tags import full_name


def pair_args(config: StackConfig, name: str = "ec2vip") -> FloatingIpPairArgs:
    """The component's arguments for this configuration; `name` is the component's.

    Raises ConfigError if the VPC or the subnet in the configuration does not suit the pair.
    """
    return FloatingIpPairArgs(site=_site(config.site, config.pair, name), **vars(config.pair))


def _site(site: SiteSettings, pair: PairSettings, name: str) -> Site:
    if site.subnet_id is not None:
        return _existing_subnet(site.subnet_id, pair, name)
    assert site.subnet_cidr is not None, "StackConfig has it for every new subnet"
    if site.vpc_id is not None:
        return _new_subnet(site.vpc_id, site.subnet_cidr, site.availability_zone, pair, name)
    assert site.vpc_cidr is not None, "StackConfig has one of the three"
    return NewVpc(
        vpc_cidr=site.vpc_cidr, subnet_cidr=site.subnet_cidr, availability_zone=site.availability_zone
    )


def _pair(name: str) -> str:
    """The value of the tag `ec2vip:pair` on what belongs to this stack's component of that name."""
    return full_name(pulumi.get_project(), pulumi.get_stack(), name)


def _existing_subnet(subnet_id: str, pair: PairSettings, name: str) -> ExistingSubnet:
    found = looked_up(
        f"subnetId {subnet_id}",
        "set ec2vip:subnetId to a subnet of this account and Region",
        lambda: aws.ec2.get_subnet(id=subnet_id),
    )
    cidr = IPv4Network(found.cidr_block)
    problems = list(pair_problems(pair.vips, pair.node_ips, cidr))
    if found.map_public_ip_on_launch != pair.public_ips:
        gives = (
            "gives its instances public addresses"
            if found.map_public_ip_on_launch
            else "gives no public addresses"
        )
        problems.append(
            f"publicIps {str(pair.public_ips).lower()} does not match {subnet_id}, which {gives}; set "
            f"ec2vip:publicIps to {str(found.map_public_ip_on_launch).lower()}, or change the subnet"
        )
    settings = _settings(pair)
    problems += existing.taken_problems(subnet_id, settings, _pair(name))
    owner = found.owner_id if found.owner_id and found.owner_id != existing.account() else None
    if owner is None:
        reservations = existing.reservations(subnet_id, ec2_client)
        problems += existing.prefix_problems(reservations, settings)
        reserved = existing.covered(reservations, list(settings), reservation_note(_pair(name)))
        if pair.endpoints:
            problems += _endpoint_problems(pair, found.vpc_id, name)
    else:
        reserved = frozenset(settings)
        if pair.endpoints:
            problems.append(
                f"endpoints true is impossible in {subnet_id}: account {owner} shares it, and only the owner "
                f"can make endpoints in it; set ec2vip:endpoints to false, and ask {owner} for them"
            )
    raise_if_any(problems)
    if owner is not None:
        pulumi.log.warn(
            f"{subnet_id} belongs to account {owner}, and only the owner can reserve addresses in it; ask for "
            f"an explicit CIDR reservation of {', '.join(map(str, settings))}, or AWS may assign them to others"
        )
    return ExistingSubnet(
        vpc_id=found.vpc_id,
        subnet_id=subnet_id,
        subnet_arn=found.arn,
        subnet_cidr=cidr,
        availability_zone=found.availability_zone,
        reserved=reserved,
    )


def _settings(pair: PairSettings) -> dict[IPv4Address, str]:
    """The pair's addresses, each with the setting that it comes from."""
    key = "vips" if len(pair.vips) > 1 else "vip"
    return {**dict.fromkeys(pair.vips, key), **dict.fromkeys(pair.node_ips, "nodeIps")}


def _new_subnet(
    vpc_id: str, subnet_cidr: IPv4Network, zone: str | None, pair: PairSettings, name: str
) -> NewSubnet:
    vpc = looked_up(
        f"vpcId {vpc_id}",
        "set ec2vip:vpcId to a VPC of this account and Region",
        lambda: aws.ec2.get_vpc(id=vpc_id),
    )
    blocks = [IPv4Network(a.cidr_block) for a in vpc.cidr_block_associations]
    problems = []
    if not any(subnet_cidr.subnet_of(block) for block in blocks):
        problems.append(
            f"subnetCidr {subnet_cidr} is outside {vpc_id}, which has {', '.join(map(str, blocks))}; set "
            "ec2vip:subnetCidr to a free part of it"
        )
    if vpc.owner_id and vpc.owner_id != existing.account():
        problems.append(
            f"vpcId {vpc_id} belongs to account {vpc.owner_id}, and only the owner can make subnets in it; set "
            "ec2vip:subnetId to a shared subnet in place of ec2vip:vpcId and ec2vip:subnetCidr"
        )
    gateway = _internet_gateway(vpc_id) if pair.public_ips else None
    if pair.public_ips and gateway is None:
        problems.append(
            f"publicIps true needs an internet gateway, and {vpc_id} has none; attach one, or set "
            "ec2vip:publicIps to false"
        )
    if pair.endpoints:
        problems += _endpoint_problems(pair, vpc_id, name)
    raise_if_any(problems)
    return NewSubnet(
        vpc_id=vpc_id,
        subnet_cidr=subnet_cidr,
        internet_gateway_id=gateway,
        availability_zone=zone,
    )


def _internet_gateway(vpc_id: str) -> str | None:
    """The id of the VPC's internet gateway, of which it can have one at most; None if it has none."""
    by_vpc = aws.ec2.GetInternetGatewayFilterArgs(name="attachment.vpc-id", values=[vpc_id])
    try:
        return str(aws.ec2.get_internet_gateway(filters=[by_vpc]).internet_gateway_id)
    except Exception as e:
        # pulumi_aws raises a bare Exception for every failure; this is its text for "no match".
        if "no matching" not in str(e):
            raise
        return None


def _endpoint_problems(pair: PairSettings, vpc_id: str, name: str) -> list[str]:
    """What keeps the pair's interface endpoints out of the VPC."""
    services = endpoint_services(
        aws.get_region().region,
        pulumi.InvokeOptions(),
        ssm=pair.ssm,
        parameters=pair.fetches_parameters,
    )
    return [*_dns_problems(vpc_id), *existing.endpoint_problems(vpc_id, services, _pair(name))]


def _dns_problems(vpc_id: str) -> list[str]:
    """What keeps an interface endpoint's private name from working in the VPC."""
    vpc = aws.ec2.get_vpc(id=vpc_id)
    if vpc.enable_dns_support and vpc.enable_dns_hostnames:
        return []
    return [
        f"endpoints true needs DNS names in {vpc_id}, but its enableDnsSupport is "
        f"{str(vpc.enable_dns_support).lower()} and its enableDnsHostnames is "
        f"{str(vpc.enable_dns_hostnames).lower()}; turn both on, or set ec2vip:endpoints to false"
    ]
