"""Refuses values that AWS's CloudFormation schemas refuse, in the words of the service.

EC2's own model says little about strings and numbers; the schema of the resource that an action creates says
more. Source: the schemas that cfn-lint ships, with its own additions. We read them from its data, because the
library itself takes a second to load. We use only a schema's constraints on single values; the service's model
says which properties there are.

Sources of the texts: rules' descriptions aws-cloudformation/cfn-lint#173 and
agentic-community/mcp-gateway-registry#1728, groups' descriptions cds-snc/notification-terraform#561 and
hashicorp/terraform-provider-aws#43854; the others are assumed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import regex

from .errors import ApiError
from .parameters import Given

Schema = Mapping[str, Any]
REGION = "us-east-1"
"""The Region whose schemas we use: it has the largest set, and these types are the same everywhere."""

SET = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
GROUP_NAME = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]+"
"""Source: cfn-lint's format AWS::EC2::SecurityGroup.Name."""


@dataclass(frozen=True)
class Made:
    """The resource type that an action creates. `names` maps parameters to other properties ("": none)."""

    type: str
    names: Mapping[str, str] = field(default_factory=dict)


MADE = {
    ("ec2", "CreateInternetGateway"): Made("AWS::EC2::InternetGateway"),
    ("ec2", "CreateNetworkInterface"): Made("AWS::EC2::NetworkInterface", {"Groups": "GroupSet"}),
    ("ec2", "CreatePlacementGroup"): Made("AWS::EC2::PlacementGroup"),
    ("ec2", "CreateRoute"): Made("AWS::EC2::Route"),
    ("ec2", "CreateSecurityGroup"): Made("AWS::EC2::SecurityGroup", {"Description": "GroupDescription"}),
    ("ec2", "CreateSubnet"): Made("AWS::EC2::Subnet"),
    ("ec2", "CreateVpc"): Made("AWS::EC2::VPC"),
    ("ec2", "CreateVpcEndpoint"): Made("AWS::EC2::VPCEndpoint"),
    ("ec2", "RunInstances"): Made("AWS::EC2::Instance", {"DisableApiTermination": ""}),
    ("iam", "CreateInstanceProfile"): Made("AWS::IAM::InstanceProfile"),
    ("iam", "CreateRole"): Made("AWS::IAM::Role"),
    ("iam", "PutRolePolicy"): Made("AWS::IAM::RolePolicy"),
    # The service has SecureString but CloudFormation does not, so only the service's model checks the type.
    ("ssm", "PutParameter"): Made("AWS::SSM::Parameter", {"Type": ""}),
}
RULES = {
    "AuthorizeSecurityGroupEgress": "AWS::EC2::SecurityGroupEgress",
    "AuthorizeSecurityGroupIngress": "AWS::EC2::SecurityGroupIngress",
    "UpdateSecurityGroupRuleDescriptionsEgress": "AWS::EC2::SecurityGroupEgress",
    "UpdateSecurityGroupRuleDescriptionsIngress": "AWS::EC2::SecurityGroupIngress",
}
PEERS = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")


@dataclass(frozen=True)
class Breach:
    """A value that its schema refuses, its property, and the schema's keyword that it breaks."""

    name: str
    value: Any
    keyword: str
    wanted: Any


def check(service: str, action: str, given: Given) -> None:
    """Raise ApiError for the first value that the schema of the action's new resource refuses."""
    if service == "ec2" and action in RULES:
        _check_rules(RULES[action], given)
    made = MADE.get((service, action))
    if made is None:
        return
    for name, value in given.items():
        of = made.names.get(name, name)
        for breach in breaches(made.type, of, value):
            raise _refused(service, action, breach)
    if (service, action) == ("ec2", "CreateSecurityGroup") and not regex.fullmatch(
        GROUP_NAME, given.get("GroupName", "-")
    ):
        text = f"Invalid security group name. Valid names are strings less than 256 characters from {SET}"
        raise ApiError(400, "InvalidParameterValue", text)


def breaches(type_name: str, name: str, value: Any) -> Iterator[Breach]:
    """How a value breaks the schema of a type's property; nothing if the type has no such property."""
    schema = load(type_name)
    found = schema.get("properties", {}).get(name)
    if found is not None:
        yield from _against(schema, found, name, value)


@functools.lru_cache(maxsize=64)
def load(type_name: str) -> Schema:
    """The schema of a resource type. Raises KeyError for an unknown type."""
    found: Schema = json.loads((_data() / "resources" / f"{_types()[type_name]}.json").read_text())
    return found


@functools.lru_cache(maxsize=1)
def _types() -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads((_data() / "providers" / f"{REGION}.json").read_text())
    return found


@functools.lru_cache(maxsize=1)
def _data() -> Path:
    found = importlib.util.find_spec("cfnlint")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "data" / "schemas"


def _against(root: Schema, schema: Schema, name: str, value: Any) -> Iterator[Breach]:
    while "$ref" in schema:
        schema = _followed(root, schema["$ref"])
    if isinstance(value, dict):
        for key, below in value.items():
            if key in schema.get("properties", {}):
                yield from _against(root, schema["properties"][key], key, below)
    elif isinstance(value, list):
        for below in value:
            yield from _against(root, schema.get("items", {}), name, below)
    else:
        yield from (Breach(name, value, word, schema[word]) for word in _refusing(schema, value))


def _followed(root: Schema, reference: str) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    schema: Schema = found
    return schema


def _refusing(schema: Schema, value: Any) -> list[str]:
    """The keywords of JSON Schema that a single value breaks."""
    tests: dict[str, Callable[[Any], bool]] = {"enum": lambda wanted: value in wanted}
    if isinstance(value, str):
        tests |= {
            "pattern": lambda wanted: regex.search(wanted, value) is not None and not value.endswith("\n"),
            "minLength": lambda wanted: len(value) >= wanted,
            "maxLength": lambda wanted: len(value) <= wanted,
        }
    elif isinstance(value, int) and not isinstance(value, bool):
        tests |= {"minimum": lambda wanted: value >= wanted, "maximum": lambda wanted: value <= wanted}
    return [word for word, holds in tests.items() if word in schema and not holds(schema[word])]


def _check_rules(type_name: str, given: Given) -> None:
    """Check a group's rules. We check each peer in a rule alone: CloudFormation's resource has only one."""
    for rule in given.get("IpPermissions", []):
        for peer in PEERS:
            for each in rule.get(peer, []):
                _check_rule(type_name, {**rule, **each})
    _check_rule(type_name, given)
    for each in given.get("SecurityGroupRuleDescriptions", []):
        _check_rule(type_name, each)


def _check_rule(type_name: str, rule: Given) -> None:
    # The schema of a rule leaves its description open; EC2 accepts there what it accepts for a group's.
    if any(breaches("AWS::EC2::SecurityGroup", "GroupDescription", rule.get("Description", ""))):
        text = (
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the "
            f"following set:  {SET}"
        )
        raise ApiError(400, "InvalidParameterValue", text)
    for name, value in rule.items():
        if name != "Description" and not isinstance(value, (dict, list)):
            for breach in breaches(type_name, name, value):
                raise _refused("ec2", "", breach)


def _refused(service: str, action: str, breach: Breach) -> ApiError:
    if breach.name == "GroupDescription" and not str(breach.value).isascii():
        text = (
            f"Value ({breach.value}) for parameter GroupDescription is invalid. "
            "Character sets beyond ASCII are not supported."
        )
    elif breach.name == "GroupDescription":
        text = (
            "Invalid security group description. Valid descriptions are strings less than 256 characters "
            f"from the following set:  {SET}"
        )
    else:
        text = (
            f"Value ({breach.value}) for parameter {breach.name} is invalid. "
            f"It does not satisfy {breach.keyword} {breach.wanted}."
        )
    code = {"ec2": "InvalidParameterValue", "ssm": "ValidationException"}.get(service, "ValidationError")
    return ApiError(400, code, text)
