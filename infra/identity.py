"""Who the nodes are to AWS, and what they may do."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudinit.spec import digest_of

from .tags import PAIR, Scope

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


def path(full_name: str) -> str:
    """The path of the pair's role and instance profile, for policies to name these two and no others."""
    return f"/{full_name}/"


def key_parameter(full_name: str) -> str:
    """The name of the parameter with Corosync's key. No project's name comes first: the Systems Manager refuses
    parameters whose names start with aws or ssm."""
    return f"/ec2vip/{full_name}/{KEY_PART}"


def trust_policy(dns_suffix: str) -> dict[str, Any]:
    """Who may take the role: EC2, for an instance. `dns_suffix` is the partition's, such as amazonaws.com."""
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": f"ec2.{dns_suffix}"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def vip_policy(subnet_arn: str, account: str, full_name: str) -> dict[str, Any]:
    """What the agent may do: see interfaces, and move addresses among the pair's own two.

    The interfaces are this account's; the subnet may be that of another account, which shares it. EC2 has no
    resource and no condition for DescribeNetworkInterfaces, and no condition for the address that the others move:
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    """
    _, partition, _, region, *_ = subnet_arn.split(":")
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "MoveAddresses",
                "Effect": "Allow",
                "Action": ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"],
                "Resource": f"arn:{partition}:ec2:{region}:{account}:network-interface/*",
                "Condition": {
                    "ArnEquals": {"ec2:Subnet": subnet_arn},
                    "StringEquals": {f"aws:ResourceTag/{PAIR}": full_name},
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
    scope: Scope,
    subnet_arn: pulumi.Input[str],
    ssm: bool,
    encryption_key: bytes | None,
    permissions_boundary: str | None,
) -> Identity:
    """The role, its policies for this subnet and this key, and the instance profile that hands it to a node."""
    aws_here = aws.get_partition(opts=scope.asks())
    role = aws.iam.Role(
        scope.part("role"),
        path=path(scope.full_name),
        assume_role_policy=_document(trust_policy(aws_here.dns_suffix)),
        permissions_boundary=permissions_boundary,
        description=f"The nodes of the floating IP pair {scope.name}",
        tags=scope.tags("role"),
        opts=scope.options(),
    )
    account = role.arn.apply(lambda arn: arn.split(":")[4])
    may_move = pulumi.Output.all(subnet_arn, account).apply(
        lambda known: _document(vip_policy(known[0], known[1], scope.full_name))
    )
    policies: list[pulumi.Resource] = [_add_policy(scope, "policy", role, may_move)]
    if ssm:
        policies.append(
            aws.iam.RolePolicyAttachment(
                scope.part("policy-ssm"),
                role=role.name,
                policy_arn=f"arn:{aws_here.partition}:iam::aws:policy/{SSM_POLICY}",
                opts=scope.options(),
            )
        )
    key = None
    if encryption_key is not None:
        key = Key(parameter=_make_parameter(scope, encryption_key), digest=digest_of(encryption_key))
        may_read = key.parameter.arn.apply(lambda arn: _document(key_policy(arn)))
        policies.append(_add_policy(scope, "policy-key", role, may_read))
    profile = aws.iam.InstanceProfile(
        scope.part("profile"),
        path=path(scope.full_name),
        role=role.name,
        tags=scope.tags("profile"),
        opts=scope.options(),
    )
    return Identity(role=role, profile=profile, key=key, ready=tuple(policies))


def _add_policy(
    scope: Scope, part: str, role: aws.iam.Role, document: pulumi.Output[str]
) -> aws.iam.RolePolicy:
    return aws.iam.RolePolicy(scope.part(part), role=role.name, policy=document, opts=scope.options())


def _make_parameter(scope: Scope, key: bytes) -> aws.ssm.Parameter:
    """The key in the Systems Manager, under a name that no other stack's parameter has."""
    return aws.ssm.Parameter(
        scope.part(KEY_PART),
        name=key_parameter(scope.full_name),
        type="SecureString",
        value=pulumi.Output.secret(base64.b64encode(key).decode("ascii")),
        description=f"Corosync's key of the floating IP pair {scope.name}",
        tags=scope.tags(KEY_PART),
        opts=scope.options(),
    )
