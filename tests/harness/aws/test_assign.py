"""AssignPrivateIpAddresses and UnassignPrivateIpAddresses: results and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.emulator import Settings

from .conftest import NODE_A, NODE_B, VIP, Cloud, error_of


@pytest.fixture
def pair(cloud: Cloud) -> tuple[str, str]:
    """The interfaces of two nodes, each of a type with room for one more address."""
    return cloud.eni(cloud.launch(NODE_A)), cloud.eni(cloud.launch(NODE_B))


def test_an_assigned_address_is_on_the_interface(cloud: Cloud, pair: tuple[str, str]) -> None:
    cloud.assign(pair[0], VIP)
    assert cloud.described(pair[0]) == [NODE_A, VIP]
    assert cloud.emulator.interfaces()[0].secondaries == (VIP,)


def test_the_answer_lists_only_the_addresses_of_this_request(cloud: Cloud, pair: tuple[str, str]) -> None:
    answer = cloud.assign(pair[0], VIP)
    assert answer["NetworkInterfaceId"] == pair[0]
    assert answer["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": VIP}]


def test_without_allow_reassignment_an_address_of_another_interface_stays(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    cloud.assign(pair[0], VIP)
    assert error_of(cloud.assign, pair[1], VIP) == (
        "InvalidParameterValue",
        f"[{VIP}] assigned, but move is not allowed.",
        400,
    )
    assert cloud.described(pair[0]) == [NODE_A, VIP]
    assert cloud.described(pair[1]) == [NODE_B]


def test_with_allow_reassignment_the_address_moves(cloud: Cloud, pair: tuple[str, str]) -> None:
    cloud.assign(pair[0], VIP)
    cloud.assign(pair[1], VIP, AllowReassignment=True)
    assert cloud.described(pair[0]) == [NODE_A]
    assert cloud.described(pair[1]) == [NODE_B, VIP]
    assert [each.secondaries for each in cloud.emulator.interfaces()] == [(), (VIP,)]


def test_a_late_unassign_by_the_former_holder_fails_and_takes_nothing_away(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    cloud.assign(pair[0], VIP)
    cloud.assign(pair[1], VIP, AllowReassignment=True)
    call = cloud.ec2.unassign_private_ip_addresses
    code, message, _ = error_of(call, NetworkInterfaceId=pair[0], PrivateIpAddresses=[VIP])
    assert (code, "not assigned to interface" in message) == ("InvalidParameterValue", True)
    assert cloud.described(pair[1]) == [NODE_B, VIP]
    instances = [each["Instances"][0] for each in cloud.ec2.describe_instances()["Reservations"]]
    shown = {i["PrivateIpAddress"]: i["NetworkInterfaces"][0]["PrivateIpAddresses"] for i in instances}
    assert {node: len(addresses) for node, addresses in shown.items()} == {NODE_A: 1, NODE_B: 2}


def test_a_stopped_nodes_address_can_be_taken_over(cloud: Cloud) -> None:
    first, second = cloud.launch(NODE_A), cloud.launch(NODE_B)
    cloud.assign(cloud.eni(first), VIP)
    cloud.ec2.stop_instances(InstanceIds=[first])
    assert cloud.interface(first).secondaries == (VIP,), "a stopped instance keeps its addresses"
    cloud.assign(cloud.eni(second), VIP, AllowReassignment=True)
    assert cloud.interface(second).secondaries == (VIP,)


@pytest.mark.parametrize("allow", [True, False])
def test_another_interfaces_primary_cannot_be_had(cloud: Cloud, pair: tuple[str, str], allow: bool) -> None:
    found = error_of(cloud.assign, pair[1], NODE_A, AllowReassignment=allow)
    assert found == ("InvalidParameterValue", "secondary-addresses", 400)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.9.1", "Address 127.0.9.1 does not fall within the subnet's address range"),
        ("127.0.250.1", "Address 127.0.250.1 is in subnet's reserved range."),
        ("127.0.250.255", "Address 127.0.250.255 is in subnet's reserved range."),
        ("foo", "invalid value for parameter address: foo"),
    ],
)
def test_an_address_that_cannot_be_in_the_subnet_is_refused(
    cloud: Cloud, pair: tuple[str, str], address: str, message: str
) -> None:
    assert error_of(cloud.assign, pair[0], address) == ("InvalidParameterValue", message, 400)


def test_the_instance_type_limits_the_addresses_of_an_interface(cloud: Cloud) -> None:
    micro, medium = cloud.launch(), cloud.launch(InstanceType="t3.medium")
    cloud.assign(cloud.eni(micro), VIP)
    assert error_of(cloud.assign, cloud.eni(micro), "127.0.250.200") == (
        "PrivateIpAddressLimitExceeded",
        "Number of private addresses will exceed limit.",
        400,
    )
    five = [f"127.0.250.{n}" for n in range(200, 205)]
    cloud.assign(cloud.eni(medium), *five)
    assert error_of(cloud.assign, cloud.eni(medium), "127.0.250.205")[0] == "PrivateIpAddressLimitExceeded"


def test_a_call_that_fails_for_one_address_changes_nothing(cloud: Cloud) -> None:
    eni = cloud.eni(cloud.launch(NODE_A, InstanceType="t3.medium"))
    other = cloud.eni(cloud.launch(NODE_B))
    cloud.assign(other, VIP)
    error_of(cloud.assign, eni, "127.0.250.200", VIP)
    assert cloud.described(eni) == [NODE_A]


def test_addresses_can_be_asked_for_by_number(cloud: Cloud) -> None:
    eni = cloud.eni(cloud.launch(NODE_A, InstanceType="t3.medium"))
    answer = cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=3)
    given = [item["PrivateIpAddress"] for item in answer["AssignedPrivateIpAddresses"]]
    assert cloud.described(eni) == [NODE_A, *given]
    assert len(set(given)) == 3


def test_addresses_asked_for_by_number_are_never_reserved_ones(cloud: Cloud) -> None:
    cloud.ec2.create_subnet_cidr_reservation(
        SubnetId=cloud.subnet_id, Cidr="127.0.250.4/30", ReservationType="explicit"
    )
    eni = cloud.eni(cloud.launch(NODE_A))
    answer = cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    assert answer["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "127.0.250.8"}]
    cloud.ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["127.0.250.8"])
    cloud.assign(eni, "127.0.250.5")  # a reservation keeps addresses for requests by name


def test_a_new_interface_gets_free_addresses_by_number_too(cloud: Cloud) -> None:
    small = cloud.ec2.create_subnet(
        VpcId=cloud.vpc_id, CidrBlock="127.0.6.0/28", AvailabilityZone="us-east-1a"
    )["Subnet"]["SubnetId"]
    made = cloud.ec2.create_network_interface(SubnetId=small, SecondaryPrivateIpAddressCount=10)
    given = [item["PrivateIpAddress"] for item in made["NetworkInterface"]["PrivateIpAddresses"]]
    # A /28 has eleven addresses beside the five that AWS keeps.
    assert sorted(given) == sorted(f"127.0.6.{number}" for number in range(4, 15))
    assert cloud.described(made["NetworkInterface"]["NetworkInterfaceId"]) == given


def test_a_full_subnet_has_no_address_to_give(cloud: Cloud) -> None:
    small = cloud.ec2.create_subnet(
        VpcId=cloud.vpc_id, CidrBlock="127.0.5.0/28", AvailabilityZone="us-east-1a"
    )["Subnet"]["SubnetId"]
    eni = cloud.eni(cloud.launch(SubnetId=small, InstanceType="m5.large"))
    other = cloud.eni(cloud.launch(SubnetId=small, InstanceType="m5.large"))
    cloud.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=9)
    found = error_of(
        cloud.ec2.assign_private_ip_addresses, NetworkInterfaceId=other, SecondaryPrivateIpAddressCount=1
    )
    assert found[:2] == (
        "InvalidParameterValue",
        "There aren't sufficient free Ipv4 addresses or prefixes",
    )
    assert error_of(cloud.launch, SubnetId=small)[0] == "InsufficientFreeAddressesInSubnet"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "InvalidParameter"),
        ({"PrivateIpAddresses": [VIP], "SecondaryPrivateIpAddressCount": 1}, "InvalidParameterCombination"),
    ],
)
def test_addresses_or_their_number_must_be_given(
    cloud: Cloud, pair: tuple[str, str], given: dict[str, Any], code: str
) -> None:
    call = cloud.ec2.assign_private_ip_addresses
    assert error_of(call, NetworkInterfaceId=pair[0], **given)[0] == code


def test_assigning_what_is_there_already_succeeds_and_changes_nothing(
    cloud: Cloud, pair: tuple[str, str]
) -> None:
    cloud.assign(pair[0], VIP)
    answer = cloud.assign(pair[0], VIP)
    assert answer["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": VIP}]
    assert cloud.described(pair[0]) == [NODE_A, VIP]


def test_assigning_what_is_there_already_can_be_made_an_error(new_cloud: Callable[..., Cloud]) -> None:
    cloud = new_cloud(Settings(same_eni_reassign="error"))
    eni = cloud.eni(cloud.launch(NODE_A))
    cloud.assign(eni, VIP)
    assert error_of(cloud.assign, eni, VIP, AllowReassignment=True)[0] == "InvalidParameterValue"


def test_an_unassigned_address_is_gone(cloud: Cloud, pair: tuple[str, str]) -> None:
    cloud.assign(pair[0], VIP)
    cloud.ec2.unassign_private_ip_addresses(NetworkInterfaceId=pair[0], PrivateIpAddresses=[VIP])
    assert cloud.described(pair[0]) == [NODE_A]
    assert cloud.emulator.interfaces()[0].secondaries == ()


def test_an_address_that_is_elsewhere_cannot_be_unassigned(cloud: Cloud, pair: tuple[str, str]) -> None:
    cloud.assign(pair[0], VIP)
    call = cloud.ec2.unassign_private_ip_addresses
    assert error_of(call, NetworkInterfaceId=pair[1], PrivateIpAddresses=[VIP]) == (
        "InvalidParameterValue",
        f"Some of the specified addresses are not assigned to interface {pair[1]}",
        400,
    )
    assert cloud.described(pair[0]) == [NODE_A, VIP]


def test_the_primary_cannot_be_unassigned(cloud: Cloud, pair: tuple[str, str]) -> None:
    call = cloud.ec2.unassign_private_ip_addresses
    code, message, status = error_of(call, NetworkInterfaceId=pair[0], PrivateIpAddresses=[NODE_A])
    assert (code, status) == ("InvalidParameterValue", 400)
    assert "The primary IP address of an interface cannot be unassigned." in message
    assert cloud.described(pair[0]) == [NODE_A]


def test_unassign_needs_an_address(cloud: Cloud, pair: tuple[str, str]) -> None:
    call = cloud.ec2.unassign_private_ip_addresses
    assert error_of(call, NetworkInterfaceId=pair[0])[0] == "MissingParameter"


@pytest.mark.parametrize(
    ("eni_id", "code", "message"),
    [
        (
            "eni-0123456789abcdef0",
            "InvalidNetworkInterfaceID.NotFound",
            "The networkInterface ID 'eni-0123456789abcdef0' does not exist",
        ),
        ("eni-xyz", "InvalidNetworkInterfaceId.Malformed", 'Invalid id: "eni-xyz"'),
    ],
)
def test_an_unknown_interface_is_an_error_in_all_three_calls(
    cloud: Cloud, eni_id: str, code: str, message: str
) -> None:
    given = {"NetworkInterfaceId": eni_id, "PrivateIpAddresses": [VIP]}
    for found in (
        error_of(cloud.ec2.assign_private_ip_addresses, **given),
        error_of(cloud.ec2.unassign_private_ip_addresses, **given),
        error_of(cloud.ec2.describe_network_interfaces, NetworkInterfaceIds=[eni_id]),
    ):
        assert found == (code, message, 400)
