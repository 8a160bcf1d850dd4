"""What a caller may try on things, parameters and interfaces that do not belong to its pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.tags import PAIR

from .escalation import Act, Scene, launch, permission, untagged


def others_things() -> Iterator[tuple[str, Act]]:
    """Ways to harm things that do not belong to the pair."""
    yield (
        "open a group",
        lambda c, s: c.ec2.authorize_security_group_ingress(
            GroupId=s.theirs.group,
            IpPermissions=[permission(23)],
            **s.tagged("security-group-rule"),
        ),
    )
    yield (
        "close a group",
        lambda c, s: c.ec2.revoke_security_group_ingress(
            GroupId=s.theirs.group, IpPermissions=[permission(22)]
        ),
    )
    yield (
        "change a rule",
        lambda c, s: c.ec2.modify_security_group_rules(
            GroupId=s.theirs.group,
            SecurityGroupRules=[
                {
                    "SecurityGroupRuleId": s.theirs.rule,
                    "SecurityGroupRule": {
                        "IpProtocol": "tcp",
                        "FromPort": 1,
                        "ToPort": 2,
                        "CidrIpv4": "0.0.0.0/0",
                    },
                }
            ],
        ),
    )
    yield (
        "user data of a stopped instance",
        lambda c, s: c.ec2.modify_instance_attribute(InstanceId=s.theirs.stopped, UserData={"Value": b"x"}),
    )
    yield (
        "read user data",
        lambda c, s: c.ec2.describe_instance_attribute(InstanceId=s.theirs.node, Attribute="userData"),
    )
    yield "read a console", lambda c, s: c.ec2.get_console_output(InstanceId=s.theirs.node)
    yield (
        "IMDSv1",
        lambda c, s: c.ec2.modify_instance_metadata_options(InstanceId=s.theirs.node, HttpTokens="optional"),
    )
    everywhere = "0.0.0.0/0"
    yield (
        "delete a route",
        lambda c, s: c.ec2.delete_route(RouteTableId=s.theirs.table, DestinationCidrBlock=everywhere),
    )
    yield (
        "replace a route",
        lambda c, s: c.ec2.replace_route(
            RouteTableId=s.theirs.table, DestinationCidrBlock=everywhere, GatewayId=s.theirs.gateway
        ),
    )
    yield (
        "make a route",
        lambda c, s: c.ec2.create_route(
            RouteTableId=s.theirs.table, DestinationCidrBlock="192.0.2.0/24", GatewayId=s.theirs.gateway
        ),
    )
    yield (
        "take a table from a subnet",
        lambda c, s: c.ec2.disassociate_route_table(AssociationId=s.theirs.association),
    )
    yield (
        "detach a gateway",
        lambda c, s: c.ec2.detach_internet_gateway(InternetGatewayId=s.theirs.gateway, VpcId=s.theirs.vpc),
    )
    yield "terminate", lambda c, s: c.ec2.terminate_instances(InstanceIds=[s.theirs.node])
    yield "stop", lambda c, s: c.ec2.stop_instances(InstanceIds=[s.theirs.node])
    yield "reboot", lambda c, s: c.ec2.reboot_instances(InstanceIds=[s.theirs.node])
    yield "start", lambda c, s: c.ec2.start_instances(InstanceIds=[s.theirs.stopped])
    yield "a volume's type", lambda c, s: c.ec2.modify_volume(VolumeId=s.theirs.volume, VolumeType="gp3")
    yield (
        "an interface's groups",
        lambda c, s: c.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=s.theirs.interface, Groups=[s.theirs.group]
        ),
    )
    yield (
        "a VPC's names",
        lambda c, s: c.ec2.modify_vpc_attribute(VpcId=s.theirs.vpc, EnableDnsSupport={"Value": False}),
    )
    yield (
        "a subnet's public addresses",
        lambda c, s: c.ec2.modify_subnet_attribute(
            SubnetId=s.theirs.subnet, MapPublicIpOnLaunch={"Value": True}
        ),
    )
    yield (
        "reserve addresses",
        lambda c, s: c.ec2.create_subnet_cidr_reservation(
            SubnetId=s.theirs.subnet, Cidr="10.0.250.200/32", ReservationType="explicit"
        ),
    )
    yield (
        "a subnet in another's VPC",
        lambda c, s: c.ec2.create_subnet(VpcId=s.theirs.vpc, CidrBlock="10.0.9.0/24", **s.tagged("subnet")),
    )
    yield (
        "a group in another's VPC",
        lambda c, s: c.ec2.create_security_group(
            GroupName=f"n-{s.number}", Description="n", VpcId=s.theirs.vpc, **s.tagged("security-group")
        ),
    )
    yield (
        "a launch in another's subnet",
        lambda c, s: launch(c, s, SubnetId=s.theirs.subnet, SecurityGroupIds=[s.theirs.group]),
    )
    yield "a launch without the tag", lambda c, s: launch(c, s, TagSpecifications=None)
    yield (
        "a launch with another pair's tag",
        lambda c, s: launch(c, s, **s.tagged("instance", "ec2vip/prod/ec2vip")),
    )
    yield "a VPC without the tag", lambda c, s: c.ec2.create_vpc(CidrBlock="10.9.0.0/16")
    for kind in ("node", "group", "table", "volume", "vpc", "subnet", "gateway"):
        yield f"the pair's tag on a {kind}", _tag(kind)
        yield f"no tag on a {kind}", _untag(kind)


def _tag(kind: str) -> Act:
    return lambda c, s: c.ec2.create_tags(
        Resources=[getattr(s.theirs, kind)], Tags=[{"Key": PAIR, "Value": s.place.full_name}]
    )


def _untag(kind: str) -> Act:
    return lambda c, s: c.ec2.delete_tags(Resources=[getattr(s.theirs, kind)], Tags=[{"Key": PAIR}])


def parameters() -> Iterator[tuple[str, Act]]:
    """Ways to read or change the parameters of others."""
    yield "read a parameter", lambda c, s: c.ssm.get_parameter(Name="/others/secret")
    yield (
        "change a parameter",
        lambda c, s: c.ssm.put_parameter(Name="/others/secret", Value="x", Type="String", Overwrite=True),
    )
    yield (
        "delete a parameter",
        lambda c, s: (
            c.ssm.delete_parameter(Name="/others/secret"),
            c.ssm.put_parameter(Name="/others/secret", Value="x", Type="String"),
        ),
    )


def interfaces() -> Iterator[tuple[str, Act]]:
    """Ways to tag interfaces, which a launch leaves untagged."""

    def tag(interface: str, scene: Scene, **more: str) -> dict[str, Any]:
        tags = {PAIR: scene.place.full_name, **more}
        return {
            "Resources": [interface],
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }

    yield (
        "an interface of another place",
        lambda c, s: c.ec2.create_tags(**tag(s.theirs.interface, s)),
    )
    yield (
        "another tag beside the pair's",
        lambda c, s: c.ec2.create_tags(**tag(untagged(c, s), s, Name="x")),
    )
    yield (
        "another pair's tag on an interface",
        lambda c, s: c.ec2.create_tags(
            Resources=[untagged(c, s)], Tags=[{"Key": PAIR, "Value": "ec2vip/prod/ec2vip"}]
        ),
    )
