"""VPCs, subnets and their reservations.

Source: internal/service/ec2/vpc_.go, vpc_subnet.go, vpc_subnet_cidr_reservation.go.
"""

from __future__ import annotations

from typing import ClassVar

from .cloud import (
    Cloud,
    by,
    only_a_warning,
    retried,
    tag_map,
    tag_specification,
    wait_until,
    wait_until_gone,
)
from .schema import REGION, TAGS, Property, ResourceType, Values

REQUIRED_FIXED = Property(required=True, replaces=True)
FIXED = Property(replaces=True)
IN_USE = ("DependencyViolation",)


class Vpc(ResourceType):
    """A VPC with an IPv4 CIDR."""

    token = "aws:ec2/vpc:Vpc"
    label = "EC2 VPC"
    inputs: ClassVar = {
        "cidrBlock": Property(computed=True, replaces=True),
        "enableDnsSupport": Property(default=True),
        "enableDnsHostnames": Property(computed=True),
        "region": REGION,
        "tags": TAGS,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.create_vpc(
            CidrBlock=inputs["cidrBlock"], **tag_specification("vpc", inputs.get("tags"))
        )
        return str(made["Vpc"]["VpcId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until(
            f"EC2 VPC ({object_id}) create",
            lambda: str(_vpc(cloud, object_id)["State"]),
            wanted="available",
            pending=("pending",),
        )
        # These are the attributes of a new VPC.
        self.update(cloud, object_id, {"enableDnsHostnames": False, "enableDnsSupport": True}, inputs)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        for name in ("enableDnsHostnames", "enableDnsSupport"):
            if name in new and new[name] != old.get(name):
                _set_attribute(cloud, object_id, name, new[name])

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        vpc = _vpc(cloud, object_id)
        attributes = vpc_attributes(cloud, object_id)
        found: Values = {}
        with only_a_warning():
            acls = cloud.ec2.describe_network_acls(Filters=by(default="true", vpc_id=object_id))[
                "NetworkAcls"
            ]
            found["defaultNetworkAclId"] = acls[0]["NetworkAclId"]
        with only_a_warning():
            found["mainRouteTableId"] = main_route_table(cloud, object_id)
        with only_a_warning():
            groups = cloud.ec2.describe_security_groups(Filters=by(group_name="default", vpc_id=object_id))
            found["defaultSecurityGroupId"] = groups["SecurityGroups"][0]["GroupId"]
        return {
            "arn": cloud.arn("vpc", object_id, vpc["OwnerId"]),
            "cidrBlock": vpc["CidrBlock"],
            "ownerId": vpc["OwnerId"],
            "tags": tag_map(vpc.get("Tags")),
            **attributes,
            **found,
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        retried(IN_USE, lambda: cloud.ec2.delete_vpc(VpcId=object_id))
        wait_until_gone(f"EC2 VPC ({object_id}) delete", lambda: _vpc(cloud, object_id))


def _vpc(cloud: Cloud, vpc_id: str) -> Values:
    vpc: Values = cloud.ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    return vpc


def _attribute(cloud: Cloud, vpc_id: str, name: str) -> bool:
    attribute = cloud.ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
    return bool(attribute[name[0].upper() + name[1:]]["Value"])


def _set_attribute(cloud: Cloud, vpc_id: str, name: str, value: bool) -> None:
    """Set one attribute, because the API takes only one at a time."""
    argument = name[0].upper() + name[1:]
    cloud.ec2.modify_vpc_attribute(VpcId=vpc_id, **{argument: {"Value": value}})
    wait_until(
        f"EC2 VPC ({vpc_id}) {argument} update",
        lambda: str(_attribute(cloud, vpc_id, name)),
        wanted=str(value),
        pending=(str(not value),),
    )


def vpc_attributes(cloud: Cloud, vpc_id: str) -> dict[str, bool]:
    """The VPC's attributes for DNS host names, DNS support and address-usage metrics."""
    names = ("enableDnsHostnames", "enableDnsSupport", "enableNetworkAddressUsageMetrics")
    return {name: _attribute(cloud, vpc_id, name) for name in names}


def main_route_table(cloud: Cloud, vpc_id: str) -> str | None:
    """The id of the main route table, which subnets without their own use; None if there is none."""
    filters = by(association__main="true", vpc_id=vpc_id)
    found = cloud.ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return str(found[0]["RouteTableId"]) if found else None


def see_lingering_interfaces(cloud: Cloud, **owner: str) -> None:
    """Look for interfaces that Lambda, Comprehend or DMS may have left; here they leave none.

    Source: internal/service/ec2/vpc_network_interface.go, deleteLingeringENIs.
    """
    cloud.ec2.describe_network_interfaces(Filters=by(**owner))


class Subnet(ResourceType):
    """A subnet with an IPv4 CIDR."""

    token = "aws:ec2/subnet:Subnet"
    label = "EC2 Subnet"
    inputs: ClassVar = {
        "vpcId": REQUIRED_FIXED,
        "cidrBlock": FIXED,
        "availabilityZone": Property(computed=True, replaces=True),
        "mapPublicIpOnLaunch": Property(default=False),
        "region": REGION,
        "tags": TAGS,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        zone = {"AvailabilityZone": inputs["availabilityZone"]} if inputs.get("availabilityZone") else {}
        made = cloud.ec2.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            **zone,
            **tag_specification("subnet", inputs.get("tags")),
        )
        return str(made["Subnet"]["SubnetId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until(
            f"EC2 Subnet ({object_id}) create",
            lambda: str(_subnet(cloud, object_id)["State"]),
            wanted="available",
            pending=("pending",),
        )
        self.update(cloud, object_id, {"mapPublicIpOnLaunch": False}, inputs)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        value = new["mapPublicIpOnLaunch"]
        if old.get("mapPublicIpOnLaunch") == value:
            return
        cloud.ec2.modify_subnet_attribute(SubnetId=object_id, MapPublicIpOnLaunch={"Value": value})
        wait_until(
            f"EC2 Subnet ({object_id}) MapPublicIpOnLaunch update",
            lambda: str(_subnet(cloud, object_id)["MapPublicIpOnLaunch"]),
            wanted=str(value),
            pending=(str(not value),),
        )

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        subnet = _subnet(cloud, object_id)
        return {
            "arn": subnet.get("SubnetArn") or cloud.arn("subnet", object_id, subnet["OwnerId"]),
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet.get("AvailabilityZoneId"),
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": subnet["OwnerId"],
            "tags": tag_map(subnet.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        see_lingering_interfaces(cloud, subnet_id=object_id)
        # The interfaces of instances that have just ended disappear a few moments later, so we retry.
        retried(IN_USE, lambda: cloud.ec2.delete_subnet(SubnetId=object_id))


def _subnet(cloud: Cloud, subnet_id: str) -> Values:
    subnet: Values = cloud.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]
    return subnet


class SubnetCidrReservation(ResourceType):
    """A part of a subnet that AWS hands out only on request. Its id for an import is SUBNET:RESERVATION."""

    token = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"
    label = "EC2 Subnet CIDR Reservation"
    inputs: ClassVar = {
        "subnetId": REQUIRED_FIXED,
        "cidrBlock": REQUIRED_FIXED,
        "reservationType": REQUIRED_FIXED,
        # moto forgets it.
        "description": Property(replaces=True, unread=True),
        "region": REGION,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        described = {"Description": inputs["description"]} if inputs.get("description") else {}
        made = cloud.ec2.create_subnet_cidr_reservation(
            SubnetId=inputs["subnetId"],
            Cidr=inputs["cidrBlock"],
            ReservationType=inputs["reservationType"],
            **described,
        )
        return str(made["SubnetCidrReservation"]["SubnetCidrReservationId"])

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        if inputs["reservationType"] in ("prefix", "explicit"):
            return []
        return [("reservationType", 'expected reservation_type to be one of ["prefix" "explicit"]')]

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        subnet, _, imported = object_id.partition(":")
        found = cloud.ec2.get_subnet_cidr_reservations(SubnetId=subnet if imported else known["subnetId"])
        for one in found["SubnetIpv4CidrReservations"]:
            if one["SubnetCidrReservationId"] == (imported or object_id):
                return {
                    "subnetId": one["SubnetId"],
                    "cidrBlock": one["Cidr"],
                    "reservationType": one["ReservationType"],
                    "description": one.get("Description"),
                    "ownerId": one["OwnerId"],
                }
        return None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=object_id)
