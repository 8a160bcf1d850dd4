"""The component: two nodes, and the address that floats between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from urllib.parse import urlsplit

import pulumi
import pulumi_aws as aws

from cloudinit.platforms import platform
from cloudinit.spec import Service
from cloudinit.userdata import installer

from .addressing import pair_problems
from .aws_client import check_place, ec2_client
from .clients import ClientRule, quota_problems
from .errors import raise_if_any
from .identity import make_identity
from .known import Known
from .network import (
    EndpointService,
    Subnet,
    endpoint_services,
    make_endpoints,
    make_groups,
    make_subnet,
    reserve,
)
from .nodes import Machine, make_nodes, specs
from .operation import Operation
from .rollout import Rollout
from .sites import ExistingSubnet, Site
from .tags import Scope, tag_problems
from .watch import Expected, Watch
from .zones import check_zone, new_zone, zones_with

TYPE = "ec2vip:index:FloatingIpPair"

# The names under which a stack exports a pair's outputs.
VIP = "vip"
VIPS = "vips"
VIP_CIDR = "vipCidr"
VPC_ID = "vpcId"
SUBNET_ID = "subnetId"
NODE_IDS = "nodeIds"
NODE_PRIVATE_IPS = "nodePrivateIps"
SECURITY_GROUP_ID = "securityGroupId"
CLIENT_SECURITY_GROUP_ID = "clientSecurityGroupId"
ROLE_ARN = "roleArn"
INSTANCE_PROFILE_NAME = "instanceProfileName"


@dataclass(frozen=True, kw_only=True)
class FloatingIpPairArgs:
    """What a pair is made from.

    `vip` floats, and so do `more_vips`, with it where they can; `node_ips` are the nodes' own, in any order.
    All are addresses of the site's subnet. `clients` say who may reach the VIPs, `services` what runs where the
    first one is.
    `public_ips` says whether a new subnet hands out public addresses; an existing one does as it does.
    `source_dest_check` is off for nodes that pass on packets of others', as gateways do.
    `token_ms` is Corosync's token time-out in milliseconds. `ami_id` takes the place of the platform's image.
    `package_repository` and `package_repository_key` go together. `encryption_key` is Corosync's, 128 to 3072
    random bytes; without one the nodes' traffic is not encrypted. `ready_timeout_minutes` is how long a new node
    may take to be a working member; an `up` waits for it, unless it is 0. The program then looks at EC2 itself, as
    the stack's `aws:` settings or the environment say, and that must be where the pair's provider works.
    `permissions_boundary` is the ARN of a managed policy that bounds what the nodes' role may do. `tags` go on
    everything that can have them.

    Raises ConfigError if the addresses cannot be a pair's in the subnet, or AWS takes no such clients or tags.
    """

    vip: IPv4Address
    node_ips: tuple[IPv4Address, IPv4Address]
    site: Site
    more_vips: tuple[IPv4Address, ...] = ()
    clients: tuple[ClientRule, ...] = ()
    services: tuple[Service, ...] = ()
    public_ips: bool = True
    source_dest_check: bool = True
    endpoints: bool = False
    instance_type: str = "t3.micro"
    platform: str = "al2023"
    package_repository: str = ""
    package_repository_key: str = ""
    ami_id: pulumi.Input[str] | None = None
    key_name: str | None = None
    ssm: bool = False
    token_ms: int = 1000
    encryption_key: bytes | None = field(default=None, repr=False)
    ready_timeout_minutes: int = 20
    permissions_boundary: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        raise_if_any(
            [
                *pair_problems(self.vips, self.node_ips, self.site.subnet_cidr),
                *quota_problems(self.clients),
                *tag_problems(self.tags),
            ]
        )

    @property
    def vips(self) -> tuple[IPv4Address, ...]:
        """All the floating addresses, the first one first."""
        return (self.vip, *self.more_vips)

    @property
    def way_out_wanted(self) -> str:
        """What to say if a node may have no way to the hosts that it builds from; else empty."""
        build = platform(self.platform).build
        if build is None or self.public_ips or self.package_repository or self.ami_id is not None:
            return ""
        hosts = sorted({str(urlsplit(url).hostname) for source in build.sources for url in source.addresses})
        return (
            f"publicIps is false, and a node of {self.platform} must reach {' and '.join(hosts)} to build the "
            "cluster stack; give its subnet a route to a NAT gateway, or set ec2vip:amiId to an image that has "
            "the packages, or ec2vip:packageRepository to a tree that it reaches"
        )


class FloatingIpPair(pulumi.ComponentResource):
    """Two EC2 instances in one subnet that share a third private address, the VIP.

    The cluster on the instances moves the VIP; Pulumi reserves it and otherwise leaves it alone, so that no
    `up` takes it from its holder.
    """

    vip: pulumi.Output[str]
    """The floating address, or the first of several."""
    vips: pulumi.Output[list[str]]
    """All the floating addresses."""
    vip_cidr: pulumi.Output[str]
    """`vip` as a CIDR, for another security group's or route's sake: 10.0.250.185/32."""
    vpc_id: pulumi.Output[str]
    """The VPC that the pair is in."""
    subnet_id: pulumi.Output[str]
    """The subnet that the pair is in."""
    node_ids: pulumi.Output[list[str]]
    """The instances' ids, the first node first."""
    node_private_ips: pulumi.Output[list[str]]
    """The nodes' own addresses, in the same order."""
    security_group_id: pulumi.Output[str]
    """The nodes' security group."""
    client_security_group_id: pulumi.Output[str]
    """A security group that lets its wearers reach the VIP in every way that `clients` names."""
    role_arn: pulumi.Output[str]
    """The nodes' role; attach policies to it for what the nodes serve with."""
    instance_profile_name: pulumi.Output[str]
    """The instance profile that gives the role to the nodes."""

    def __init__(
        self, name: str, args: FloatingIpPairArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        known = Known(name)
        if args.ready_timeout_minutes:
            check_place(opts)
            opts = known.noting(opts)
        super().__init__(TYPE, name, {}, opts)
        if args.way_out_wanted:
            # No error: whoever owns the subnet, or the program around this pair, may give it a route.
            pulumi.log.warn(args.way_out_wanted, resource=self)
        scope = Scope(pair=self, name=name, extra_tags=args.tags)
        region = str(aws.get_region(opts=scope.asks()).region)
        services = (
            endpoint_services(region, scope.asks(), ssm=args.ssm, key=args.encryption_key is not None)
            if args.endpoints
            else ()
        )
        subnet = _subnet(scope, args, region, services)
        # Which node has which address means nothing, and a swap could not be made: each is on the other instance.
        first, second = sorted(args.node_ips)
        reservations = reserve(scope, subnet, (*args.vips, first, second))
        groups = make_groups(scope, subnet.vpc_id, args.clients)
        identity = make_identity(
            scope,
            subnet.arn,
            args.ssm,
            args.encryption_key,
            installer(args.platform, args.package_repository, args.package_repository_key),
            args.permissions_boundary,
        )
        ready = (*subnet.ready, *reservations, *groups.ready, *identity.ready)
        if args.endpoints:
            ready += make_endpoints(scope, subnet, groups.nodes, services)
        limit = timedelta(minutes=args.ready_timeout_minutes)
        names = (f"{name}-a", f"{name}-b")
        expected = Expected(
            profile=identity.profile.name,
            addresses=dict(zip(names, map(str, (first, second)), strict=True)),
            subnet_id=subnet.subnet_id,
            known=lambda: known.nodes(names),
        )
        watch = Watch(scope.full_name, str(args.vip), expected, limit, ec2_client) if limit else None
        roll = Rollout(names, watch, Operation(scope))
        nodes = make_nodes(
            scope,
            roll,
            Machine(
                instance_type=args.instance_type,
                addresses=1 + len(args.vips),
                platform=args.platform,
                ami_id=args.ami_id,
                key_name=args.key_name,
                public_ips=args.public_ips,
                source_dest_check=args.source_dest_check,
                region=region,
            ),
            specs(
                name,
                (first, second),
                vips=args.vips,
                services=args.services,
                prefix_length=args.site.subnet_cidr.prefixlen,
                platform=args.platform,
                token_ms=args.token_ms,
                package_repository=args.package_repository,
                package_repository_key=args.package_repository_key,
            ),
            subnet_id=subnet.subnet_id,
            security_group_id=groups.nodes.id,
            profile_name=identity.profile.name,
            key=identity.key,
            installer=identity.installer,
            ready=ready,
        )
        works: pulumi.Output[bool] = pulumi.Output.from_input(roll.works())
        self.vip = works.apply(lambda _: str(args.vip))
        self.vips = works.apply(lambda _: [str(vip) for vip in args.vips])
        self.vip_cidr = works.apply(lambda _: f"{args.vip}/32")
        self.vpc_id = pulumi.Output.from_input(subnet.vpc_id)
        self.subnet_id = pulumi.Output.from_input(subnet.subnet_id)
        self.node_ids = pulumi.Output.all(*(node.id for node in nodes))
        self.node_private_ips = pulumi.Output.all(*(node.private_ip for node in nodes))
        self.security_group_id = groups.nodes.id
        self.client_security_group_id = groups.clients.id
        self.role_arn = identity.role.arn
        self.instance_profile_name = identity.profile.name
        self.register_outputs(self.outputs())

    def outputs(self) -> dict[str, pulumi.Output[object]]:
        """The outputs under the names that a stack exports them with."""
        return {
            VIP: self.vip,
            VIPS: self.vips,
            VIP_CIDR: self.vip_cidr,
            VPC_ID: self.vpc_id,
            SUBNET_ID: self.subnet_id,
            NODE_IDS: self.node_ids,
            NODE_PRIVATE_IPS: self.node_private_ips,
            SECURITY_GROUP_ID: self.security_group_id,
            CLIENT_SECURITY_GROUP_ID: self.client_security_group_id,
            ROLE_ARN: self.role_arn,
            INSTANCE_PROFILE_NAME: self.instance_profile_name,
        }


def _subnet(
    scope: Scope, args: FloatingIpPairArgs, region: str, services: Sequence[EndpointService]
) -> Subnet:
    """The pair's subnet, in a zone that has the instance type and the endpoints' services."""
    site, wanted = args.site, args.instance_type
    if isinstance(site, ExistingSubnet) and site.availability_zone is not None:
        check_zone(
            site.availability_zone,
            wanted,
            zones_with(wanted, scope.asks()),
            f"subnetId {site.subnet_id} in {site.availability_zone}",
        )
    zones = [set(service.zones) for service in services if service.zones]
    served = set.intersection(*zones) if zones else set()
    return make_subnet(
        scope, site, args.public_ips, lambda zone: new_zone(scope, zone, wanted, region, served)
    )
