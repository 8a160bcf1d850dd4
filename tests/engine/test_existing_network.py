"""Pairs in VPCs and subnets that are there already, and what is said where those do not suit."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.pulumi_stack import CommandError, PulumiStack

from .cloud import Cloud

NO_NETWORK = {"vpcCidr": None, "subnetCidr": None, "availabilityZone": None}


@dataclass(frozen=True)
class Network:
    """A VPC of the user's: with an internet gateway, or sealed; a subnet in it for the pair."""

    vpc_id: str
    subnet_id: str


def make_network(cloud: Cloud, *, public: bool) -> Network:
    ec2 = cloud.ec2
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.250.0/24")["Subnet"]["SubnetId"]
    if public:
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
        ec2.modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": True})
    return Network(vpc_id=vpc_id, subnet_id=subnet_id)


@pytest.fixture(scope="module")
def public(cloud: Cloud) -> Network:
    return make_network(cloud, public=True)


@pytest.fixture(scope="module")
def sealed(cloud: Cloud) -> Network:
    return make_network(cloud, public=False)


def test_a_pair_moves_into_a_subnet_and_leaves_it_as_it_was(cloud: Cloud, public: Network) -> None:
    before = cloud.inventory()
    stack = cloud.stack(settings={**NO_NETWORK, "subnetId": public.subnet_id})
    stack.up("--skip-preview")
    outputs = stack.outputs()
    assert (outputs["vpcId"], outputs["subnetId"]) == (public.vpc_id, public.subnet_id)
    assert {node["SubnetId"] for node in cloud.instances().values()} == {public.subnet_id}
    during = cloud.inventory()
    for kind in ("vpcs", "subnets", "gateways", "route tables"):
        assert during[kind] == before[kind], kind
    assert stack.preview() == []
    stack.destroy()
    assert cloud.inventory() == before


def test_a_pair_makes_its_subnet_in_a_vpc_and_uses_its_gateway(cloud: Cloud, public: Network) -> None:
    before = cloud.inventory()
    stack = cloud.stack(
        settings={
            "vpcCidr": None,
            "vpcId": public.vpc_id,
            "subnetCidr": "10.0.7.0/24",
            "vip": "10.0.7.10",
            "nodeIps": ["10.0.7.11", "10.0.7.12"],
        }
    )
    stack.up("--skip-preview")
    during = cloud.inventory()
    assert (during["vpcs"], during["gateways"]) == (before["vpcs"], before["gateways"])
    (table,) = cloud.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [stack.outputs()["subnetId"]]}]
    )["RouteTables"]
    ways = {route["DestinationCidrBlock"]: route.get("GatewayId") for route in table["Routes"]}
    assert ways["0.0.0.0/0"] in before["gateways"]
    stack.destroy()
    assert cloud.inventory() == before


def refusal(stack: PulumiStack) -> str:
    with pytest.raises(CommandError) as caught:
        stack.preview()
    return " ".join((caught.value.stdout + caught.value.stderr).split())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {**NO_NETWORK, "subnetId": "{subnet}", "vip": "10.0.9.1", "publicIps": False},
            ["vip 10.0.9.1 is outside 10.0.250.0/24; set ec2vip:vip to an address inside it"],
        ),
        (
            {**NO_NETWORK, "subnetId": "{subnet}", "endpoints": True},
            ["publicIps true is not what {subnet} does, which gives none", "endpoints true needs DNS names"],
        ),
        (
            {"vpcCidr": None, "vpcId": "{vpc}"},
            ["publicIps true needs an internet gateway, and {vpc} has none; attach one, or set"],
        ),
        (
            {
                "vpcCidr": None,
                "vpcId": "{vpc}",
                "subnetCidr": "10.9.0.0/24",
                "vip": "10.9.0.10",
                "nodeIps": ["10.9.0.11", "10.9.0.12"],
                "publicIps": False,
            },
            ["subnetCidr 10.9.0.0/24 is outside {vpc}, which has 10.0.0.0/16"],
        ),
    ],
    ids=[
        "addresses",
        "a subnet without public addresses",
        "a VPC without a gateway",
        "a CIDR of another VPC",
    ],
)
def test_a_network_that_does_not_suit_is_refused(
    settings: dict[str, Any], expected: list[str], cloud: Cloud, sealed: Network
) -> None:
    names = {"vpc": sealed.vpc_id, "subnet": sealed.subnet_id}
    before = cloud.inventory()
    stack = cloud.stack(
        settings={k: v.format(**names) if isinstance(v, str) else v for k, v in settings.items()}
    )
    said = refusal(stack)
    for part in expected:
        assert part.format(**names) in said
    assert cloud.inventory() == before


def test_endpoints_take_the_place_of_the_internet(cloud: Cloud) -> None:
    stack = cloud.stack(settings={"publicIps": False, "endpoints": True})
    stack.configure_secret("encryptionKey", base64.b64encode(bytes(256)).decode())
    before = cloud.inventory()
    stack.up("--skip-preview")
    made = {kind: ids - before[kind] for kind, ids in cloud.inventory().items()}
    assert (len(made["endpoints"]), len(made["gateways"])) == (2, 0)
    assert not any(node.get("PublicIpAddress") for node in cloud.instances().values())
    assert stack.preview() == []
    stack.destroy()
    assert cloud.inventory() == before
