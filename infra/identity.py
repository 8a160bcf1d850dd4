"""Who the nodes are to AWS, and what they may do."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from cloudinit.spec import digest_of

from .tags import PAIR, Scope

POLICY_VERSION = "2012-10-17"
KEY_PART, INSTALLER_PART = "corosync-key", "installer"
SSM_POLICY = "AmazonSSMManagedInstanceCore"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What nodes fetch at their first boot: the parameter that holds it, and the digest to check it by.

    `name` is the parameter's, which a preview knows; its ARN is not known before it is made.
    """

    parameter: aws.ssm.Parameter
    name: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The nodes' role and its instance profile; `ready` is what a node needs before its first boot.

    `key` is Corosync's; None if the nodes' traffic is not encrypted. `installer` is the script by which they get
    their packages; None if it is in their user data.
    """

    role: aws.iam.Role
    profile: aws.iam.InstanceProfile
    key: Kept | None
    installer: Kept | None
    ready: tuple[pulumi.Resource, ...]


def path(full_name: str) -> str:
    """The path of the pair's role and instance profile, by which policies can name only these two."""
    return f"/{full_name}/"


def parameter_name(full_name: str, part: str) -> str:
    """The name of the pair's parameter for `part`, which is KEY_PART or INSTALLER_PART.

    A fixed word comes first, since a project's name may start with aws or ssm: Systems Manager refuses such names.
    """
    return f"/ec2vip/{full_name}/{part}"


def trust_policy(dns_suffix: str) -> dict[str, Any]:
    """Who may assume the role: EC2, for an instance. `dns_suffix` is the partition's (amazonaws.com, …)."""
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

    The interfaces are in this account; the subnet may belong to another account, which shares it. EC2 has neither
    resource nor condition for DescribeNetworkInterfaces, and no condition for the address that the others move:
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


def parameter_policy(parameter_arn: str) -> dict[str, Any]:
    """What a node may do to fetch a parameter: read that one.

    Corosync's key is encrypted with the account's key aws/ssm. That key's own policy lets every principal of the
    account use it through Systems Manager, so the node needs no KMS permission:
    https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    """
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Sid": "ReadParameter",
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
    installer: bytes | None,
    permissions_boundary: str | None,
) -> Identity:
    """The role, its policies for this subnet and its parameters, and the instance profile with the role.

    `installer` is what `userdata.installer` returns.
    """
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
    key = script = None
    if encryption_key is not None:
        key = Kept(
            parameter=_keep_key(scope, encryption_key),
            name=parameter_name(scope.full_name, KEY_PART),
            digest=digest_of(encryption_key),
        )
        policies.append(_may_read(scope, "policy-key", role, key.parameter))
    if installer is not None:
        script = Kept(
            parameter=_keep_installer(scope, installer),
            name=parameter_name(scope.full_name, INSTALLER_PART),
            digest=hashlib.sha256(installer).hexdigest(),
        )
        policies.append(_may_read(scope, "policy-installer", role, script.parameter))
    profile = aws.iam.InstanceProfile(
        scope.part("profile"),
        path=path(scope.full_name),
        role=role.name,
        tags=scope.tags("profile"),
        opts=scope.options(),
    )
    return Identity(role=role, profile=profile, key=key, installer=script, ready=tuple(policies))


def _add_policy(
    scope: Scope, part: str, role: aws.iam.Role, document: pulumi.Output[str]
) -> aws.iam.RolePolicy:
    return aws.iam.RolePolicy(scope.part(part), role=role.name, policy=document, opts=scope.options())


def _may_read(
    scope: Scope, part: str, role: aws.iam.Role, parameter: aws.ssm.Parameter
) -> aws.iam.RolePolicy:
    return _add_policy(scope, part, role, parameter.arn.apply(lambda arn: _document(parameter_policy(arn))))


def _keep_installer(scope: Scope, script: bytes) -> aws.ssm.Parameter:
    """The parameter with the script, for which the user data have no room. It is not secret."""
    return aws.ssm.Parameter(
        scope.part(INSTALLER_PART),
        name=parameter_name(scope.full_name, INSTALLER_PART),
        type="String",
        value=base64.b64encode(script).decode("ascii"),
        description=f"How nodes of the floating IP pair {scope.name} get their packages",
        tags=scope.tags(INSTALLER_PART),
        opts=scope.options(),
    )


def _keep_key(scope: Scope, key: bytes) -> aws.ssm.Parameter:
    """The parameter with the key, under a name that no other stack's parameter has."""
    return aws.ssm.Parameter(
        scope.part(KEY_PART),
        name=parameter_name(scope.full_name, KEY_PART),
        type="SecureString",
        value=pulumi.Output.secret(base64.b64encode(key).decode("ascii")),
        description=f"Corosync's key of the floating IP pair {scope.name}",
        tags=scope.tags(KEY_PART),
        opts=scope.options(),
    )
