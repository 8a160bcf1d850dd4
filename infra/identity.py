"""Who the nodes are to AWS, and the three things that they may do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from .tags import Scope

POLICY_VERSION = "2012-10-17"
SSM_POLICY = "AmazonSSMManagedInstanceCore"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The nodes' role and its instance profile; `ready` is what a node needs before its first boot."""

    role: aws.iam.Role
    profile: aws.iam.InstanceProfile
    ready: tuple[pulumi.Resource, ...]


def trust_policy() -> dict[str, Any]:
    """Who may take the role: EC2, for an instance."""
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def vip_policy(subnet_arn: str) -> dict[str, Any]:
    """What the agent may do: see interfaces, and move addresses among those of its own subnet.

    EC2 has no resource and no condition for DescribeNetworkInterfaces, and no condition for the address that
    the other two move: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    """
    interfaces = subnet_arn.rsplit(":", 1)[0] + ":network-interface/*"
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "MoveAddresses",
                "Effect": "Allow",
                "Action": ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
                "Resource": interfaces,
                "Condition": {"ArnEquals": {"ec2:Subnet": subnet_arn}},
            },
            {
                "Sid": "SeeInterfaces",
                "Effect": "Allow",
                "Action": "ec2:DescribeNetworkInterfaces",
                "Resource": "*",
            },
        ],
    }


def _document(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, sort_keys=True)


def make_identity(scope: Scope, subnet_arn: pulumi.Input[str], ssm: bool) -> Identity:
    """The role, its policy for this subnet, and the instance profile that hands it to a node."""
    role = aws.iam.Role(
        scope.part("role"),
        assume_role_policy=_document(trust_policy()),
        description=f"The nodes of the floating IP pair {scope.name}",
        tags=scope.tags("role"),
        opts=scope.options(),
    )
    policies: list[pulumi.Resource] = [
        aws.iam.RolePolicy(
            scope.part("policy"),
            role=role.name,
            policy=pulumi.Output.from_input(subnet_arn).apply(lambda arn: _document(vip_policy(arn))),
            opts=scope.options(),
        )
    ]
    if ssm:
        partition = pulumi.Output.from_input(subnet_arn).apply(lambda arn: arn.split(":")[1])
        policies.append(
            aws.iam.RolePolicyAttachment(
                scope.part("policy-ssm"),
                role=role.name,
                policy_arn=pulumi.Output.format("arn:{0}:iam::aws:policy/{1}", partition, SSM_POLICY),
                opts=scope.options(),
            )
        )
    profile = aws.iam.InstanceProfile(
        scope.part("profile"), role=role.name, tags=scope.tags("profile"), opts=scope.options()
    )
    return Identity(role=role, profile=profile, ready=tuple(policies))
