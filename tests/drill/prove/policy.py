"""The least rights of a user who runs `prove`, as IAM policies.

`python -m tests.drill.prove.policy ACCOUNT REGION` prints them. An administrator also makes the boundary of the
nodes' role: `python -m infra.deployer boundary ACCOUNT REGION prove`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from infra.deployer import POLICY_LENGTH_MAX
from infra.identity import POLICY_VERSION
from infra.policies import Place, create_policy, manage_policy
from tests.drill.aws import PAIR, account_number, drill_policy
from tests.drill.prove.leftovers import TAG
from tests.drill.prove.preflight import VCPU_QUOTA, VPC_QUOTA

STACK = "prove"
"""The stack of a run. Each run has a backend of its own, so the name is always the same."""

Statement = dict[str, Any]
Conditions = Mapping[str, Mapping[str, Any]]

MOVE = ("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses")
# What the run does to the machines, interfaces, groups and subnet of its own, and with its stack's routes.
OWN = (
    *MOVE,
    "ec2:AssociateRouteTable",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DisassociateRouteTable",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:TerminateInstances",
)
MAKE = ("CreateNetworkInterface", "CreateSecurityGroup", "CreateSubnet", "RunInstances")
NOWHERE = ("eni-0123456789abcdef0", "eni-xyz")
"""The interfaces that do not exist, which two questions name. Without a right on them EC2 would answer that."""


def prove_policies(
    account: str,
    region: str,
    *,
    partition: str = "aws",
    project: str = "ec2vip",
    pair: str = "ec2vip",
    vpc: str | None = None,
    subnet: str | None = None,
    boundary: str = "",
) -> list[dict[str, Any]]:
    """The managed policies that the caller of `prove` needs together.

    They are the two of the deploying user (docs/permissions.md), that of the drill, and one for what the run makes
    beside the stack. `vpc`, `subnet` and `boundary` are as in `infra.policies.Place`. The caller's stack must have
    the boundary. What the run makes has the tag `ec2vip:prove`, and so must what it touches, but for the stack's
    own. All that is made by a call must have the tag in the call: instances, their volumes, interfaces, security
    groups and a subnet.
    """
    place = Place(
        account=account,
        region=region,
        partition=partition,
        project=project,
        stack=STACK,
        pair=pair,
        vpc=vpc,
        subnet=subnet,
        boundary=boundary,
    )
    return [
        create_policy(place),
        manage_policy(place),
        drill_policy(account, region, STACK, project=project, pair=pair, partition=partition),
        _run_policy(place),
    ]


def _run_policy(place: Place) -> dict[str, Any]:
    """What the run needs beside the stack's deployment and the drill."""
    # Another pair's tag would give its nodes a right to what has it.
    no_pair = {f"aws:RequestTag/{PAIR}": "true"}
    new: Conditions = {"StringLike": {f"aws:RequestTag/{TAG}": "*"}, "Null": no_pair}
    own: Conditions = {"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}
    of_pair: Conditions = {"StringEquals": {f"aws:ResourceTag/{PAIR}": place.full_name}}
    group, interface = place.ec2("security-group"), place.ec2("network-interface")
    machine, subnet = place.ec2("instance"), place.ec2("subnet")
    iam = f"arn:{place.partition}:iam::{place.account}"
    quotas = f"arn:{place.partition}:servicequotas:{place.region}:{place.account}"
    statements = [
        _allow(
            "SeeQuotas",
            ("servicequotas:GetServiceQuota",),
            [f"{quotas}:{'/'.join(quota)}" for quota in (VCPU_QUOTA, VPC_QUOTA)],
        ),
        _allow("Simulate", ("iam:SimulatePrincipalPolicy",), [f"{iam}:user/*", f"{iam}:role/*"]),
        # What a killed run left is found by its tag. IAM has no list of roles by their tags.
        _allow("ListRoles", ("iam:ListInstanceProfiles", "iam:ListRoles"), "*"),
        _allow("SeeTagsOfRoles", ("iam:ListRoleTags",), f"{iam}:role/*"),
        _allow("SeeTagsOfProfiles", ("iam:GetInstanceProfile",), f"{iam}:instance-profile/*"),
        # What a call makes and what it uses are in separate statements, as for the deploying user.
        _allow("Launch", ("ec2:RunInstances",), [machine, place.ec2("volume")], new),
        _allow("MakeInterfaces", ("ec2:CreateNetworkInterface",), interface, new),
        _allow("MakeGroups", ("ec2:CreateSecurityGroup",), group, new),
        _allow("MakeSubnet", ("ec2:CreateSubnet",), subnet, new),
        _allow("MakeSubnetIn", ("ec2:CreateSubnet",), place.ec2("vpc"), own),
        _allow("UseSubnet", ("ec2:RunInstances",), subnet, own),
        _allow("UseGroups", ("ec2:CreateNetworkInterface", "ec2:RunInstances"), group, own),
        _allow(
            "InterfacesIn",
            ("ec2:CreateNetworkInterface",),
            place.own_subnet or subnet,
            {} if place.own_subnet else of_pair,
        ),
        _allow("Own", OWN, place.ec2("*"), own),
        _allow("MoveAddresses", MOVE, interface, {**of_pair, **place.inside}),
        _allow("AskOfNothing", (MOVE[0],), [place.ec2("network-interface", name) for name in NOWHERE]),
        _allow(
            "TagWhatIsMade",
            ("ec2:CreateTags",),
            [machine, place.ec2("volume"), interface, group, subnet],
            {**new, "StringEquals": {"ec2:CreateAction": list(MAKE)}},
        ),
        _allow("TagInterfaces", ("ec2:CreateTags",), interface, {**own, "Null": no_pair}),
        _allow(
            "CommandClients",
            ("ssm:SendCommand",),
            machine,
            {"StringLike": {f"ssm:resourceTag/{TAG}": "*"}},
        ),
    ]
    if place.vpc is None:
        # Without a named group an interface gets the VPC's default one. Only groups of the subnet's VPC fit, and
        # that is the pair's own.
        statements.append(_allow("DefaultGroup", ("ec2:CreateNetworkInterface",), group))
    return {"Version": POLICY_VERSION, "Statement": statements}


def _allow(
    sid: str, actions: Sequence[str], resource: str | list[str], condition: Conditions | None = None
) -> Statement:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def main(words: Sequence[str] | None = None) -> int:
    """Print the policies as a JSON list, or one of them. The exit code is 1 if one is too long for IAM."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drill.prove.policy",
        description="Print the IAM policies that the caller of make prove needs. An administrator makes a managed "
        "policy of each and attaches them all; and makes the boundary of the nodes' role, which `python -m "
        f"infra.deployer boundary ACCOUNT REGION {STACK}` prints.",
    )
    parser.add_argument("account", type=account_number, help="the account's 12 digits")
    parser.add_argument("region", help="the Region, such as eu-west-1")
    parser.add_argument(
        "--project", default="ec2vip", help="the Pulumi project's name (default: %(default)s)"
    )
    parser.add_argument("--pair", default="ec2vip", help="the component's name (default: %(default)s)")
    parser.add_argument("--vpc", help="the id of the VPC that the pair is in, if it exists already")
    parser.add_argument("--subnet", help="the id of the subnet that the pair is in, if it exists already")
    parser.add_argument("--boundary", default="", help="the ARN of a boundary of your own")
    parser.add_argument("--part", type=int, choices=range(1, 5), help="print only this one of the four")
    given = vars(parser.parse_args(words))
    part = given.pop("part")
    try:
        partition = boto3.Session().get_partition_for_region(given["region"])
    except BotoCoreError:
        parser.error(
            f"region {given['region']} is unknown to this botocore; correct it, or install a newer botocore"
        )
    policies = prove_policies(**given, partition=partition)
    lengths = [len(json.dumps(policy, separators=(",", ":"))) for policy in policies]
    if max(lengths) > POLICY_LENGTH_MAX:
        print(
            f"a policy has {max(lengths)} characters, but IAM takes {POLICY_LENGTH_MAX}; use shorter names",
            file=sys.stderr,
        )
        return 1
    print(json.dumps(policies[part - 1] if part else policies, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
