"""The look-ups: each function's arguments, and the code that makes its calls."""

from __future__ import annotations

from . import functions_ec2 as ec2
from . import functions_vpc as vpc
from .cloud import Cloud, dns_suffix
from .functions_ec2 import Function
from .schema import Values


def get_region(cloud: Cloud, arguments: Values) -> Values:
    """The provider's Region, without a call (internal/service/meta/region_data_source.go)."""
    return {
        "id": cloud.region,
        "name": cloud.region,
        "region": cloud.region,
        "endpoint": f"ec2.{cloud.region}.{dns_suffix(cloud.partition)}",
    }


def get_partition(cloud: Cloud, arguments: Values) -> Values:
    """The Region's partition, without a call (internal/service/meta/partition_data_source.go)."""
    suffix = dns_suffix(cloud.partition)
    return {
        "id": cloud.partition,
        "partition": cloud.partition,
        "dnsSuffix": suffix,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }


def get_caller_identity(cloud: Cloud, arguments: Values) -> Values:
    """The identity that the credentials belong to (internal/service/sts/caller_identity_data_source.go)."""
    who = cloud.sts.get_caller_identity()
    return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}


def get_parameter(cloud: Cloud, arguments: Values) -> Values:
    """A Systems Manager parameter (internal/service/ssm/parameter_data_source.go)."""
    decrypted = arguments.get("withDecryption", True)
    found = cloud.ssm.get_parameter(Name=arguments["name"], WithDecryption=decrypted)["Parameter"]
    return {
        "id": found["Name"],
        "name": found["Name"],
        "arn": found.get("ARN"),
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": None if found["Type"] == "SecureString" else found["Value"],
        "version": found["Version"],
        "withDecryption": decrypted,
    }


FUNCTIONS = {
    "aws:index/getCallerIdentity:getCallerIdentity": Function(
        label="STS Caller Identity", look_up=get_caller_identity
    ),
    "aws:index/getRegion:getRegion": Function(label="Region", look_up=get_region),
    "aws:index/getPartition:getPartition": Function(label="Partition", look_up=get_partition),
    "aws:index/getAvailabilityZones:getAvailabilityZones": Function(
        label="EC2 Availability Zones", arguments=("filters", "state"), look_up=ec2.get_availability_zones
    ),
    "aws:ec2/getAmi:getAmi": Function(
        label="EC2 AMI",
        arguments=("owners", "filters", "mostRecent", "includeDeprecated"),
        look_up=ec2.get_ami,
    ),
    "aws:ec2/getInstances:getInstances": Function(
        label="EC2 Instances",
        arguments=("filters", "instanceTags", "instanceStateNames"),
        look_up=ec2.get_instances,
    ),
    "aws:ec2/getInstanceType:getInstanceType": Function(
        label="EC2 Instance Type", arguments=("instanceType",), look_up=ec2.get_instance_type
    ),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": Function(
        label="EC2 Instance Type Offerings",
        arguments=("filters", "locationType"),
        look_up=ec2.get_instance_type_offerings,
    ),
    "aws:ec2/getNetworkInterface:getNetworkInterface": Function(
        label="EC2 Network Interface", arguments=("id", "filters", "tags"), look_up=vpc.get_network_interface
    ),
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": Function(
        label="EC2 Network Interfaces", arguments=("filters", "tags"), look_up=vpc.get_network_interfaces
    ),
    "aws:ec2/getSubnet:getSubnet": Function(
        label="EC2 Subnet", arguments=("id", "filters", "tags", "vpcId"), look_up=vpc.get_subnet
    ),
    "aws:ec2/getVpc:getVpc": Function(
        label="EC2 VPC", arguments=("id", "filters", "tags"), look_up=vpc.get_vpc
    ),
    "aws:ec2/getInternetGateway:getInternetGateway": Function(
        label="EC2 Internet Gateway",
        arguments=("internetGatewayId", "filters", "tags"),
        look_up=vpc.get_internet_gateway,
    ),
    "aws:ec2/getSecurityGroup:getSecurityGroup": Function(
        label="EC2 Security Group",
        arguments=("id", "name", "vpcId", "filters", "tags"),
        look_up=vpc.get_security_group,
    ),
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": Function(
        label="EC2 VPC Endpoint",
        arguments=("id", "vpcId", "serviceName", "state", "filters", "tags"),
        look_up=vpc.get_vpc_endpoint,
    ),
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": Function(
        label="EC2 VPC Endpoint Service",
        arguments=("service", "serviceName", "serviceType", "filters", "tags"),
        look_up=vpc.get_vpc_endpoint_service,
    ),
    "aws:ssm/getParameter:getParameter": Function(
        label="SSM Parameter", arguments=("name", "withDecryption"), look_up=get_parameter
    ),
}
