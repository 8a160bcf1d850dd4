"""The component as the engine sees it: which resources it requests, and their parents."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi.runtime import mocks

from infra.clients import ClientRule
from infra.errors import ConfigError
from infra.pair import FloatingIpPair
from infra.sites import NewVpc

from .recording import EVERYTHING, IMAGE, of_type, pair_args, record, record_pair

UNTAGGABLE = {
    "ec2vip:index:FloatingIpPair",
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:ec2/tag:Tag",
    "pulumi:index:Stash",
}


def test_no_resource_is_an_orphan() -> None:
    made, _ = record_pair(**EVERYTHING)
    pair = made.pop("ec2vip")
    assert "pulumi:pulumi:Stack" in pair.parent or pair.parent == ""
    assert made
    assert {
        r.name for r in made.values() if not r.parent.endswith("ec2vip:index:FloatingIpPair::ec2vip")
    } == set()


def test_everything_that_can_have_tags_has_the_stacks_and_the_users() -> None:
    made, _ = record_pair(tags={"team": "payments"}, **EVERYTHING)
    for resource in made.values():
        if resource.type in UNTAGGABLE:
            assert "tags" not in resource.inputs
            continue
        tags = dict(resource.inputs["tags"])
        assert (tags.pop("ec2vip:made-from", None) is not None) == resource.type.endswith(":Instance")
        assert tags == {
            "team": "payments",
            "Name": resource.name,
            "ec2vip:pair": "ec2vip/test/ec2vip",
        }, resource.name


def test_the_vip_is_declared_to_no_interface() -> None:
    made, _ = record_pair(**EVERYTHING)
    holding = {
        resource.name
        for resource in made.values()
        if "10.0.250.185" in json.dumps({k: v for k, v in resource.inputs.items() if k != "userDataBase64"})
    }
    assert holding == {"ec2vip-reservation-10.0.250.185"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            ["github.com and snapshot.debian.org", "NAT gateway", "ec2vip:amiId", "ec2vip:packageRepository"],
        ),
        ({"public_ips": True}, []),
        ({"platform": "debian12"}, []),
        ({"ami_id": IMAGE}, []),
        (
            {
                "package_repository": "https://m.example/9",
                "package_repository_key": f"https://m.example/K#{'0' * 40}",
            },
            [],
        ),
    ],
)
def test_a_pair_that_may_have_no_way_to_what_it_builds_from_is_told(
    settings: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, **_: warnings.append(text))
    record_pair(**{"platform": "al2023", "public_ips": False, **settings})
    assert len(warnings) == bool(said)
    assert all(word in warnings[0] for word in said)


def test_outputs_are_complete_and_registered() -> None:
    _, given = record_pair()
    assert given == {
        "vip": "10.0.250.185",
        "vips": ["10.0.250.185"],
        "vipCidr": "10.0.250.185/32",
        "vpcId": "ec2vip-vpc-id",
        "subnetId": "ec2vip-subnet-id",
        "nodeIds": ["ec2vip-a-id", "ec2vip-b-id"],
        "nodePrivateIps": ["10.0.250.186", "10.0.250.187"],
        "securityGroupId": "ec2vip-nodes-id",
        "clientSecurityGroupId": "ec2vip-clients-id",
        "roleArn": "arn:aws:iam::123456789012:role/ec2vip/test/ec2vip/ec2vip-role",
        "instanceProfileName": "ec2vip-profile",
    }


def test_two_pairs_in_one_program_do_not_collide() -> None:
    def program() -> list[pulumi.Output[str]]:
        first = FloatingIpPair("one", pair_args())
        second = FloatingIpPair(
            "two",
            pair_args(
                vips=(IPv4Address("10.0.251.10"),),
                node_ips=(IPv4Address("10.0.251.11"), IPv4Address("10.0.251.12")),
                site=NewVpc(vpc_cidr=IPv4Network("10.0.0.0/16"), subnet_cidr=IPv4Network("10.0.251.0/24")),
            ),
        )
        return [first.vip, second.vip]

    made, vips = record(program)
    assert vips == ["10.0.250.185", "10.0.251.10"]
    assert len(list(of_type(made, ":Instance"))) == 4
    assert made["two-a"].inputs["userDataBase64"] != made["one-a"].inputs["userDataBase64"]


def test_every_look_up_goes_to_the_pairs_own_provider() -> None:
    calls: list[mocks.MockCallArgs] = []

    def elsewhere() -> Any:
        provider = aws.Provider("elsewhere", region="eu-west-1")
        opts = pulumi.ResourceOptions(providers=[provider])
        return FloatingIpPair("ec2vip", pair_args(**EVERYTHING), opts).outputs()

    record(elsewhere, calls=calls)
    assert {call.token.rpartition(":")[2] for call in calls} == {
        "getAvailabilityZones",
        "getInstanceType",
        "getInstanceTypeOfferings",
        "getParameter",
        "getPartition",
        "getRegion",
        "getVpcEndpointService",
    }
    assert [call.token for call in calls if "::elsewhere::" not in call.provider] == []


def test_what_aws_would_not_take_is_refused_in_other_programs_too() -> None:
    with pytest.raises(ConfigError, match="tags R&D has '&'"):
        pair_args(tags={"team": "R&D"})
    many = tuple(ClientRule(protocol="tcp", from_port=n, to_port=n) for n in range(1, 62))
    with pytest.raises(ConfigError, match="clients needs 62 rules in the nodes' group"):
        pair_args(clients=many)


def test_the_order_of_the_nodes_addresses_means_nothing() -> None:
    swapped = (IPv4Address("10.0.250.187"), IPv4Address("10.0.250.186"))
    made = {order: record_pair(node_ips=order)[0] for order in (swapped, swapped[::-1])}
    first, second = made.values()
    assert {name: r.inputs for name, r in first.items()} == {name: r.inputs for name, r in second.items()}


def test_addresses_outside_the_subnet_are_refused_in_other_programs_too() -> None:
    with pytest.raises(ConfigError, match=r"vip 10\.0\.9\.1 is outside 10\.0\.250\.0/24"):
        pair_args(vips=(IPv4Address("10.0.9.1"),))
    with pytest.raises(ConfigError, match="vips is empty, but a pair needs a floating address"):
        pair_args(vips=())
