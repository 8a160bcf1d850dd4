"""What surrounds the nodes: the subnet and its routes, reserved addresses, security groups, endpoints."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra import pair as outputs
from infra.clients import ClientRule
from infra.errors import ConfigError
from infra.sites import NewSubnet

from .recording import EXISTING, KEY, SERVICE, Answer, of_type, program, record, record_pair


def test_the_three_addresses_are_reserved_one_by_one() -> None:
    made, _ = record_pair()
    reserved = {r.name: r.inputs["cidrBlock"] for r in of_type(made, ":SubnetCidrReservation")}
    assert reserved == {
        "ec2vip-reservation-10.0.250.185": "10.0.250.185/32",
        "ec2vip-reservation-10.0.250.186": "10.0.250.186/32",
        "ec2vip-reservation-10.0.250.187": "10.0.250.187/32",
    }
    assert all(r.inputs["reservationType"] == "explicit" for r in of_type(made, ":SubnetCidrReservation"))


def test_addresses_that_a_reservation_covers_get_none() -> None:
    site = dataclasses.replace(EXISTING, reserved=frozenset({IPv4Address("10.0.250.186")}))
    made, _ = record_pair(site=site)
    assert {r.inputs["cidrBlock"] for r in of_type(made, ":SubnetCidrReservation")} == {
        "10.0.250.185/32",
        "10.0.250.187/32",
    }
    described = {r.inputs["description"] for r in of_type(made, ":SubnetCidrReservation")}
    assert described == {"ec2vip/test/ec2vip: assigned by name alone"}


def rule(inputs: dict[str, Any]) -> tuple[Any, ...]:
    """The main inputs of a security group rule."""
    source = inputs.get("cidrIpv4") or inputs.get("referencedSecurityGroupId")
    return (
        inputs["securityGroupId"],
        inputs["ipProtocol"],
        inputs.get("fromPort"),
        inputs.get("toPort"),
        source,
    )


def test_nobody_gets_in_but_members_and_clients() -> None:
    made, _ = record_pair(
        clients=(
            ClientRule(protocol="tcp", from_port=443, to_port=443, cidr=IPv4Network("10.0.0.0/16")),
            ClientRule(protocol="udp", from_port=5000, to_port=5010, security_group="sg-0123456789abcdef0"),
            ClientRule(protocol="icmp", from_port=8, to_port=-1),
        )
    )
    assert {rule(r.inputs) for r in of_type(made, ":SecurityGroupIngressRule")} == {
        ("ec2vip-nodes-id", "udp", 5405, 5405, "ec2vip-nodes-id"),
        ("ec2vip-nodes-id", "tcp", 443, 443, "10.0.0.0/16"),
        ("ec2vip-nodes-id", "udp", 5000, 5010, "sg-0123456789abcdef0"),
        ("ec2vip-nodes-id", "tcp", 443, 443, "ec2vip-clients-id"),
        ("ec2vip-nodes-id", "udp", 5000, 5010, "ec2vip-clients-id"),
        ("ec2vip-nodes-id", "icmp", 8, -1, "ec2vip-clients-id"),
    }
    assert {rule(r.inputs) for r in of_type(made, ":SecurityGroupEgressRule")} == {
        ("ec2vip-nodes-id", "-1", None, None, "0.0.0.0/0"),
        ("ec2vip-clients-id", "tcp", 443, 443, "ec2vip-nodes-id"),
        ("ec2vip-clients-id", "udp", 5000, 5010, "ec2vip-nodes-id"),
        ("ec2vip-clients-id", "icmp", 8, -1, "ec2vip-nodes-id"),
    }


def test_the_way_to_the_internet_is_there_only_for_public_addresses() -> None:
    internet = (":InternetGateway", ":RouteTable", ":Route", ":RouteTableAssociation")
    made, _ = record_pair(public_ips=True)
    assert all(len(list(of_type(made, kind))) == 1 for kind in internet)
    assert made["ec2vip-subnet"].inputs["mapPublicIpOnLaunch"] is True
    made, _ = record_pair(public_ips=False)
    assert not any(list(of_type(made, kind)) for kind in internet)
    assert made["ec2vip-subnet"].inputs["mapPublicIpOnLaunch"] is False


def test_a_subnet_that_is_there_gets_no_route_and_no_vpc() -> None:
    made, given = record_pair(site=EXISTING)
    for kind in (":Vpc", ":Subnet", ":InternetGateway", ":RouteTable", ":Route"):
        assert not list(of_type(made, kind)), kind
    assert given[outputs.SUBNET_ID] == EXISTING.subnet_id
    assert given[outputs.VPC_ID] == EXISTING.vpc_id


def test_a_subnet_in_a_vpc_that_is_there_uses_its_gateway() -> None:
    site = NewSubnet(vpc_id="vpc-1", subnet_cidr=IPv4Network("10.0.250.0/24"), internet_gateway_id="igw-1")
    made, _ = record_pair(site=site)
    assert made["ec2vip-route-internet"].inputs["gatewayId"] == "igw-1"
    assert not list(of_type(made, ":InternetGateway"))
    assert made["ec2vip-subnet"].inputs["vpcId"] == "vpc-1"


def test_the_endpoint_is_for_the_nodes_alone() -> None:
    made, _ = record_pair(endpoints=True)
    endpoint = made["ec2vip-endpoint"].inputs
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.ec2"
    assert endpoint["privateDnsEnabled"] is True
    assert rule(made["ec2vip-from-nodes-https"].inputs) == (
        "ec2vip-endpoint-group-id",
        "tcp",
        443,
        443,
        "ec2vip-nodes-id",
    )


@pytest.mark.parametrize(
    ("settings", "services"),
    [
        ({}, ["ec2"]),
        ({"encryption_key": KEY}, ["ec2", "ssm"]),
        ({"platform": "al2023"}, ["ec2", "ssm"]),
        ({"platform": "al2023", "ami_id": "ami-0123456789abcdef0"}, ["ec2"]),
        ({"ssm": True}, ["ec2", "ssm", "ssmmessages"]),
        ({"ssm": True, "encryption_key": KEY}, ["ec2", "ssm", "ssmmessages"]),
    ],
)
def test_there_is_an_endpoint_for_each_service_that_the_nodes_call(
    settings: dict[str, Any], services: list[str]
) -> None:
    made, _ = record_pair(endpoints=True, public_ips=False, **settings)
    endpoints = list(of_type(made, ":VpcEndpoint"))
    assert [e.inputs["serviceName"] for e in endpoints] == [f"com.amazonaws.us-east-1.{s}" for s in services]
    assert all(e.inputs["privateDnsEnabled"] is True for e in endpoints)
    for node in of_type(made, ":Instance"):
        assert {endpoint.name for endpoint in endpoints} <= set(node.depends_on)


def only(*known: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A look-up that finds only these endpoint services."""

    def look_up(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["serviceName"] not in known:
            raise LookupError(f"api error InvalidServiceName: {arguments['serviceName']} does not exist")
        return {"serviceName": arguments["serviceName"]}

    return look_up


def test_endpoints_have_the_names_that_their_region_gives_them() -> None:
    answers: dict[str, Answer] = {
        "aws:index/getRegion:getRegion": {"region": "cn-north-1"},
        SERVICE: only("cn.com.amazonaws.cn-north-1.ec2", "com.amazonaws.cn-north-1.ssm"),
    }
    made, _ = record(program(endpoints=True, encryption_key=KEY), answers)
    assert [e.inputs["serviceName"] for e in of_type(made, ":VpcEndpoint")] == [
        "cn.com.amazonaws.cn-north-1.ec2",
        "com.amazonaws.cn-north-1.ssm",
    ]


def test_a_region_without_an_endpoint_is_named() -> None:
    said = (
        "endpoints true needs an endpoint of ec2, and us-east-1 has none (com.amazonaws.us-east-1.ec2); set"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        record(program(endpoints=True), {SERVICE: only()})


def test_an_endpoint_is_made_anew_in_another_subnet() -> None:
    made, _ = record_pair(endpoints=True)
    endpoint = made["ec2vip-endpoint"]
    assert (endpoint.replacing, endpoint.delete_before_replace) == (("subnetIds",), True)
