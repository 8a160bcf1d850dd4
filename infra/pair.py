"""The component: two nodes, and the address that floats between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import pulumi
import pulumi_aws as aws

from cloudinit.platforms import platform
from cloudinit.userdata import installer

from .addressing import pair_problems
from .aws_client import check_place, ec2_client
from .clients import quota_problems
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
from .nodes import make_nodes, specs
from .operation import Operation
from .rollout import Rollout
from .settings import PairSettings
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
class FloatingIpPairArgs(PairSettings):
    """What a pair is made from: a site, and the settings with the names and defaults of `PairSettings`.

    docs/settings.md says what each is for. `vips` and `node_ips` are addresses of the site's subnet. `public_ips`
    says whether a new subnet hands out public addresses; an existing one stays as it is. `encryption_key` is the
    key itself, in bytes. Unless `ready_timeout_minutes` is 0, the program itself looks at EC2, by the stack's
    `aws:` settings or the environment. They must lead to where the pair's provider works.

    Raises ConfigError if the addresses cannot be a pair's in the subnet, or if AWS refuses the clients or tags.
    """

    site: Site

    def __post_init__(self) -> None:
        raise_if_any(
            [
                *(
                    []
                    if self.vips
                    else ["vips is empty, but a pair needs a floating address; set at least one"]
                ),
                *pair_problems(self.vips, self.node_ips, self.site.subnet_cidr),
                *quota_problems(self.clients),
                *tag_problems(self.tags),
            ]
        )

    @property
    def way_out_wanted(self) -> str:
        """The warning if a node may have no way to the hosts that it builds from; else empty."""
        build = platform(self.platform).build
        if build is None or self.public_ips or self.package_repository or self.ami_id is not None:
            return ""
        hosts = sorted({str(urlsplit(url).hostname) for source in build.sources for url in source.addresses})
        return (
            f"publicIps is false, but a node of {self.platform} must reach {' and '.join(hosts)} to build the "
            "cluster stack; give its subnet a route to a NAT gateway, or set ec2vip:amiId to an image that "
            "has the packages, or ec2vip:packageRepository to a tree that it can reach"
        )


class FloatingIpPair(pulumi.ComponentResource):
    """Two EC2 instances in one subnet that share a third private address, the VIP.

    The cluster on the instances moves the VIP. Pulumi reserves it and otherwise leaves it alone, so no `up` takes
    it from its holder.
    """

    vip: pulumi.Output[str]
    """The floating address, or the first of several."""
    vips: pulumi.Output[list[str]]
    """All the floating addresses."""
    vip_cidr: pulumi.Output[str]
    """`vip` as a CIDR, for a rule of another security group or for a route: 10.0.250.185/32."""
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
    """A security group whose members may reach the VIP in every way that `clients` names."""
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
            # Only a warning: the owner of the subnet, or the program around this pair, may give it a route.
            pulumi.log.warn(args.way_out_wanted, resource=self)
        scope = Scope(pair=self, name=name, extra_tags=args.tags)
        region = str(aws.get_region(opts=scope.asks()).region)
        services = (
            endpoint_services(region, scope.asks(), ssm=args.ssm, parameters=args.fetches_parameters)
            if args.endpoints
            else ()
        )
        subnet = _subnet(scope, args, region, services)
        # The order of the addresses has no meaning. We sort them, because a swap is impossible: each address is
        # still on the other instance.
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
        vip = str(args.vips[0])
        watch = Watch(scope.full_name, vip, expected, limit, ec2_client) if limit else None
        roll = Rollout(names, watch, Operation(scope))
        nodes = make_nodes(
            scope,
            roll,
            args,
            specs(name, (first, second), args.site.subnet_cidr.prefixlen, args),
            region=region,
            subnet_id=subnet.subnet_id,
            security_group_id=groups.nodes.id,
            profile_name=identity.profile.name,
            key=identity.key,
            installer=identity.installer,
            ready=ready,
        )
        works: pulumi.Output[bool] = pulumi.Output.from_input(roll.works())
        self.vip = works.apply(lambda _: vip)
        self.vips = works.apply(lambda _: [str(each) for each in args.vips])
        self.vip_cidr = works.apply(lambda _: f"{vip}/32")
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
