"""Interface endpoints: which services exist, private DNS, and at most one subnet per zone."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from .conftest import SUBNET, Cloud, error_of

EC2 = "com.amazonaws.us-east-1.ec2"


@pytest.fixture
def named(cloud: Cloud) -> Cloud:
    """A cloud whose VPC gives its hosts DNS names."""
    cloud.ec2.modify_vpc_attribute(VpcId=cloud.vpc_id, EnableDnsHostnames={"Value": True})
    return cloud


def request(cloud: Cloud, **more: Any) -> dict[str, Any]:
    given = {
        "VpcId": cloud.vpc_id,
        "ServiceName": EC2,
        "VpcEndpointType": "Interface",
        "PrivateDnsEnabled": True,
    }
    return {**given, "SubnetIds": [cloud.subnet_id], **more}


def test_a_service_that_there_is_not_has_no_endpoint(named: Cloud) -> None:
    text = "The Vpc Endpoint Service 'com.amazonaws.us-east-1.ec3' does not exist"
    wrong = {"ServiceName": "com.amazonaws.us-east-1.ec3"}
    assert error_of(named.ec2.create_vpc_endpoint, **request(named, **wrong)) == (
        "InvalidServiceName",
        text,
        400,
    )
    found = error_of(named.ec2.describe_vpc_endpoint_services, ServiceNames=[wrong["ServiceName"]])
    assert found == ("InvalidServiceName", text, 400)
    gateway = error_of(named.ec2.create_vpc_endpoint, VpcId=named.vpc_id, ServiceName=EC2)
    assert gateway[0] == "InvalidParameter"


def test_services_are_found_by_the_end_of_their_name(named: Cloud) -> None:
    filters = [
        {"Name": "service-name", "Values": ["*.us-east-1.ec2"]},
        {"Name": "service-type", "Values": ["Interface"]},
    ]
    (found,) = named.ec2.describe_vpc_endpoint_services(Filters=filters)["ServiceDetails"]
    assert (found["ServiceName"], found["PrivateDnsName"]) == (EC2, "ec2.us-east-1.amazonaws.com")


def test_an_endpoint_has_an_interface_with_an_address_of_its_subnet(named: Cloud) -> None:
    made = named.ec2.create_vpc_endpoint(**request(named))["VpcEndpoint"]
    shown = named.ec2.describe_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["VpcEndpoints"]
    assert [(each["ServiceName"], each["VpcId"], each["PrivateDnsEnabled"]) for each in shown] == [
        (EC2, named.vpc_id, True)
    ]
    assert "ec2.us-east-1.amazonaws.com" in [entry["DnsName"] for entry in shown[0]["DnsEntries"]]
    (eni,) = named.ec2.describe_network_interfaces(NetworkInterfaceIds=made["NetworkInterfaceIds"])[
        "NetworkInterfaces"
    ]
    assert ipaddress.ip_address(eni["PrivateIpAddress"]) in ipaddress.ip_network(SUBNET)
    assert (eni["InterfaceType"], eni["RequesterManaged"]) == ("vpc_endpoint", True)
    assert eni["Description"] == f"VPC Endpoint Interface {made['VpcEndpointId']}"
    named.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    assert named.emulator.interfaces() == []


def test_a_vpc_has_one_endpoint_of_a_service_with_private_dns(named: Cloud) -> None:
    first = named.ec2.create_vpc_endpoint(**request(named))["VpcEndpoint"]["VpcEndpointId"]
    refused = (
        "InvalidParameter",
        "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
        f"ec2.us-east-1.amazonaws.com in the VPC {named.vpc_id}",
        400,
    )
    assert error_of(named.ec2.create_vpc_endpoint, **request(named)) == refused
    second = named.ec2.create_vpc_endpoint(**request(named, PrivateDnsEnabled=False))["VpcEndpoint"]
    change = {"VpcEndpointId": second["VpcEndpointId"], "PrivateDnsEnabled": True}
    assert error_of(named.ec2.modify_vpc_endpoint, **change) == refused
    named.ec2.delete_vpc_endpoints(VpcEndpointIds=[first])
    named.ec2.modify_vpc_endpoint(**change)
    named.ec2.create_vpc_endpoint(**request(named, ServiceName="com.amazonaws.us-east-1.ssm"))


def test_private_dns_needs_a_vpc_with_names(cloud: Cloud) -> None:
    code, text, _ = error_of(cloud.ec2.create_vpc_endpoint, **request(cloud))
    assert code == "InvalidParameter"
    assert "enableDnsHostnames" in text


def test_an_endpoint_has_one_subnet_in_a_zone(named: Cloud) -> None:
    def subnet(number: int, zone: str) -> str:
        made = named.ec2.create_subnet(
            VpcId=named.vpc_id, CidrBlock=f"127.0.{number}.0/24", AvailabilityZone=zone
        )
        return str(made["Subnet"]["SubnetId"])

    same, other = subnet(20, "us-east-1a"), subnet(21, "us-east-1b")
    both = error_of(named.ec2.create_vpc_endpoint, **request(named, SubnetIds=[named.subnet_id, same]))
    assert both == (
        "DuplicateSubnetsInSameZone",
        f"Found another VPC endpoint subnet in the availability zone of {same}. VPC endpoint subnets should be in "
        "different availability zones supported by the VPC endpoint service.",
        400,
    )
    made = named.ec2.create_vpc_endpoint(**request(named))["VpcEndpoint"]["VpcEndpointId"]
    assert error_of(named.ec2.modify_vpc_endpoint, VpcEndpointId=made, AddSubnetIds=[same])[0] == both[0]
    named.ec2.modify_vpc_endpoint(VpcEndpointId=made, AddSubnetIds=[other])
    named.ec2.modify_vpc_endpoint(VpcEndpointId=made, AddSubnetIds=[same], RemoveSubnetIds=[named.subnet_id])
    assert {each.subnet_id for each in named.emulator.interfaces()} == {same, other}
