"""An interrupted run can be resumed: after Ctrl-C, a failed create or a failed destroy."""

from __future__ import annotations

import json
import signal

import pytest

from tests.lab.pulumi_stack import CommandError

from .cloud import ZONE, Cloud, end

ONE_OF_EACH = ("vpcs", "subnets", "gateways", "roles", "profiles", "placement groups")


def test_an_up_that_is_interrupted_can_be_repeated(fresh_cloud: Cloud) -> None:
    cloud, stack = fresh_cloud, fresh_cloud.stack()
    cloud.settings.api_delay_s, cloud.settings.delay_administrator = 0.15, True
    reached = cloud.reached("ec2:CreateSubnet")
    running = stack.begin_up()
    try:
        assert reached.wait(240), "the up never came to the subnet"
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=240)
    finally:
        end(running)
    assert running.returncode != 0
    assert "cancel" in said.lower()
    assert cloud.instances() == {}
    cloud.settings.delay_administrator = False

    stack.up("--skip-preview")
    assert set(cloud.instances()) == {"ec2vip-a", "ec2vip-b"}
    left = cloud.leftovers()
    assert {kind: len(left[kind]) for kind in ONE_OF_EACH} == dict.fromkeys(ONE_OF_EACH, 1)
    assert stack.preview() == []


def test_a_destroy_that_fails_half_way_can_be_repeated(fresh_cloud: Cloud) -> None:
    cloud, stack = fresh_cloud, fresh_cloud.stack()
    stack.up("--skip-preview")
    (role,) = cloud.leftovers()["roles"]
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.iam.put_role_policy(RoleName=role, PolicyName="somebody-elses", PolicyDocument=document)
    with pytest.raises(CommandError) as caught:
        stack.destroy()
    said = caught.value.stdout + caught.value.stderr
    assert "deleting IAM Role" in said
    assert "api error DeleteConflict: " in said
    assert cloud.leftovers()["roles"] == {role}
    cloud.iam.delete_role_policy(RoleName=role, PolicyName="somebody-elses")
    stack.destroy()
    assert cloud.leftovers() == {}


def test_an_up_that_was_refused_for_an_address_that_is_taken_can_be_repeated(fresh_cloud: Cloud) -> None:
    cloud = fresh_cloud
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.250.0/24", AvailabilityZone=ZONE)["Subnet"][
        "SubnetId"
    ]
    taken = cloud.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.0.250.186")
    nowhere = dict.fromkeys(("vpcCidr", "subnetCidr", "availabilityZone"))
    stack = cloud.stack(settings={**nowhere, "subnetId": subnet, "publicIps": False})
    with pytest.raises(CommandError) as caught:
        stack.up("--skip-preview")
    in_the_way = taken["NetworkInterface"]["NetworkInterfaceId"]
    assert f"nodeIps 10.0.250.186 is on {in_the_way}" in caught.value.stdout
    assert cloud.instances() == {}
    cloud.ec2.delete_network_interface(NetworkInterfaceId=in_the_way)
    stack.up("--skip-preview")
    assert set(cloud.instances()) == {"ec2vip-a", "ec2vip-b"}
    assert len(cloud.leftovers()["instances"]) == 2
