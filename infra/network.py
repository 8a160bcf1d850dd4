"""The pair's place in the network: subnet, reservations, routes, and who may talk to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumi_aws as aws

from .clients import COROSYNC_PORT, ClientRule
from .errors import ConfigError
from .sites import ExistingSubnet, NewVpc, Site
from .tags import Scope

Traffic = tuple[str, int, int]
"""A protocol and its range of ports, as EC2 has them."""
COROSYNC: Traffic = ("udp", COROSYNC_PORT, COROSYNC_PORT)
HTTPS: Traffic = ("tcp", 443, 443)
ANYWHERE = "0.0.0.0/0"
ANY_PROTOCOL = "-1"


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """The subnet that the pair is in.

    `reserved` are the addresses that get no reservation. `ready` are the resources that a node needs to use the
    subnet, such as its route to the internet.
    """

    vpc_id: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    arn: pulumi.Input[str]
    cidr: IPv4Network
    reserved: frozenset[IPv4Address] = frozenset()
    ready: tuple[pulumi.Resource, ...]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The nodes' security group, the clients', and the rules that a node needs at its first boot."""

    nodes: aws.ec2.SecurityGroup
    clients: aws.ec2.SecurityGroup
    ready: tuple[pulumi.Resource, ...]


def make_subnet(
    scope: Scope, site: Site, public_ips: bool, zone: Callable[[str | None], pulumi.Input[str]]
) -> Subnet:
    """The site's subnet. We make a new one, with a route to the internet if it has public addresses.

    `zone` returns a new subnet's Availability Zone: it checks the site's, or chooses one if given None.
    """
    if isinstance(site, ExistingSubnet):
        return Subnet(
            vpc_id=site.vpc_id,
            subnet_id=site.subnet_id,
            arn=site.subnet_arn,
            cidr=site.subnet_cidr,
            reserved=site.reserved,
            ready=(),
        )
    vpc_id: pulumi.Input[str]
    gateway_id: pulumi.Input[str] | None
    if isinstance(site, NewVpc):
        vpc_id, gateway_id = _make_vpc(scope, site, public_ips)
    else:
        vpc_id, gateway_id = site.vpc_id, site.internet_gateway_id
    subnet = aws.ec2.Subnet(
        scope.part("subnet"),
        vpc_id=vpc_id,
        cidr_block=str(site.subnet_cidr),
        availability_zone=zone(site.availability_zone),
        # Set here and not on the instances: a stopped instance has no public address, and Pulumi would replace it
        # for that (hashicorp/terraform-provider-aws#33775).
        map_public_ip_on_launch=public_ips,
        tags=scope.tags("subnet"),
        opts=scope.options(),
    )
    ready = _make_route(scope, vpc_id, subnet.id, gateway_id) if public_ips else ()
    return Subnet(
        vpc_id=vpc_id,
        subnet_id=subnet.id,
        arn=subnet.arn,
        cidr=site.subnet_cidr,
        ready=ready,
    )


def _make_vpc(
    scope: Scope, site: NewVpc, public_ips: bool
) -> tuple[pulumi.Output[str], pulumi.Output[str] | None]:
    """A VPC, and its internet gateway if the nodes have public addresses."""
    vpc = aws.ec2.Vpc(
        scope.part("vpc"),
        cidr_block=str(site.vpc_cidr),
        # Both are needed for the private name of an interface endpoint:
        # https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags=scope.tags("vpc"),
        opts=scope.options(),
    )
    if not public_ips:
        return vpc.id, None
    gateway = aws.ec2.InternetGateway(
        scope.part("internet"), vpc_id=vpc.id, tags=scope.tags("internet"), opts=scope.options()
    )
    return vpc.id, gateway.id


def _make_route(
    scope: Scope,
    vpc_id: pulumi.Input[str],
    subnet_id: pulumi.Input[str],
    gateway_id: pulumi.Input[str] | None,
) -> tuple[pulumi.Resource, ...]:
    """A route table for the subnet, with a default route to the gateway."""
    table = aws.ec2.RouteTable(
        scope.part("routes"), vpc_id=vpc_id, tags=scope.tags("routes"), opts=scope.options()
    )
    route = aws.ec2.Route(
        scope.part("route-internet"),
        route_table_id=table.id,
        destination_cidr_block=ANYWHERE,
        gateway_id=gateway_id,
        opts=scope.options(),
    )
    association = aws.ec2.RouteTableAssociation(
        scope.part("routes-subnet"), route_table_id=table.id, subnet_id=subnet_id, opts=scope.options()
    )
    return route, association


def reservation_note(pair: str) -> str:
    """The description by which the pair of that full name tells its reservations from others'."""
    return f"{pair}: assigned by name alone"


def reserve(scope: Scope, subnet: Subnet, addresses: Iterable[IPv4Address]) -> tuple[pulumi.Resource, ...]:
    """Keep AWS from handing these addresses to anything else in the subnet.

    We name a reservation by its address, so an address that changes its role keeps it; a second one would overlap,
    which EC2 refuses. An address that another reservation covers gets none.
    """
    return tuple(
        aws.ec2.SubnetCidrReservation(
            scope.part(f"reservation-{address}"),
            subnet_id=subnet.subnet_id,
            cidr_block=f"{address}/32",
            reservation_type="explicit",
            description=reservation_note(scope.full_name),
            opts=scope.options(),
        )
        for address in addresses
        if address not in subnet.reserved
    )


def make_groups(scope: Scope, vpc_id: pulumi.Input[str], clients: Sequence[ClientRule]) -> Groups:
    """The two security groups. Members talk Corosync to each other; clients reach what their rules say."""
    nodes = _make_group(scope, "nodes", vpc_id, "The two nodes of a floating IP pair")
    wearers = _make_group(scope, "clients", vpc_id, "Whoever may reach the floating IP of a pair")
    corosync = _admit(
        scope, "from-nodes-corosync", nodes, COROSYNC, "Corosync, between the members alone", group=nodes.id
    )
    egress = aws.vpc.SecurityGroupEgressRule(
        scope.part("to-anywhere"),
        security_group_id=nodes.id,
        cidr_ipv4=ANYWHERE,
        ip_protocol=ANY_PROTOCOL,
        description="Packages, the EC2 API, the other member, and what the nodes serve with",
        tags=scope.tags("to-anywhere"),
        opts=scope.options(),
    )
    for rule in clients:
        if rule.source is not None:
            role, purpose = (
                f"from-{rule.source}-{rule.service}",
                f"Clients of the floating IP: {rule.service}",
            )
            cidr = str(rule.cidr) if rule.cidr else None
            _admit(scope, role, nodes, _traffic(rule), purpose, group=rule.security_group, cidr=cidr)
    for traffic, service in dict.fromkeys((_traffic(rule), rule.service) for rule in clients):
        _admit_wearers(scope, nodes, wearers, traffic, service)
    return Groups(nodes=nodes, clients=wearers, ready=(corosync, egress))


def _make_group(scope: Scope, role: str, vpc_id: pulumi.Input[str], purpose: str) -> aws.ec2.SecurityGroup:
    return aws.ec2.SecurityGroup(
        scope.part(role), vpc_id=vpc_id, description=purpose, tags=scope.tags(role), opts=scope.options()
    )


def _traffic(rule: ClientRule) -> Traffic:
    return rule.protocol, rule.from_port, rule.to_port


def _admit(
    scope: Scope,
    role: str,
    into: aws.ec2.SecurityGroup,
    traffic: Traffic,
    purpose: str,
    *,
    group: pulumi.Input[str] | None,
    cidr: str | None = None,
) -> aws.vpc.SecurityGroupIngressRule:
    """The rule that lets such traffic in from the members of the other group, or from the CIDR."""
    protocol, from_port, to_port = traffic
    return aws.vpc.SecurityGroupIngressRule(
        scope.part(role),
        security_group_id=into.id,
        cidr_ipv4=cidr,
        referenced_security_group_id=group,
        ip_protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        description=purpose,
        tags=scope.tags(role),
        opts=scope.options(),
    )


def _admit_wearers(
    scope: Scope,
    nodes: aws.ec2.SecurityGroup,
    wearers: aws.ec2.SecurityGroup,
    traffic: Traffic,
    service: str,
) -> None:
    """Rules at both ends from the clients' group to the nodes, because a client may be in no other group."""
    into, out = f"from-clients-{service}", f"clients-to-nodes-{service}"
    _admit(scope, into, nodes, traffic, f"Members of the client group: {service}", group=wearers.id)
    protocol, from_port, to_port = traffic
    aws.vpc.SecurityGroupEgressRule(
        scope.part(out),
        security_group_id=wearers.id,
        referenced_security_group_id=nodes.id,
        ip_protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        description=f"To the floating IP: {service}",
        tags=scope.tags(out),
        opts=scope.options(),
    )


@dataclass(frozen=True)
class EndpointService:
    """A service with interface endpoints: its name, the last part of that (`ec2`), and its zones if known."""

    part: str
    name: str
    zones: tuple[str, ...]


def endpoint_services(
    region: str, opts: pulumi.InvokeOptions, *, ssm: bool, parameters: bool
) -> tuple[EndpointService, ...]:
    """The AWS services that the nodes call, as this Region names their endpoints.

    The agent calls EC2. If there are parameters to fetch, the bootstrap calls `ssm`. Session Manager calls `ssm`
    and `ssmmessages`. From 3.3.40.0 on the SSM agent uses `ssmmessages` in place of `ec2messages`, so that is left
    out; newer Regions do not have it (Systems Manager user guide, "Create VPC endpoints"). Raises ConfigError if
    the Region lacks a service.
    """
    parts = ("ec2", *(("ssm",) if ssm or parameters else ()), *(("ssmmessages",) if ssm else ()))
    return tuple(_endpoint_service(part, region, opts) for part in parts)


def _endpoint_service(part: str, region: str, opts: pulumi.InvokeOptions) -> EndpointService:
    """The service under the name that this Region has for it. Raises ConfigError if there is none.

    China has some services under a name of its own, and only AWS knows which (PrivateLink guide, "AWS services
    that integrate"). We ask by name, because GovCloud has ignored filters here (the provider's data source says
    so).
    """
    names = [f"com.amazonaws.{region}.{part}"] + [f"cn.com.amazonaws.{region}.{part}"] * region.startswith(
        "cn-"
    )
    for name in names:
        try:
            found = aws.ec2.get_vpc_endpoint_service(service_name=name, service_type="Interface", opts=opts)
        except Exception as e:
            # pulumi_aws raises a bare Exception for every failure; these say that there is no such service.
            if "InvalidServiceName" in str(e) or "no matching" in str(e):
                continue
            raise
        return EndpointService(part, str(found.service_name), tuple(found.availability_zones or ()))
    raise ConfigError(
        [
            f"endpoints true needs an endpoint of {part}, and {region} has none ({' or '.join(names)}); set "
            "ec2vip:endpoints to false"
        ]
    )


def make_endpoints(
    scope: Scope,
    subnet: Subnet,
    nodes: aws.ec2.SecurityGroup,
    services: Sequence[EndpointService],
) -> tuple[pulumi.Resource, ...]:
    """Interface endpoints of these services in the subnet, which only the nodes may use."""
    group = _make_group(scope, "endpoint-group", subnet.vpc_id, "The EC2 API endpoint of a floating IP pair")
    rule = _admit(scope, "from-nodes-https", group, HTTPS, "The agent on the nodes", group=nodes.id)
    return rule, *(_make_endpoint(scope, subnet, group, service) for service in services)


def _make_endpoint(
    scope: Scope, subnet: Subnet, group: aws.ec2.SecurityGroup, service: EndpointService
) -> aws.ec2.VpcEndpoint:
    role = "endpoint" if service.part == "ec2" else f"endpoint-{service.part}"
    return aws.ec2.VpcEndpoint(
        scope.part(role),
        vpc_id=subnet.vpc_id,
        service_name=service.name,
        vpc_endpoint_type="Interface",
        subnet_ids=[subnet.subnet_id],
        security_group_ids=[group.id],
        # Callers ask for the service by its ordinary name.
        private_dns_enabled=True,
        tags=scope.tags(role),
        # A change in place would put it into two subnets of one zone for a moment, which EC2 refuses
        # (DuplicateSubnetsInSameZone). Of two endpoints at once only one could have the private name.
        opts=scope.options(replace_on_changes=["subnetIds"], delete_before_replace=True),
    )
