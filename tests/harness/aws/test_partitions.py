"""China and GovCloud have their own names, ARNs, principals and endpoint services."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.aws.emulator.partitions import Partition

from .conftest import NODE_A, Cloud, allow, document, error_of

REGIONS = {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}


@pytest.fixture(params=REGIONS)
def cloud(request: pytest.FixtureRequest, new_cloud: Callable[..., Cloud]) -> Cloud:
    return new_cloud(region=request.param)


def test_every_arn_is_of_the_partition(cloud: Cloud) -> None:
    partition, region = REGIONS[cloud.emulator.region], cloud.emulator.region
    account = cloud.emulator.account_id
    cloud.role("node", allow("ec2:Describe*"))
    instance_id = cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"})
    group = cloud.ec2.create_security_group(GroupName="g", Description="g", VpcId=cloud.vpc_id)
    made = cloud.ec2.create_placement_group(GroupName="p")["PlacementGroup"]
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/x", Value="y", Type="String")
    shown = [
        cloud.client("sts").get_caller_identity()["Arn"],
        cloud.node(instance_id, "sts").get_caller_identity()["Arn"],
        cloud.client("iam").get_role(RoleName="node")["Role"]["Arn"],
        cloud.client("iam").get_instance_profile(InstanceProfileName="node")["InstanceProfile"]["Arn"],
        cloud.ec2.describe_subnets(SubnetIds=[cloud.subnet_id])["Subnets"][0]["SubnetArn"],
        cloud.ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"][0][
            "SecurityGroupArn"
        ],
        made["GroupArn"],
        ssm.get_parameter(Name="/x")["Parameter"]["ARN"],
        json.loads(cloud.metadata(instance_id).get("meta-data/iam/info"))["InstanceProfileArn"],
    ]
    assert {arn.split(":")[1] for arn in shown} == {partition}
    assert f"arn:{partition}:sts::{account}:assumed-role/node/{instance_id}" in shown
    denied = error_of(cloud.node(instance_id).stop_instances, InstanceIds=[instance_id])
    assert f"arn:{partition}:ec2:{region}:{account}:instance/{instance_id}" in denied[1]


def test_names_are_the_partitions(cloud: Cloud) -> None:
    region, suffix = cloud.emulator.region, Partition.of(cloud.emulator.region).dns_suffix
    instance_id = cloud.launch(NODE_A)
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[cloud.eni(instance_id)])[
        "NetworkInterfaces"
    ]
    assert found["PrivateDnsName"] == f"ip-127-0-250-186.{region}.compute.internal"
    assert suffix == ("amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com")
    assert cloud.metadata(instance_id).get("meta-data/services/domain") == suffix
    assert cloud.metadata(instance_id).get("meta-data/services/partition") == REGIONS[region]


def test_chinas_endpoint_services_are_not_all_named_alike(cloud: Cloud) -> None:
    region = cloud.emulator.region
    before = "cn." if region == "cn-north-1" else ""
    found = set(cloud.ec2.describe_vpc_endpoint_services()["ServiceNames"])
    assert {f"{before}com.amazonaws.{region}.ec2", f"com.amazonaws.{region}.ssm"} <= found
    assert f"{before}com.amazonaws.{region}.ssm" in found or before
    cloud.ec2.modify_vpc_attribute(VpcId=cloud.vpc_id, EnableDnsHostnames={"Value": True})
    request = {"VpcId": cloud.vpc_id, "VpcEndpointType": "Interface", "SubnetIds": [cloud.subnet_id]}
    if before:
        wrong = error_of(cloud.ec2.create_vpc_endpoint, ServiceName=f"com.amazonaws.{region}.ec2", **request)
        assert wrong[0] == "InvalidServiceName"
    made = cloud.ec2.create_vpc_endpoint(ServiceName=f"{before}com.amazonaws.{region}.ec2", **request)
    names = [entry["DnsName"] for entry in made["VpcEndpoint"]["DnsEntries"]]
    assert f"ec2.{region}.{Partition.of(region).dns_suffix}" in names


def test_a_role_is_passed_to_the_partitions_own_name_of_the_service(cloud: Cloud) -> None:
    cloud.role("node")
    region = cloud.emulator.region
    right = "ec2.amazonaws.com.cn" if region.startswith("cn-") else "ec2.amazonaws.com"
    wrong = "ec2.amazonaws.com" if region.startswith("cn-") else "ec2.amazonaws.com.cn"
    ec2 = cloud.client("ec2", **cloud.user("deployer", allow("ec2:*")))
    request = cloud.request(IamInstanceProfile={"Name": "node"})

    def passing(service: str) -> None:
        statement = allow("iam:PassRole", StringEquals={"iam:PassedToService": service})
        cloud.client("iam").put_user_policy(
            UserName="deployer", PolicyName="passes", PolicyDocument=document(statement)
        )

    passing(wrong)
    assert "iam:PassRole" in error_of(ec2.run_instances, **request)[1]
    passing(right)
    ec2.run_instances(**request)


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"])
def test_china_takes_both_names_of_ec2_in_a_roles_trust(
    new_cloud: Callable[..., Cloud], service: str
) -> None:
    cloud = new_cloud(region="cn-north-1")
    cloud.role("node")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    cloud.client("iam").update_assume_role_policy(RoleName="node", PolicyDocument=document(trust))
    assert cloud.credentials(cloud.launch(NODE_A, IamInstanceProfile={"Name": "node"}))["AccessKeyId"]


def test_a_region_of_no_partition_is_an_error() -> None:
    with pytest.raises(ValueError, match="no partition"):
        Partition.of("moon-base-1")
