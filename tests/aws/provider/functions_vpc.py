"""Look-ups of networks: internal/service/ec2/vpc_*_data_source.go."""

from __future__ import annotations

from .cloud import Cloud, by, tag_map
from .functions_ec2 import filters, the_one
from .network import main_route_table, vpc_attributes
from .schema import Values


def get_subnet(cloud: Cloud, arguments: Values) -> Values:
    """A subnet. Its ARN has the account that owns it and may have shared it."""
    ids = {"SubnetIds": [arguments["id"]]} if arguments.get("id") else {}
    found = cloud.ec2.describe_subnets(**ids, **filters(arguments, vpc_id=arguments.get("vpcId")))["Subnets"]
    subnet = the_one("EC2 Subnet", found)
    return {
        "id": subnet["SubnetId"],
        "arn": subnet.get("SubnetArn") or cloud.arn("subnet", subnet["SubnetId"], subnet["OwnerId"]),
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "ownerId": subnet["OwnerId"],
        "tags": tag_map(subnet.get("Tags")),
    }


def get_vpc(cloud: Cloud, arguments: Values) -> Values:
    """A VPC."""
    ids = {"VpcIds": [arguments["id"]]} if arguments.get("id") else {}
    vpc = the_one("EC2 VPC", cloud.ec2.describe_vpcs(**ids, **filters(arguments))["Vpcs"])
    blocks = vpc.get("CidrBlockAssociationSet") or [{"CidrBlock": vpc["CidrBlock"]}]
    return {
        "id": vpc["VpcId"],
        "arn": cloud.arn("vpc", vpc["VpcId"], vpc["OwnerId"]),
        "cidrBlock": vpc["CidrBlock"],
        "cidrBlockAssociations": [
            {
                "associationId": block.get("AssociationId", ""),
                "cidrBlock": block["CidrBlock"],
                "state": block.get("CidrBlockState", {}).get("State", "associated"),
            }
            for block in blocks
        ],
        **vpc_attributes(cloud, vpc["VpcId"]),
        "mainRouteTableId": main_route_table(cloud, vpc["VpcId"]),
        "ownerId": vpc["OwnerId"],
        "tags": tag_map(vpc.get("Tags")),
    }


def get_internet_gateway(cloud: Cloud, arguments: Values) -> Values:
    """An internet gateway."""
    wanted = filters(arguments, internet_gateway_id=arguments.get("internetGatewayId"))
    found = cloud.ec2.describe_internet_gateways(**wanted)["InternetGateways"]
    gateway = the_one("EC2 Internet Gateway", found)
    gateway_id = gateway["InternetGatewayId"]
    return {"id": gateway_id, "internetGatewayId": gateway_id, "tags": tag_map(gateway.get("Tags"))}


def get_security_group(cloud: Cloud, arguments: Values) -> Values:
    """A security group."""
    ids = {"GroupIds": [arguments["id"]]} if arguments.get("id") else {}
    wanted = filters(arguments, group_name=arguments.get("name"), vpc_id=arguments.get("vpcId"))
    group = the_one(
        "EC2 Security Group", cloud.ec2.describe_security_groups(**ids, **wanted)["SecurityGroups"]
    )
    return {
        "id": group["GroupId"],
        "arn": cloud.arn("security-group", group["GroupId"], group["OwnerId"]),
        "name": group["GroupName"],
        "description": group["Description"],
        "vpcId": group["VpcId"],
        "tags": tag_map(group.get("Tags")),
    }


def get_network_interface(cloud: Cloud, arguments: Values) -> Values:
    """A network interface."""
    ids = {"NetworkInterfaceIds": [arguments["id"]]} if arguments.get("id") else {}
    found = cloud.ec2.describe_network_interfaces(**ids, **filters(arguments))["NetworkInterfaces"]
    interface = the_one("EC2 Network Interface", found)
    addresses = interface["PrivateIpAddresses"]
    attachment = interface.get("Attachment")
    return {
        "id": interface["NetworkInterfaceId"],
        "arn": cloud.arn("network-interface", interface["NetworkInterfaceId"], interface["OwnerId"]),
        "attachments": [
            {
                "attachmentId": attachment.get("AttachmentId", ""),
                "deviceIndex": attachment.get("DeviceIndex", 0),
                "instanceId": attachment.get("InstanceId", ""),
                "instanceOwnerId": attachment.get("InstanceOwnerId", ""),
            }
        ]
        if attachment
        else [],
        "availabilityZone": interface.get("AvailabilityZone"),
        "description": interface.get("Description", ""),
        "interfaceType": interface.get("InterfaceType", "interface"),
        "ownerId": interface["OwnerId"],
        "privateIp": interface.get("PrivateIpAddress"),
        "privateIps": [address["PrivateIpAddress"] for address in addresses],
        "requesterId": interface.get("RequesterId", ""),
        "securityGroups": [group["GroupId"] for group in interface.get("Groups", [])],
        "subnetId": interface["SubnetId"],
        "vpcId": interface["VpcId"],
        "tags": tag_map(interface.get("TagSet")),
    }


def get_network_interfaces(cloud: Cloud, arguments: Values) -> Values:
    """The ids of network interfaces."""
    pages = cloud.ec2.get_paginator("describe_network_interfaces").paginate(**filters(arguments))
    ids = [one["NetworkInterfaceId"] for page in pages for one in page["NetworkInterfaces"]]
    return {"id": cloud.region, "ids": ids}


def get_vpc_endpoint(cloud: Cloud, arguments: Values) -> Values:
    """An endpoint in a VPC."""
    ids = {"VpcEndpointIds": [arguments["id"]]} if arguments.get("id") else {}
    wanted = filters(
        arguments,
        vpc_id=arguments.get("vpcId"),
        service_name=arguments.get("serviceName"),
        vpc_endpoint_state=arguments.get("state"),
    )
    found = cloud.ec2.describe_vpc_endpoints(**ids, **wanted)["VpcEndpoints"]
    endpoint = the_one("EC2 VPC Endpoint", found)
    cloud.ec2.describe_prefix_lists(Filters=by(prefix_list_name=endpoint["ServiceName"]))
    return {
        "id": endpoint["VpcEndpointId"],
        "arn": cloud.arn("vpc-endpoint", endpoint["VpcEndpointId"], endpoint.get("OwnerId")),
        "vpcId": endpoint["VpcId"],
        "serviceName": endpoint["ServiceName"],
        "state": endpoint["State"],
        "vpcEndpointType": endpoint["VpcEndpointType"],
        "privateDnsEnabled": endpoint.get("PrivateDnsEnabled", False),
        "subnetIds": endpoint.get("SubnetIds", []),
        "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups", [])],
        "tags": tag_map(endpoint.get("Tags")),
    }


def get_vpc_endpoint_service(cloud: Cloud, arguments: Values) -> Values:
    """A service that can have an endpoint, by its full or its short name.

    A short name becomes `com.amazonaws.REGION.SERVICE` in every partition; for some services in China, that is
    wrong.
    """
    name = arguments.get("serviceName")
    if not name and arguments.get("service"):
        name = f"com.amazonaws.{cloud.region}.{arguments['service']}"
    names = {"ServiceNames": [name]} if name else {}
    wanted = filters(arguments, service_type=arguments.get("serviceType"))
    found = cloud.ec2.describe_vpc_endpoint_services(**names, **wanted)["ServiceDetails"]
    service = the_one("EC2 VPC Endpoint Service", found)
    return {
        "id": service["ServiceId"] if service.get("ServiceId") else service["ServiceName"],
        "serviceName": service["ServiceName"],
        "serviceId": service.get("ServiceId", ""),
        "serviceType": service["ServiceType"][0]["ServiceType"],
        "availabilityZones": service.get("AvailabilityZones", []),
        "owner": service.get("Owner", ""),
        "privateDnsName": service.get("PrivateDnsName", ""),
        "tags": tag_map(service.get("Tags")),
    }
