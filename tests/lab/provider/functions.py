"""What programs look up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .cloud import Cloud, absent, tag_map
from .network import vpc_names
from .schema import Values


@dataclass(frozen=True, kw_only=True)
class Function:
    """One look-up: its arguments, and what it does with them."""

    label: str
    arguments: tuple[str, ...]
    look_up: Callable[[Cloud, Values], Values]


def _filters(arguments: Values) -> list[dict[str, Any]]:
    return [{"Name": f["name"], "Values": f["values"]} for f in arguments.get("filters", [])]


def get_region(cloud: Cloud, arguments: Values) -> Values:
    """The Region that the provider is for."""
    return {"id": cloud.region, "region": cloud.region, "endpoint": f"ec2.{cloud.region}.amazonaws.com"}


def get_caller_identity(cloud: Cloud, arguments: Values) -> Values:
    """Whom the provider's credentials belong to."""
    found = cloud.sts.get_caller_identity()
    return {
        "id": found["Account"],
        "accountId": found["Account"],
        "arn": found["Arn"],
        "userId": found["UserId"],
    }


def get_subnet(cloud: Cloud, arguments: Values) -> Values:
    """A subnet by its id."""
    subnet = cloud.ec2.describe_subnets(SubnetIds=[arguments["id"]])["Subnets"][0]
    return {
        "id": subnet["SubnetId"],
        "arn": cloud.arn("subnet", subnet["SubnetId"]),
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "tags": tag_map(subnet.get("Tags")),
    }


def get_vpc(cloud: Cloud, arguments: Values) -> Values:
    """A VPC by its id."""
    vpc = cloud.ec2.describe_vpcs(VpcIds=[arguments["id"]])["Vpcs"][0]
    blocks = vpc.get("CidrBlockAssociationSet") or [{"CidrBlock": vpc["CidrBlock"]}]
    return {
        "id": vpc["VpcId"],
        "arn": cloud.arn("vpc", vpc["VpcId"]),
        "cidrBlock": vpc["CidrBlock"],
        "cidrBlockAssociations": [
            {
                "associationId": block.get("AssociationId", ""),
                "cidrBlock": block["CidrBlock"],
                "state": block.get("CidrBlockState", {}).get("State", "associated"),
            }
            for block in blocks
        ],
        **vpc_names(cloud, vpc["VpcId"]),
        "tags": tag_map(vpc.get("Tags")),
    }


def get_internet_gateway(cloud: Cloud, arguments: Values) -> Values:
    """An internet gateway by filters."""
    found = cloud.ec2.describe_internet_gateways(Filters=_filters(arguments))["InternetGateways"]
    if not found:
        absent("EC2 Internet Gateway")
    gateway_id = found[0]["InternetGatewayId"]
    return {"id": gateway_id, "internetGatewayId": gateway_id, "tags": tag_map(found[0].get("Tags"))}


def get_instance_type(cloud: Cloud, arguments: Values) -> Values:
    """Facts about an instance type."""
    name = arguments["instanceType"]
    found = cloud.ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    if not found:
        absent(f"EC2 Instance Type ({name})")
    return {
        "id": name,
        "instanceType": name,
        "supportedArchitectures": found[0]["ProcessorInfo"]["SupportedArchitectures"],
        "maximumIpv4AddressesPerInterface": found[0]["NetworkInfo"]["Ipv4AddressesPerInterface"],
    }


def get_ami(cloud: Cloud, arguments: Values) -> Values:
    """The newest image that the filters find."""
    found = cloud.ec2.describe_images(Owners=arguments["owners"], Filters=_filters(arguments))["Images"]
    if not found:
        absent("EC2 AMI")
    newest = max(found, key=lambda image: str(image["CreationDate"]))
    return {
        "id": newest["ImageId"],
        "imageId": newest["ImageId"],
        "name": newest["Name"],
        "architecture": newest["Architecture"],
        "rootDeviceName": newest.get("RootDeviceName"),
    }


def get_parameter(cloud: Cloud, arguments: Values) -> Values:
    """A parameter of the Systems Manager."""
    found = cloud.ssm.get_parameter(Name=arguments["name"])["Parameter"]
    return {
        "id": found["Name"],
        "name": found["Name"],
        "arn": found.get("ARN"),
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": found["Value"],
        "version": found["Version"],
    }


FUNCTIONS = {
    "aws:index/getCallerIdentity:getCallerIdentity": Function(
        label="STS Caller Identity", arguments=(), look_up=get_caller_identity
    ),
    "aws:index/getRegion:getRegion": Function(label="Region", arguments=(), look_up=get_region),
    "aws:ec2/getSubnet:getSubnet": Function(label="EC2 Subnet", arguments=("id",), look_up=get_subnet),
    "aws:ec2/getVpc:getVpc": Function(label="EC2 VPC", arguments=("id",), look_up=get_vpc),
    "aws:ec2/getInternetGateway:getInternetGateway": Function(
        label="EC2 Internet Gateway", arguments=("filters",), look_up=get_internet_gateway
    ),
    "aws:ec2/getInstanceType:getInstanceType": Function(
        label="EC2 Instance Type", arguments=("instanceType",), look_up=get_instance_type
    ),
    "aws:ec2/getAmi:getAmi": Function(
        label="EC2 AMI", arguments=("owners", "filters", "mostRecent"), look_up=get_ami
    ),
    "aws:ssm/getParameter:getParameter": Function(
        label="SSM Parameter", arguments=("name",), look_up=get_parameter
    ),
}
