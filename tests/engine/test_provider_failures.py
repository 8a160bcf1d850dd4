"""Failures and ending instances have the same effect in the stand-in as in terraform-provider-aws."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends

from tests.aws.provider.call_table import flat
from tests.aws.provider.calls import RESOURCES
from tests.aws.provider.service import Provider

from .cloud import REGION, Cloud
from .provider_life import OPERATIONS, Life, RefusedError, environment, provider_of
from .provider_lives import World


def test_a_failure_that_only_warns_fails_nothing_and_leaves_the_root_volume_untagged(
    cloud: Cloud, world: World
) -> None:
    """The failure of A2: nobody could tag the root volume, yet the instance counts as created."""
    inputs: dict[str, dict[str, Any]] = {
        "aws:ec2/vpc:Vpc": {"cidrBlock": "10.22.0.0/16"},
        "aws:ec2/instance:Instance": {
            "ami": world.image,
            "instanceType": "t3.micro",
            "subnetId": world.subnet,
            "rootBlockDevice": {"encrypted": True, "tags": {"a": "1"}},
        },
    }
    warned = {
        call.action
        for token in inputs
        for operation in OPERATIONS
        for call in flat(RESOURCES[token].own(operation))
        if call.only_warns
    }
    assert {"ec2:CreateTags", "ec2:DescribeNetworkAcls", "ec2:ModifyInstanceAttribute"} <= warned
    # One type only warns if DescribeVpcs fails, but the other type needs it.
    needed = warned - {"ec2:DescribeVpcs"}
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": sorted(needed), "Resource": "*"},
    ]
    key = cloud.user("warned", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    less = provider_of(cloud, key)
    with environment(cloud, key):
        for token, given in inputs.items():
            life = Life(less, cloud, token)
            life.create(**given)
            if token == "aws:ec2/instance:Instance":
                assert life.state["rootBlockDevice"].get("tags", {}) == {}
                assert life.changes() == ["rootBlockDevice.tags.a"]
                with pytest.raises(RefusedError, match=r"CreateTags.*not authorized"):
                    life.update()
            life.delete()


def test_an_instance_is_gone_when_it_is_terminated_and_not_before(
    provider: Provider, cloud: Cloud, world: World
) -> None:
    life = Life(provider, cloud, "aws:ec2/instance:Instance")
    life.create(ami=world.image, instanceType="t3.micro", subnetId=world.subnet)
    found = ec2_backends[cloud.emulator.account_id][REGION].get_instance(life.id)
    found._state.name, found._state.code = "shutting-down", 32
    state = life.read()
    assert state is not None
    assert state["instanceState"] == "shutting-down"
    assert life.changes() == []
    found._state.name, found._state.code = "terminated", 48
    assert life.read_gone()


def test_a_launch_waits_for_ec2_to_know_the_profile(provider: Provider, cloud: Cloud, world: World) -> None:
    life = Life(provider, cloud, "aws:ec2/instance:Instance")
    asked: list[dict[str, Any]] = []

    def not_yet(**arguments: Any) -> None:
        asked.append(arguments)
        if len(asked) < 3:
            message = (
                "Value (late) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile"
            )
            answer = {"Error": {"Code": "InvalidParameterValue", "Message": message}}
            raise ClientError(answer, "RunInstances")  # type: ignore[arg-type]

    provider.cloud.ec2.meta.events.register("before-call.ec2.RunInstances", not_yet, unique_id="late")
    try:
        life.create(
            ami=world.image,
            instanceType="t3.micro",
            subnetId=world.subnet,
            iamInstanceProfile=world.profiles[0],
        )
    finally:
        provider.cloud.ec2.meta.events.unregister("before-call.ec2.RunInstances", unique_id="late")
    assert len(asked) == 3
    life.delete()


def test_a_failed_change_leaves_the_plan_as_the_state_as_the_older_sdk_does(
    cloud: Cloud, world: World
) -> None:
    """So the next `up` changes nothing, but it refreshes, and the `up` after it sees the difference."""
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["ec2:ModifySubnetAttribute", "ec2:ModifySecurityGroupRules"],
            "Resource": "*",
        },
    ]
    key = cloud.user("denied", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    less = provider_of(cloud, key)
    older: dict[str, Any] = {"vpcId": world.vpc, "cidrBlock": "10.9.8.0/24"}
    newer: dict[str, Any] = {"securityGroupId": world.group(), "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"}
    for token, inputs, change, kept in (
        ("aws:ec2/subnet:Subnet", older, {"mapPublicIpOnLaunch": True}, True),
        ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", newer, {"description": "b"}, None),
    ):
        with environment(cloud, key):
            life = Life(less, cloud, token)
            life.create(**inputs)
            with pytest.raises(RefusedError, match="not authorized"):
                life.update(**change)
        assert life.left_behind.get(next(iter(change))) == kept, token
        life.delete()
