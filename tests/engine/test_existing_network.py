"""Pairs in existing VPCs and subnets, and the errors if those do not suit."""

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
    """A VPC of the user's, with an internet gateway or sealed, and a subnet in it for the pair."""

    vpc_id: str
    subnet_id: str


def make_network(cloud: Cloud, *, public: bool) -> Network:
    ec2 = cloud.ec2
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    # We name a zone, because EC2 may pick one that lacks the instance type.
    made = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.250.0/24", AvailabilityZone="us-east-1a")
    subnet_id = made["Subnet"]["SubnetId"]
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


def into(cloud: Cloud, network: Network) -> PulumiStack:
    """A stack in the network's subnet."""
    return cloud.stack(settings={**NO_NETWORK, "subnetId": network.subnet_id})


def test_an_address_of_somebody_elses_is_not_taken_away(cloud: Cloud, public: Network) -> None:
    made = cloud.ec2.create_network_interface(
        SubnetId=public.subnet_id, PrivateIpAddress="10.0.250.185", Description="the shop's database"
    )
    interface_id = made["NetworkInterface"]["NetworkInterfaceId"]
    before = cloud.inventory()
    stack = into(cloud, public)
    said = refusal(stack)
    assert f"vip 10.0.250.185 is on {interface_id} (the shop's database; account " in said
    assert "and the pair would take it away; free it, or set ec2vip:vip to another address" in said
    assert cloud.inventory() == before
    cloud.ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    assert stack.preview()


def test_the_pairs_own_addresses_are_in_nobodys_way(cloud: Cloud, public: Network) -> None:
    before = cloud.inventory()
    stack = into(cloud, public)
    stack.up("--skip-preview")
    cloud.move("10.0.250.185", "ec2vip-b")
    assert stack.preview() == []
    stack.up("--skip-preview")
    assert cloud.holder("10.0.250.185") == "ec2vip-b"
    stack.destroy()
    assert cloud.inventory() == before


def reserve(cloud: Cloud, network: Network, cidr: str, kind: str) -> str:
    """Create a reservation that the user owns; returns its id."""
    made = cloud.ec2.create_subnet_cidr_reservation(
        SubnetId=network.subnet_id, Cidr=cidr, ReservationType=kind, Description="ours by hand"
    )
    return str(made["SubnetCidrReservation"]["SubnetCidrReservationId"])


def test_a_reservation_of_the_users_covers_and_stays(cloud: Cloud, public: Network) -> None:
    reservation_id = reserve(cloud, public, "10.0.250.184/31", "explicit")
    before = cloud.inventory()
    stack = into(cloud, public)
    stack.up("--skip-preview")
    made = {
        name for name in (r["urn"].rsplit("::", 1)[1] for r in stack.resources()) if "reservation" in name
    }
    assert made == {"ec2vip-reservation-10.0.250.186", "ec2vip-reservation-10.0.250.187"}
    assert stack.preview() == []
    stack.up("--skip-preview")
    stack.destroy()
    assert cloud.inventory() == before
    cloud.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation_id)


def test_a_reservation_for_prefixes_is_refused(cloud: Cloud, public: Network) -> None:
    reservation_id = reserve(cloud, public, "10.0.250.176/28", "prefix")
    said = refusal(into(cloud, public))
    assert (
        f"vip 10.0.250.185 is in the reservation {reservation_id} (10.0.250.176/28) of the type prefix"
        in said
    )
    cloud.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation_id)


def test_an_endpoint_that_has_the_private_name_already_is_named(cloud: Cloud) -> None:
    network = make_network(cloud, public=True)
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        cloud.ec2.modify_vpc_attribute(VpcId=network.vpc_id, **{attribute: {"Value": True}})
    made = cloud.ec2.create_vpc_endpoint(
        VpcId=network.vpc_id,
        ServiceName="com.amazonaws.us-east-1.ec2",
        VpcEndpointType="Interface",
        SubnetIds=[network.subnet_id],
        PrivateDnsEnabled=True,
    )
    endpoint_id = made["VpcEndpoint"]["VpcEndpointId"]
    stack = cloud.stack(settings={**NO_NETWORK, "subnetId": network.subnet_id, "endpoints": True})
    said = refusal(stack)
    assert (
        f"endpoints true needs the private DNS name of com.amazonaws.us-east-1.ec2, which {endpoint_id}"
        in said
    )


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
            [
                "publicIps true does not match {subnet}, which gives no public addresses",
                "endpoints true needs DNS names",
            ],
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
    stack.configure(
        {
            "subnetCidr": "10.0.251.0/24",
            "vip": "10.0.251.185",
            "nodeIps": ["10.0.251.186", "10.0.251.187"],
        }
    )
    calls = len(cloud.calls)
    stack.up("--skip-preview")
    # A service must not have two endpoints at once, nor endpoints in two subnets of a zone.
    about = [
        c
        for c in cloud.calls[calls:]
        if c.endswith(("CreateVpcEndpoint", "DeleteVpcEndpoints", "ModifyVpcEndpoint"))
    ]
    assert about == ["ec2:DeleteVpcEndpoints"] * 2 + ["ec2:CreateVpcEndpoint"] * 2
    stack.destroy()
    assert cloud.inventory() == before
