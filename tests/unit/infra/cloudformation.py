"""Turns what the program registers into a CloudFormation template, which cfn-lint checks with AWS's schemas.

The provider checks few texts before it calls AWS, and a preview calls nothing. The schemas have patterns for
descriptions, tags, names and policy documents. The tables here must know every type and input, so none goes
unchecked.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import cfnlint.api
import regex

from .recording import ACCOUNT, REGION, Resource

Properties = dict[str, Any]
Convert = Callable[[Any], Properties]

# Pulumi's own types, and inputs that only Pulumi sees: AWS gets none of them.
PULUMIS = ("ec2vip:index:FloatingIpPair", "pulumi:index:Stash")
UNTOLD: Convert = lambda value: {}  # noqa: E731


class Unmapped(AssertionError):  # noqa: N818
    """The tables lack a type or an input."""


def _as(name: str) -> Convert:
    return lambda value: {name: value}


def _document(name: str) -> Convert:
    return lambda value: {name: json.loads(value)}


def _tags(value: Mapping[str, str]) -> Properties:
    return {"Tags": [{"Key": key, "Value": text} for key, text in value.items()]}


# An input that the type's own schema lacks, or has without a pattern, goes into an extra resource.
BESIDE = "beside"


def _text(value: str) -> Properties:
    """A description in EC2. It takes the characters of a group's description, the only one with a pattern.

    Source: EC2 API reference, IpRange and CreateSecurityGroup.
    """
    return {
        "Description": value,
        BESIDE: {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": value}},
    }


def _role(**properties: Any) -> Properties:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    return {
        BESIDE: {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, **properties}}
    }


def _strict_tags(value: Mapping[str, str]) -> Properties:
    """Tags that CloudFormation cannot set, as tags of a role: IAM's rules are the strictest."""
    return _role(**_tags(value))


def _metadata_options(value: Mapping[str, Any]) -> Properties:
    return {"MetadataOptions": {name[0].upper() + name[1:]: option for name, option in value.items()}}


def _root_volume(value: Mapping[str, Any]) -> Properties:
    ebs = {name[0].upper() + name[1:]: option for name, option in value.items() if name != "tags"}
    mapping = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": ebs}]}
    return {**mapping, **(_strict_tags(value["tags"]) if "tags" in value else {})}


def _secret(value: Any) -> Properties:
    return {"Value": value["value"] if isinstance(value, dict) else value}


RULE: dict[str, Convert] = {
    "securityGroupId": _as("GroupId"),
    "ipProtocol": _as("IpProtocol"),
    "fromPort": _as("FromPort"),
    "toPort": _as("ToPort"),
    "cidrIpv4": _as("CidrIp"),
    "description": _text,
    "tags": _strict_tags,
}
TYPES: dict[str, tuple[str, dict[str, Convert]]] = {
    "aws:ec2/vpc:Vpc": (
        "AWS::EC2::VPC",
        {
            "cidrBlock": _as("CidrBlock"),
            "enableDnsSupport": _as("EnableDnsSupport"),
            "enableDnsHostnames": _as("EnableDnsHostnames"),
            "tags": _tags,
        },
    ),
    "aws:ec2/subnet:Subnet": (
        "AWS::EC2::Subnet",
        {
            "vpcId": _as("VpcId"),
            "cidrBlock": _as("CidrBlock"),
            "availabilityZone": _as("AvailabilityZone"),
            "mapPublicIpOnLaunch": _as("MapPublicIpOnLaunch"),
            "tags": _tags,
        },
    ),
    "aws:ec2/internetGateway:InternetGateway": (
        "AWS::EC2::InternetGateway",
        {"vpcId": UNTOLD, "tags": _tags},  # CloudFormation attaches it with another resource
    ),
    "aws:ec2/routeTable:RouteTable": ("AWS::EC2::RouteTable", {"vpcId": _as("VpcId"), "tags": _tags}),
    "aws:ec2/route:Route": (
        "AWS::EC2::Route",
        {
            "routeTableId": _as("RouteTableId"),
            "destinationCidrBlock": _as("DestinationCidrBlock"),
            "gatewayId": _as("GatewayId"),
        },
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": (
        "AWS::EC2::SubnetRouteTableAssociation",
        {"routeTableId": _as("RouteTableId"), "subnetId": _as("SubnetId")},
    ),
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": (
        "AWS::EC2::SubnetCidrReservation",
        {
            "subnetId": _as("SubnetId"),
            "cidrBlock": _as("Cidr"),
            "reservationType": _as("ReservationType"),
            "description": _text,
        },
    ),
    "aws:ec2/securityGroup:SecurityGroup": (
        "AWS::EC2::SecurityGroup",
        {"vpcId": _as("VpcId"), "description": _as("GroupDescription"), "tags": _tags},
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        "AWS::EC2::SecurityGroupIngress",
        {**RULE, "referencedSecurityGroupId": _as("SourceSecurityGroupId")},
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (
        "AWS::EC2::SecurityGroupEgress",
        {**RULE, "referencedSecurityGroupId": _as("DestinationSecurityGroupId")},
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        "AWS::EC2::VPCEndpoint",
        {
            "vpcId": _as("VpcId"),
            "serviceName": _as("ServiceName"),
            "vpcEndpointType": _as("VpcEndpointType"),
            "subnetIds": _as("SubnetIds"),
            "securityGroupIds": _as("SecurityGroupIds"),
            "privateDnsEnabled": _as("PrivateDnsEnabled"),
            "tags": _tags,
        },
    ),
    "aws:ec2/placementGroup:PlacementGroup": (
        "AWS::EC2::PlacementGroup",
        {"strategy": _as("Strategy"), "tags": _tags},
    ),
    "aws:ec2/tag:Tag": (
        "",
        {"resourceId": UNTOLD, "key": lambda value: _strict_tags({value: ""}), "value": UNTOLD},
    ),
    "aws:ec2/instance:Instance": (
        "AWS::EC2::Instance",
        {
            "ami": _as("ImageId"),
            "instanceType": _as("InstanceType"),
            "privateIp": _as("PrivateIpAddress"),
            "subnetId": _as("SubnetId"),
            "sourceDestCheck": _as("SourceDestCheck"),
            "vpcSecurityGroupIds": _as("SecurityGroupIds"),
            "iamInstanceProfile": _as("IamInstanceProfile"),
            "placementGroup": _as("PlacementGroupName"),
            "keyName": _as("KeyName"),
            "userDataBase64": _as("UserData"),
            "userDataReplaceOnChange": UNTOLD,
            "metadataOptions": _metadata_options,
            "rootBlockDevice": _root_volume,
            "volumeTags": _strict_tags,
            "tags": _tags,
        },
    ),
    "aws:iam/role:Role": (
        "AWS::IAM::Role",
        {
            "name": _as("RoleName"),
            "path": _as("Path"),
            "assumeRolePolicy": _document("AssumeRolePolicyDocument"),
            "permissionsBoundary": _as("PermissionsBoundary"),
            "description": _as("Description"),
            "tags": _tags,
        },
    ),
    "aws:iam/rolePolicy:RolePolicy": (
        "AWS::IAM::RolePolicy",
        {"name": UNTOLD, "role": _as("RoleName"), "policy": _document("PolicyDocument")},
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (
        "",
        {"role": UNTOLD, "policyArn": lambda value: _role(ManagedPolicyArns=[value])},
    ),
    "aws:iam/instanceProfile:InstanceProfile": (
        "AWS::IAM::InstanceProfile",
        {
            "name": _as("InstanceProfileName"),
            "path": _as("Path"),
            "role": lambda value: {"Roles": [value]},
            "tags": _strict_tags,
        },
    ),
    "aws:ssm/parameter:Parameter": (
        "AWS::SSM::Parameter",
        {
            "name": _as("Name"),
            # CloudFormation cannot create a SecureString; all else is the same.
            "type": lambda value: {"Type": "String"} if value == "SecureString" else {"Type": value},
            "value": _secret,
            "description": _as("Description"),
            # CloudFormation takes a mapping here, and its schema has a pattern only for the keys.
            "tags": lambda value: {"Tags": dict(value), **_strict_tags(value)},
        },
    ),
}
# Names that CloudFormation requires, but Pulumi's provider makes up.
MADE_UP = {"AWS::IAM::RolePolicy": "PolicyName"}


def template(made: Mapping[str, Resource]) -> Properties:
    """The registered resources as a template. Raises Unmapped if the tables lack a type or an input."""
    resources: Properties = {}
    names = {f"{name}-id": _logical(name) for name in made}
    for resource in made.values():
        if resource.type in PULUMIS:
            continue
        if resource.type not in TYPES:
            raise Unmapped(f"{resource.type} of {resource.name} is not in TYPES; add it, with its inputs")
        kind, inputs = TYPES[resource.type]
        properties: Properties = {MADE_UP[kind]: resource.name} if kind in MADE_UP else {}
        for name, value in resource.inputs.items():
            if name not in inputs:
                raise Unmapped(f"{resource.type} of {resource.name} has {name}, not in TYPES; add it")
            converted = inputs[name](_referring(value, names))
            beside = converted.pop(BESIDE, None)
            if beside is not None:
                resources[_logical(f"{resource.name} {name}")] = beside
            properties |= converted
        if kind:
            resources[_logical(resource.name)] = {"Type": kind, "Properties": properties}
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _referring(value: Any, names: Mapping[str, str]) -> Any:
    """The value, with the recorder's made-up ids turned into references."""
    if isinstance(value, str):
        return {"Ref": names[value]} if value in names else value.replace("arn:aws:made-up:", _ARN)
    if isinstance(value, list):
        return [_referring(item, names) for item in value]
    return value


_ARN = f"arn:aws:iam::{ACCOUNT}:made-up/"


def _logical(name: str) -> str:
    """A unique logical id for that name, of letters and digits only."""
    return "".join(c if c.isalnum() else f"x{ord(c):x}" for c in name)


def problems(made: Mapping[str, Resource]) -> list[str]:
    """What AWS's schemas refuse in the registered resources, with the characters that a pattern rejects."""
    found = cfnlint.api.lint(json.dumps(template(made), ensure_ascii=False), regions=[REGION])
    return [_told(match.message) for match in found if match.rule.id.startswith("E")]


def _told(message: str) -> str:
    match = re.fullmatch(
        r"(?P<value>'.*'|\".*\") does not match (?P<pattern>'.*'|\".*\")", message, re.DOTALL
    )
    if match is None:
        return message
    value, pattern = (str(ast.literal_eval(match[part])) for part in ("value", "pattern"))
    strange = "".join(dict.fromkeys(c for c in value if not regex.fullmatch(pattern, c)))
    return f"{message}: {strange!r} is not taken"
