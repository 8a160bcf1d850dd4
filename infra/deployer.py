"""Prints the IAM policies for a user who runs `pulumi up` and `pulumi destroy` but is not an administrator.

`python -m infra.deployer boundary ACCOUNT REGION STACK` prints the most that the nodes may ever do; `create` and
`manage` in place of `boundary` print the two policies of the deploying user.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence

import boto3
from botocore.exceptions import BotoCoreError

from .policies import Place, boundary_policy, create_policy, manage_policy
from .tags import name_problems

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters without white space.
POLICY_LENGTH_MAX, POLICY_NAME_LENGTH_MAX = 6144, 128
DOCUMENTS = {"boundary": boundary_policy, "create": create_policy, "manage": manage_policy}


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deployer",
        description="Print an IAM policy for one pair. An administrator makes a managed policy of each of the "
        "three, and attaches create and manage to the deploying user. The user sets "
        "ec2vip:permissionsBoundary to the boundary's ARN.",
    )
    parser.add_argument(
        "document",
        choices=DOCUMENTS,
        help="boundary: the most that the nodes may ever do. create, manage: what the deploying user may do",
    )
    parser.add_argument("account", help="the account's 12 digits")
    parser.add_argument("region", help="the Region, such as eu-west-1")
    parser.add_argument("stack", help="the stack's name, such as dev")
    parser.add_argument(
        "--project", default="ec2vip", help="the Pulumi project's name (default: %(default)s)"
    )
    parser.add_argument("--pair", default="ec2vip", help="the component's name (default: %(default)s)")
    parser.add_argument("--vpc", help="the id of the VPC that the pair is in, if it exists already")
    parser.add_argument("--subnet", help="the id of the subnet that the pair is in, if it exists already")
    parser.add_argument(
        "--boundary",
        default="",
        help="the ARN of a boundary of your own (default: of a policy PROJECT-STACK-PAIR-boundary)",
    )
    given = parser.parse_args(words)
    if problems := list(_problems(given)):
        parser.error("; ".join(problems))
    return given


def _problems(given: argparse.Namespace) -> Iterator[str]:
    """All that is wrong with the arguments."""
    for name, pattern, example in (
        ("account", r"\d{12}", "123456789012"),
        ("vpc", r"vpc-[0-9a-f]{8,17}", "vpc-0123456789abcdef0"),
        ("subnet", r"subnet-[0-9a-f]{8,17}", "subnet-0123456789abcdef0"),
        (
            "boundary",
            r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[!-~]+",
            "arn:aws:iam::123456789012:policy/nodes",
        ),
    ):
        value = getattr(given, name)
        if value and not re.fullmatch(pattern, value):
            yield f"{name} {value} is not of the form {pattern}; give one such as {example}"
    if given.subnet and not given.vpc:
        yield f"subnet {given.subnet} is given without its VPC; add --vpc"
    try:
        boto3.Session().get_partition_for_region(given.region)
    except BotoCoreError:
        yield f"region {given.region} is unknown to this botocore; correct it, or install a newer botocore"
    yield from name_problems(given.project, given.stack, given.pair)


def main(words: Sequence[str] | None = None) -> int:
    """Print one policy. The exit code is 1 if it is too long for a managed one, 2 for wrong arguments."""
    given = _arguments(words)
    partition = boto3.Session().get_partition_for_region(given.region)
    make = DOCUMENTS[given.document]
    place = Place(partition=partition, **{k: v for k, v in vars(given).items() if k != "document"})
    policy = make(place)
    if (length := len(json.dumps(policy, separators=(",", ":")))) > POLICY_LENGTH_MAX:
        print(
            f"the policy has {length} characters, but IAM takes {POLICY_LENGTH_MAX}; use shorter names",
            file=sys.stderr,
        )
        return 1
    if not place.boundary and len(place.boundary_name) > POLICY_NAME_LENGTH_MAX:
        print(
            f"{place.boundary_name} has {len(place.boundary_name)} characters, but a policy's name has at most "
            f"{POLICY_NAME_LENGTH_MAX}; give a boundary of your own with --boundary",
            file=sys.stderr,
        )
        return 1
    print(json.dumps(policy, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
