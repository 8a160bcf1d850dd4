"""What the nodes may do, to the letter."""

from __future__ import annotations

import json

from infra.identity import key_policy, trust_policy, vip_policy

from .recording import of_type, record_pair

KEY = bytes(range(256))
SUBNET = "arn:aws-cn:ec2:cn-north-1:123456789012:subnet/subnet-1"


def test_the_agent_may_do_three_things_and_two_of_them_in_its_subnet_alone() -> None:
    assert vip_policy(SUBNET) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "MoveAddresses",
                "Effect": "Allow",
                "Action": ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
                "Resource": "arn:aws-cn:ec2:cn-north-1:123456789012:network-interface/*",
                "Condition": {"ArnEquals": {"ec2:Subnet": SUBNET}},
            },
            {
                "Sid": "SeeInterfaces",
                "Effect": "Allow",
                "Action": "ec2:DescribeNetworkInterfaces",
                "Resource": "*",
            },
        ],
    }


def test_ec2_alone_may_take_the_role() -> None:
    (statement,) = trust_policy()["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


def test_the_role_has_that_policy_for_its_own_subnet() -> None:
    made, _ = record_pair()
    subnet = "arn:aws:ec2:us-east-1:123456789012:subnet/ec2vip-subnet-id"
    assert json.loads(made["ec2vip-policy"].inputs["policy"]) == vip_policy(subnet)


def test_session_manager_is_let_in_only_when_asked() -> None:
    made, _ = record_pair()
    assert "ec2vip-policy-ssm" not in made
    made, _ = record_pair(ssm=True)
    arn = made["ec2vip-policy-ssm"].inputs["policyArn"]
    assert arn == "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


def test_a_node_may_read_its_key_and_no_other_parameter() -> None:
    made, _ = record_pair(encryption_key=KEY)
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/ec2vip-corosync-key"
    assert json.loads(made["ec2vip-policy-key"].inputs["policy"]) == key_policy(arn)
    assert key_policy(arn)["Statement"] == [
        {"Sid": "ReadCorosyncKey", "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": arn}
    ]


def test_without_encryption_there_is_no_parameter_and_no_permission_for_one() -> None:
    made, _ = record_pair()
    assert not list(of_type(made, ":Parameter"))
    assert "ssm:" not in "".join(policy.inputs["policy"] for policy in of_type(made, ":RolePolicy"))
