"""The exact permissions of the nodes."""

from __future__ import annotations

import json

import pytest

from infra.errors import ConfigError
from infra.identity import SSM_POLICY, parameter_policy, trust_policy, vip_policy

from .policy_rules import problems
from .recording import ACCOUNT, of_type, record_pair

KEY = bytes(range(256))
OWNER = "210987654321"
"""The account that owns a shared subnet."""
SUBNET = f"arn:aws-cn:ec2:cn-north-1:{OWNER}:subnet/subnet-1"
GOV = {
    "aws:index/getPartition:getPartition": {"partition": "aws-us-gov", "dnsSuffix": "amazonaws.com"},
}
CHINA = {
    "aws:index/getPartition:getPartition": {"partition": "aws-cn", "dnsSuffix": "amazonaws.com.cn"},
}


def test_the_agent_may_do_three_things_and_two_of_them_to_the_pairs_interfaces_alone() -> None:
    assert vip_policy(SUBNET, ACCOUNT, "ec2vip/dev/billing") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "MoveAddresses",
                "Effect": "Allow",
                "Action": ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
                "Resource": f"arn:aws-cn:ec2:cn-north-1:{ACCOUNT}:network-interface/*",
                "Condition": {
                    "ArnEquals": {"ec2:Subnet": SUBNET},
                    "StringEquals": {"aws:ResourceTag/ec2vip:pair": "ec2vip/dev/billing"},
                },
            },
            {
                "Sid": "SeeInterfaces",
                "Effect": "Allow",
                "Action": "ec2:DescribeNetworkInterfaces",
                "Resource": "*",
            },
        ],
    }


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_aws_has_what_the_nodes_policies_name(partition: str) -> None:
    subnet = f"arn:{partition}:ec2:eu-west-1:{OWNER}:subnet/subnet-1"
    key = f"arn:{partition}:ssm:eu-west-1:{ACCOUNT}:parameter/ec2vip/ec2vip/dev/ec2vip/corosync-key"
    assert list(problems([vip_policy(subnet, ACCOUNT, "a/b/c"), parameter_policy(key)], never={})) == []


@pytest.mark.parametrize("suffix", ["amazonaws.com", "amazonaws.com.cn"])
def test_ec2_alone_may_take_the_role(suffix: str) -> None:
    (statement,) = trust_policy(suffix)["Statement"]
    assert statement["Principal"] == {"Service": f"ec2.{suffix}"}
    assert statement["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize(
    ("answers", "service"), [(CHINA, "ec2.amazonaws.com.cn"), (GOV, "ec2.amazonaws.com")]
)
def test_the_partition_names_ec2_and_session_managers_policy(
    answers: dict[str, dict[str, str]], service: str
) -> None:
    made, _ = record_pair(answers=answers, ssm=True)
    trusted = json.loads(made["ec2vip-role"].inputs["assumeRolePolicy"])
    assert trusted["Statement"][0]["Principal"] == {"Service": service}
    partition = answers["aws:index/getPartition:getPartition"]["partition"]
    assert made["ec2vip-policy-ssm"].inputs["policyArn"] == f"arn:{partition}:iam::aws:policy/{SSM_POLICY}"


def test_the_role_has_that_policy_for_its_own_subnet_and_the_callers_account() -> None:
    made, _ = record_pair()
    subnet = "arn:aws:ec2:us-east-1:123456789012:subnet/ec2vip-subnet-id"
    assert json.loads(made["ec2vip-policy"].inputs["policy"]) == vip_policy(
        subnet, ACCOUNT, "ec2vip/test/ec2vip"
    )


def test_role_and_profile_have_the_pairs_path_and_the_role_has_the_boundary() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/nodes"
    made, _ = record_pair(permissions_boundary=boundary)
    assert (
        made["ec2vip-role"].inputs["path"] == made["ec2vip-profile"].inputs["path"] == "/ec2vip/test/ec2vip/"
    )
    assert made["ec2vip-role"].inputs["permissionsBoundary"] == boundary
    made, _ = record_pair()
    assert "permissionsBoundary" not in made["ec2vip-role"].inputs


@pytest.mark.parametrize(
    ("name", "rule"),
    [("a pair", "other than letters"), ("a*", "other than letters"), ("x" * 52, "52 characters")],
)
def test_a_name_that_iam_does_not_take_is_refused(name: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        record_pair(name)


def test_session_manager_is_let_in_only_when_asked() -> None:
    made, _ = record_pair()
    assert "ec2vip-policy-ssm" not in made
    made, _ = record_pair(ssm=True)
    arn = made["ec2vip-policy-ssm"].inputs["policyArn"]
    assert arn == f"arn:aws:iam::aws:policy/{SSM_POLICY}"


def test_a_node_may_read_its_key_and_no_other_parameter() -> None:
    made, _ = record_pair(encryption_key=KEY)
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip/ec2vip/test/ec2vip/corosync-key"
    assert json.loads(made["ec2vip-policy-key"].inputs["policy"]) == parameter_policy(arn)
    assert parameter_policy(arn)["Statement"] == [
        {"Sid": "ReadParameter", "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": arn}
    ]


def test_without_encryption_there_is_no_parameter_and_no_permission_for_one() -> None:
    made, _ = record_pair()
    assert not list(of_type(made, ":Parameter"))
    assert "ssm:" not in "".join(policy.inputs["policy"] for policy in of_type(made, ":RolePolicy"))
