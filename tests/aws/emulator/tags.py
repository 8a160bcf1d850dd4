"""Which tags a service accepts.

Sources: EC2 user guide, "Tag your Amazon EC2 resources" (50 tags, keys up to 128 and values up to 256
characters, "aws:" is reserved); reserved keys: AndrewFarley/AWS-Automated-Daily-Instance-AMI-Snapshots#7; IAM's
duplicates: github-aws-runners/terraform-aws-github-runner#1346; keys in the metadata: seek-oss/aec#411,
aws/aws-cli#8825. The characters that IAM and Systems Manager accept are in their models. EC2's other texts are
assumed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ApiError
from .parameters import Given

MOST, KEY_MOST, VALUE_MOST = 50, 128, 256
IN_METADATA = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
RESERVED_IN_METADATA = (".", "..", "_index")

# The resource types that each action may tag; for an action that is not here, any type passes.
TAGGED_BY: Mapping[str, tuple[str, ...]] = {
    "RunInstances": ("instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu"),
    "AuthorizeSecurityGroupEgress": ("security-group-rule",),
    "AuthorizeSecurityGroupIngress": ("security-group-rule",),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateNetworkInterface": ("network-interface",),
    "CreatePlacementGroup": ("placement-group",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSubnet": ("subnet",),
    "CreateSubnetCidrReservation": ("subnet-cidr-reservation",),
    "CreateVpc": ("vpc",),
    "CreateVpcEndpoint": ("vpc-endpoint",),
}


def check(service: str, action: str, given: Given) -> None:
    """Raise ApiError for tags that the service does not accept on any resource."""
    if service == "ec2":
        for specification in given.get("TagSpecifications", []):
            kind = specification.get("ResourceType")
            if kind not in TAGGED_BY.get(action, (kind,)):
                raise _invalid(f"'{kind}' is not a valid taggable resource type for this operation.")
            _check_ec2(specification.get("Tags", []))
        kinds = Counter(each.get("ResourceType") for each in given.get("TagSpecifications", []))
        if any(count > 1 for count in kinds.values()):
            raise _invalid(
                "The same resource type may not be specified more than once in tag specifications."
            )
        if action == "CreateTags":
            _check_ec2(given.get("Tags", []))
    elif service == "iam" and isinstance(given.get("Tags"), list):
        keys = Counter(tag["Key"].lower() for tag in given["Tags"])
        if any(count > 1 for count in keys.values()):
            text = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            raise ApiError(400, "InvalidInput", text)
        if any(key.startswith("aws:") for key in keys):
            raise ApiError(
                400, "InvalidInput", "Tag keys that begin with 'aws:' are reserved for system use."
            )


def check_metadata(keys: Iterable[str]) -> None:
    """Raise ApiError for keys that an instance cannot have if its metadata show its tags."""
    for key in keys:
        if not IN_METADATA.fullmatch(key) or key in RESERVED_IN_METADATA:
            raise _invalid(
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\\\-_+=,.@:]{{1,255}}), "
                "and must not be a reserved name ('.', '..', '_index')"
            )


def of_kind(given: Given, kind: str) -> dict[str, str]:
    """The tags that a request puts on the new resources of a kind."""
    return {
        tag["Key"]: tag.get("Value", "")
        for specification in given.get("TagSpecifications", [])
        if specification.get("ResourceType") == kind
        for tag in specification.get("Tags", [])
    }


def _check_ec2(tags: list[dict[str, Any]]) -> None:
    keys = Counter(str(tag.get("Key", "")) for tag in tags)
    for key, count in keys.items():
        if count > 1:
            raise _invalid(f"Duplicate tag key '{key}' specified.")
        if key.lower().startswith("aws:"):
            raise _invalid(
                f"Value ( {key} ) for parameter key is invalid. "
                "Tag keys starting with 'aws:' are reserved for internal use"
            )
        if not key:
            raise _invalid("Tag key cannot be empty.")
        if len(key) > KEY_MOST:
            raise _invalid(f"Tag key exceeds the maximum length of {KEY_MOST} characters")
    if any(len(str(tag.get("Value", ""))) > VALUE_MOST for tag in tags):
        raise _invalid(f"Tag value exceeds the maximum length of {VALUE_MOST} characters")
    if len(tags) > MOST:
        text = f"The maximum number of Tags for a resource has been reached. At most {MOST} are allowed."
        raise ApiError(400, "TagLimitExceeded", text)


def _invalid(text: str) -> ApiError:
    return ApiError(400, "InvalidParameterValue", text)
