"""Who the nodes are to AWS, and the three things that they may do."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudinit.spec import digest_of

from .tags import Scope

POLICY_VERSION = "2012-10-17"
KEY_PART = "corosync-key"
SSM_POLICY = "AmazonSSMManagedInstanceCore"


@dataclass(frozen=True, kw_only=True)
class Key:
    """Corosync's key: the parameter that holds it, and `digest_of` it."""

    parameter: aws.ssm.Parameter
    digest: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The nodes' role and its instance profile; `ready` is what a node needs before its first boot.

    `key` is None where the nodes' traffic is not encrypted.
    """

    role: aws.iam.Role
    profile: aws.iam.InstanceProfile
    key: Key | None
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


def key_policy(parameter_arn: str) -> dict[str, Any]:
    """What a node may do to get Corosync's key: read that one parameter.

    It is encrypted with the account's key aws/ssm, whose own policy lets every principal of the account use it
    through the Systems Manager, so that no permission of KMS is needed:
    https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    """
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "ReadCorosyncKey",
                "Effect": "Allow",
                "Action": "ssm:GetParameter",
                "Resource": parameter_arn,
            }
        ],
    }


def _document(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, sort_keys=True)


def make_identity(
    scope: Scope, subnet_arn: pulumi.Input[str], ssm: bool, encryption_key: bytes | None
) -> Identity:
    """The role, its policies for this subnet and this key, and the instance profile that hands it to a node."""
    role = aws.iam.Role(
        scope.part("role"),
        assume_role_policy=_document(trust_policy()),
        description=f"The nodes of the floating IP pair {scope.name}",
        tags=scope.tags("role"),
        opts=scope.options(),
    )
    policies: list[pulumi.Resource] = [_add_policy(scope, "policy", role, subnet_arn, vip_policy)]
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
    key = None
    if encryption_key is not None:
        key = Key(parameter=_make_parameter(scope, encryption_key), digest=digest_of(encryption_key))
        policies.append(_add_policy(scope, "policy-key", role, key.parameter.arn, key_policy))
    profile = aws.iam.InstanceProfile(
        scope.part("profile"), role=role.name, tags=scope.tags("profile"), opts=scope.options()
    )
    return Identity(role=role, profile=profile, key=key, ready=tuple(policies))


def _add_policy(
    scope: Scope,
    part: str,
    role: aws.iam.Role,
    arn: pulumi.Input[str],
    policy: Callable[[str], Mapping[str, Any]],
) -> aws.iam.RolePolicy:
    return aws.iam.RolePolicy(
        scope.part(part),
        role=role.name,
        policy=pulumi.Output.from_input(arn).apply(lambda arn: _document(policy(arn))),
        opts=scope.options(),
    )


def _make_parameter(scope: Scope, key: bytes) -> aws.ssm.Parameter:
    """The key in the Systems Manager, under a name that Pulumi makes up, with no slash in it."""
    return aws.ssm.Parameter(
        scope.part(KEY_PART),
        type="SecureString",
        value=pulumi.Output.secret(base64.b64encode(key).decode("ascii")),
        description=f"Corosync's key of the floating IP pair {scope.name}",
        tags=scope.tags(KEY_PART),
        opts=scope.options(),
    )
