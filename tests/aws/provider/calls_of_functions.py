"""The API calls of look-ups; see `calls.py`.

The provider's files were not available. We assume that each look-up makes the call that it is named for, and
those for what its documentation says it returns.
"""

from __future__ import annotations

from .call_table import Call, LookUp

_ATTRIBUTE = Call("ec2:DescribeVpcAttribute")

LOOK_UPS: dict[str, LookUp] = {
    "aws:index/getCallerIdentity:getCallerIdentity": LookUp(
        file="sts/caller_identity_data_source.go", calls=(Call("sts:GetCallerIdentity"),)
    ),
    "aws:index/getRegion:getRegion": LookUp(file="meta/region_data_source.go"),
    "aws:index/getPartition:getPartition": LookUp(file="meta/partition_data_source.go"),
    "aws:index/getAvailabilityZones:getAvailabilityZones": LookUp(
        file="ec2/ec2_availability_zones_data_source.go", calls=(Call("ec2:DescribeAvailabilityZones"),)
    ),
    "aws:ec2/getAmi:getAmi": LookUp(file="ec2/ec2_ami_data_source.go", calls=(Call("ec2:DescribeImages"),)),
    "aws:ec2/getInstances:getInstances": LookUp(
        file="ec2/ec2_instances_data_source.go", calls=(Call("ec2:DescribeInstances", many=True),)
    ),
    "aws:ec2/getInstanceType:getInstanceType": LookUp(
        file="ec2/ec2_instance_type_data_source.go", calls=(Call("ec2:DescribeInstanceTypes"),)
    ),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": LookUp(
        file="ec2/ec2_instance_type_offerings_data_source.go",
        calls=(Call("ec2:DescribeInstanceTypeOfferings", many=True),),
    ),
    "aws:ec2/getNetworkInterface:getNetworkInterface": LookUp(
        file="ec2/vpc_network_interface_data_source.go", calls=(Call("ec2:DescribeNetworkInterfaces"),)
    ),
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": LookUp(
        file="ec2/vpc_network_interfaces_data_source.go",
        calls=(Call("ec2:DescribeNetworkInterfaces", many=True),),
    ),
    "aws:ec2/getSubnet:getSubnet": LookUp(
        file="ec2/vpc_subnet_data_source.go", calls=(Call("ec2:DescribeSubnets"),)
    ),
    "aws:ec2/getVpc:getVpc": LookUp(
        file="ec2/vpc_data_source.go",
        calls=(
            Call("ec2:DescribeVpcs"),
            _ATTRIBUTE,
            _ATTRIBUTE,
            _ATTRIBUTE,
            Call("ec2:DescribeRouteTables"),
        ),
    ),
    "aws:ec2/getInternetGateway:getInternetGateway": LookUp(
        file="ec2/vpc_internet_gateway_data_source.go", calls=(Call("ec2:DescribeInternetGateways"),)
    ),
    "aws:ec2/getSecurityGroup:getSecurityGroup": LookUp(
        file="ec2/vpc_security_group_data_source.go", calls=(Call("ec2:DescribeSecurityGroups"),)
    ),
    "aws:ec2/getVpcEndpoint:getVpcEndpoint": LookUp(
        file="ec2/vpc_endpoint_data_source.go",
        calls=(Call("ec2:DescribeVpcEndpoints"), Call("ec2:DescribePrefixLists")),
    ),
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": LookUp(
        file="ec2/vpc_endpoint_service_data_source.go", calls=(Call("ec2:DescribeVpcEndpointServices"),)
    ),
    "aws:ssm/getParameter:getParameter": LookUp(
        file="ssm/parameter_data_source.go", calls=(Call("ssm:GetParameter"),)
    ),
}
