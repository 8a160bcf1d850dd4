"""Zones without the instance type, and EC2's default quotas."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import NODE_A, Cloud, error_of

ELSEWHERE = "127.0.251.0/24"


def subnet_in(cloud: Cloud, zone: str) -> str:
    made = cloud.ec2.create_subnet(VpcId=cloud.vpc_id, CidrBlock=ELSEWHERE, AvailabilityZone=zone)
    return str(made["Subnet"]["SubnetId"])


def test_a_type_cannot_be_launched_in_a_zone_that_has_it_not(cloud: Cloud) -> None:
    assert error_of(cloud.launch, SubnetId=subnet_in(cloud, "us-east-1e")) == (
        "Unsupported",
        "Your requested instance type (t3.micro) is not supported in your requested Availability Zone "
        "(us-east-1e). Please retry your request by not specifying an Availability Zone or choosing us-east-1a, "
        "us-east-1b, us-east-1c, us-east-1d, us-east-1f.",
        400,
    )
    assert cloud.emulator.instances() == []


def test_the_offerings_say_where_a_type_is(cloud: Cloud) -> None:
    def zones(**more: Any) -> set[str]:
        filters = [{"Name": "instance-type", "Values": ["t3.micro"]}]
        found = cloud.ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=[*filters, *more.get("Filters", [])]
        )
        return {each["Location"] for each in found["InstanceTypeOfferings"]}

    assert zones() == {f"us-east-1{letter}" for letter in "abcdf"}
    assert zones(Filters=[{"Name": "location", "Values": ["us-east-1e"]}]) == set()
    regional = cloud.ec2.describe_instance_type_offerings()["InstanceTypeOfferings"]
    assert {each["Location"] for each in regional} == {"us-east-1"}
    wrong = [{"Name": "zone", "Values": ["x"]}]
    assert error_of(cloud.ec2.describe_instance_type_offerings, Filters=wrong)[0] == "InvalidParameterValue"


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_a_group_has_at_most_sixty_rules_in_a_direction(cloud: Cloud, way: str) -> None:
    made = cloud.ec2.create_security_group(GroupName="g", Description="g", VpcId=cloud.vpc_id)["GroupId"]
    authorize = getattr(cloud.ec2, f"authorize_security_group_{way}")
    room = 60 if way == "ingress" else 59  # a new group already lets everything out

    def allow(*numbers: int, **more: Any) -> dict[str, Any]:
        ranges = [{"CidrIp": f"10.0.{number}.0/24"} for number in numbers]
        permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": ranges, **more}
        return {"GroupId": made, "IpPermissions": [permission]}

    refused = (
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
        400,
    )
    assert error_of(authorize, **allow(*range(room + 1))) == refused
    authorize(**allow(*range(room - 1)))
    authorize(**allow(UserIdGroupPairs=[{"GroupId": made}]))
    assert error_of(authorize, **allow(200)) == refused
    # A rule that names a group counts towards the IPv6 quota too; an IPv4 rule does not.
    authorize(**allow(Ipv6Ranges=[{"CidrIpv6": "2001:db8::/64"}]))


def test_an_interface_has_at_most_five_groups(cloud: Cloud) -> None:
    groups = [
        cloud.ec2.create_security_group(GroupName=f"g{n}", Description="g", VpcId=cloud.vpc_id)["GroupId"]
        for n in range(6)
    ]
    instance_id = cloud.launch(NODE_A, SecurityGroupIds=groups[:5])
    eni = cloud.eni(instance_id)
    for call, arguments in (
        (cloud.launch, {"SecurityGroupIds": groups}),
        (cloud.ec2.create_network_interface, {"SubnetId": cloud.subnet_id, "Groups": groups}),
        (cloud.ec2.modify_network_interface_attribute, {"NetworkInterfaceId": eni, "Groups": groups}),
        (cloud.ec2.modify_instance_attribute, {"InstanceId": instance_id, "Groups": groups}),
    ):
        assert error_of(call, **arguments)[0] == "SecurityGroupsPerInterfaceLimitExceeded"
