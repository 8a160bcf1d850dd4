"""DescribeNetworkInterfaces: filters, pages, and finding an address wherever it is."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import NODE_A, NODE_B, VIP, Cloud, error_of


def found(cloud: Cloud, **filters: str) -> list[str]:
    """Primary addresses of the matching interfaces. In a filter's name, _ stands for - and __ for a dot."""
    asked = [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in filters.items()
    ]
    answer = cloud.ec2.describe_network_interfaces(Filters=asked)
    return sorted(each["PrivateIpAddress"] for each in answer["NetworkInterfaces"])


@pytest.fixture
def nodes(cloud: Cloud) -> tuple[str, str]:
    a, b = cloud.launch(NODE_A), cloud.launch(NODE_B)
    cloud.assign(cloud.eni(b), VIP)
    return a, b


def test_a_secondary_address_is_found_by_either_filter(cloud: Cloud, nodes: tuple[str, str]) -> None:
    assert found(cloud, addresses__private_ip_address=VIP) == [NODE_B]
    assert found(cloud, private_ip_address=VIP) == [NODE_B]
    assert found(cloud, addresses__private_ip_address="127.0.250.18") == [], "a prefix is no match"


def test_a_moved_address_is_found_on_its_new_interface_alone(cloud: Cloud, nodes: tuple[str, str]) -> None:
    cloud.assign(cloud.eni(nodes[0]), VIP, AllowReassignment=True)
    assert found(cloud, addresses__private_ip_address=VIP) == [NODE_A]


def test_filters_speak_of_attachment_subnet_and_status(cloud: Cloud, nodes: tuple[str, str]) -> None:
    cloud.ec2.create_network_interface(SubnetId=cloud.subnet_id, PrivateIpAddress="127.0.250.50")
    assert found(cloud, attachment__instance_id=nodes[0]) == [NODE_A]
    assert found(cloud, attachment__status="attached") == [NODE_A, NODE_B]
    assert found(cloud, status="available") == ["127.0.250.50"]
    assert len(found(cloud, subnet_id=cloud.subnet_id)) == 3
    assert found(cloud, network_interface_id=cloud.eni(nodes[1])) == [NODE_B]
    assert found(cloud, addresses__primary="false") == [NODE_B]
    assert found(cloud, vpc_id="vpc-0") == []


def test_values_may_have_wildcards_and_several_filters_must_all_pass(
    cloud: Cloud, nodes: tuple[str, str]
) -> None:
    assert found(cloud, private_ip_address="127.0.250.18?") == [NODE_A, NODE_B]
    assert found(cloud, private_ip_address="*", attachment__instance_id=nodes[1]) == [NODE_B]


def test_an_unknown_filter_is_an_error(cloud: Cloud) -> None:
    assert error_of(found, cloud, no_such_thing="x")[:2] == (
        "InvalidParameterValue",
        "The filter 'no-such-thing' is invalid",
    )


def test_pages_hold_each_interface_once(cloud: Cloud) -> None:
    for _ in range(12):
        cloud.ec2.create_network_interface(SubnetId=cloud.subnet_id)
    pages = list(cloud.ec2.get_paginator("describe_network_interfaces").paginate(MaxResults=5))
    assert [len(page["NetworkInterfaces"]) for page in pages] == [5, 5, 2]
    assert len({each["NetworkInterfaceId"] for page in pages for each in page["NetworkInterfaces"]}) == 12


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MaxResults": 4}, "InvalidParameterValue"),
        ({"MaxResults": 1001}, "InvalidParameterValue"),
        ({"NextToken": "nonsense"}, "InvalidParameterValue"),
    ],
)
def test_bad_pages_are_errors(cloud: Cloud, given: dict[str, Any], code: str) -> None:
    assert error_of(cloud.ec2.describe_network_interfaces, **given)[0] == code


def test_ids_and_pages_exclude_each_other(cloud: Cloud, nodes: tuple[str, str]) -> None:
    call = cloud.ec2.describe_network_interfaces
    code, _, _ = error_of(call, NetworkInterfaceIds=[cloud.eni(nodes[0])], MaxResults=5)
    assert code == "InvalidParameterCombination"


def test_groups_of_an_interface_can_be_changed_either_way(cloud: Cloud, nodes: tuple[str, str]) -> None:
    made = [
        cloud.ec2.create_security_group(GroupName=name, Description=name, VpcId=cloud.vpc_id)["GroupId"]
        for name in ("one", "two")
    ]
    cloud.ec2.modify_instance_attribute(InstanceId=nodes[0], Groups=[made[0]])
    assert cloud.interface(nodes[0]).security_group_ids == (made[0],)
    cloud.ec2.modify_network_interface_attribute(NetworkInterfaceId=cloud.eni(nodes[0]), Groups=[made[1]])
    assert cloud.interface(nodes[0]).security_group_ids == (made[1],)
    instance = cloud.ec2.describe_instances(InstanceIds=[nodes[0]])["Reservations"][0]["Instances"][0]
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == [made[1]]


def test_the_source_destination_check_shows_in_the_interface(cloud: Cloud, nodes: tuple[str, str]) -> None:
    assert cloud.interface(nodes[0]).source_dest_check
    cloud.ec2.modify_instance_attribute(InstanceId=nodes[0], SourceDestCheck={"Value": False})
    assert not cloud.interface(nodes[0]).source_dest_check
