"""VPCs, subnets, and the ways out of them."""

from __future__ import annotations

from typing import ClassVar

from botocore.exceptions import ClientError

from .cloud import Cloud, code, retry_while, tag_map, tag_specification, wait_until
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
        self._set_names(cloud, object_id, {}, inputs)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        self._set_names(cloud, object_id, old, new)
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        vpc = cloud.ec2.describe_vpcs(VpcIds=[object_id])["Vpcs"][0]
        main = cloud.ec2.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [object_id]},
                {"Name": "association.main", "Values": ["true"]},
            ]
        )["RouteTables"]
        return {
            "arn": cloud.arn("vpc", object_id),
            "cidrBlock": vpc["CidrBlock"],
            **vpc_names(cloud, object_id),
            "mainRouteTableId": main[0]["RouteTableId"] if main else None,
            "ownerId": vpc["OwnerId"],
            "tags": tag_map(vpc.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        retry_while(IN_USE, lambda: cloud.ec2.delete_vpc(VpcId=object_id))

    def _set_names(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            if name in new and new[name] != old.get(name):
                # The API takes one attribute at a time.
                attribute = name[0].upper() + name[1:]
                cloud.ec2.modify_vpc_attribute(VpcId=object_id, **{attribute: {"Value": new[name]}})


def vpc_names(cloud: Cloud, vpc_id: str) -> dict[str, bool]:
    """Whether the VPC has name service, and names for its instances."""
    found = {}
    for name in ("enableDnsSupport", "enableDnsHostnames"):
        attribute = cloud.ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        found[name] = bool(attribute[name[0].upper() + name[1:]]["Value"])
    return found


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
            lambda: str(cloud.ec2.describe_subnets(SubnetIds=[object_id])["Subnets"][0]["State"]),
            wanted="available",
            pending=("pending",),
        )
        if inputs["mapPublicIpOnLaunch"]:
            self._map_public(cloud, object_id, True)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if old.get("mapPublicIpOnLaunch") != new["mapPublicIpOnLaunch"]:
            self._map_public(cloud, object_id, new["mapPublicIpOnLaunch"])
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        subnet = cloud.ec2.describe_subnets(SubnetIds=[object_id])["Subnets"][0]
        return {
            "arn": cloud.arn("subnet", object_id),
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet.get("AvailabilityZoneId"),
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": subnet["OwnerId"],
            "tags": tag_map(subnet.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        # Interfaces of instances that have just ended go some moments after them.
        retry_while(IN_USE, lambda: cloud.ec2.delete_subnet(SubnetId=object_id))

    def _map_public(self, cloud: Cloud, object_id: str, value: bool) -> None:
        cloud.ec2.modify_subnet_attribute(SubnetId=object_id, MapPublicIpOnLaunch={"Value": value})


class SubnetCidrReservation(ResourceType):
    """A part of a subnet that AWS hands out by request alone."""

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
        made = cloud.ec2.create_subnet_cidr_reservation(
            SubnetId=inputs["subnetId"],
            Cidr=inputs["cidrBlock"],
            ReservationType=inputs["reservationType"],
            Description=inputs.get("description", ""),
        )
        return str(made["SubnetCidrReservation"]["SubnetCidrReservationId"])

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        if inputs["reservationType"] in ("prefix", "explicit"):
            return []
        return [("reservationType", 'expected reservation_type to be one of ["prefix" "explicit"]')]

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        # There is no way to ask for one by its id alone.
        for subnet in cloud.ec2.describe_subnets()["Subnets"]:
            found = cloud.ec2.get_subnet_cidr_reservations(SubnetId=subnet["SubnetId"])
            for one in found["SubnetIpv4CidrReservations"]:
                if one["SubnetCidrReservationId"] == object_id:
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


class InternetGateway(ResourceType):
    """An internet gateway, attached to a VPC."""

    token = "aws:ec2/internetGateway:InternetGateway"
    label = "EC2 Internet Gateway"
    inputs: ClassVar = {"vpcId": Property(computed=True), "region": REGION, "tags": TAGS}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.create_internet_gateway(**tag_specification("internet-gateway", inputs.get("tags")))
        return str(made["InternetGateway"]["InternetGatewayId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        if inputs.get("vpcId"):
            cloud.ec2.attach_internet_gateway(InternetGatewayId=object_id, VpcId=inputs["vpcId"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if new.get("vpcId") and new["vpcId"] != old.get("vpcId"):
            self._detach(cloud, object_id, old)
            self.finish(cloud, object_id, new)
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_internet_gateways(InternetGatewayIds=[object_id])["InternetGateways"][0]
        attached = found.get("Attachments") or [{}]
        return {
            "arn": cloud.arn("internet-gateway", object_id),
            "vpcId": attached[0].get("VpcId"),
            "ownerId": cloud.account,
            "tags": tag_map(found.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        self._detach(cloud, object_id, state)
        retry_while(IN_USE, lambda: cloud.ec2.delete_internet_gateway(InternetGatewayId=object_id))

    def _detach(self, cloud: Cloud, object_id: str, state: Values) -> None:
        if not state.get("vpcId"):
            return
        try:
            # Public addresses hold on to it.
            retry_while(
                IN_USE,
                lambda: cloud.ec2.detach_internet_gateway(InternetGatewayId=object_id, VpcId=state["vpcId"]),
            )
        except ClientError as e:
            if code(e) != "Gateway.NotAttached":
                raise


class RouteTable(ResourceType):
    """A route table; its routes are resources of their own."""

    token = "aws:ec2/routeTable:RouteTable"
    label = "EC2 Route Table"
    inputs: ClassVar = {"vpcId": REQUIRED_FIXED, "region": REGION, "tags": TAGS}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.create_route_table(
            VpcId=inputs["vpcId"], **tag_specification("route-table", inputs.get("tags"))
        )
        return str(made["RouteTable"]["RouteTableId"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_route_tables(RouteTableIds=[object_id])["RouteTables"][0]
        return {
            "arn": cloud.arn("route-table", object_id),
            "vpcId": found["VpcId"],
            "ownerId": found["OwnerId"],
            "tags": tag_map(found.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        retry_while(IN_USE, lambda: cloud.ec2.delete_route_table(RouteTableId=object_id))


class Route(ResourceType):
    """One route, to an internet gateway. Its id is made of the table's and the destination."""

    token = "aws:ec2/route:Route"
    label = "Route in Route Table"
    inputs: ClassVar = {
        "routeTableId": REQUIRED_FIXED,
        "destinationCidrBlock": FIXED,
        "gatewayId": Property(),
        "region": REGION,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
        cloud.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=destination, GatewayId=inputs["gatewayId"]
        )
        return f"{table}_{destination}"

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.ec2.replace_route(
            RouteTableId=new["routeTableId"],
            DestinationCidrBlock=new["destinationCidrBlock"],
            GatewayId=new["gatewayId"],
        )

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        table, destination = object_id.split("_", 1)
        found = cloud.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]
        for route in found["Routes"]:
            if route.get("DestinationCidrBlock") == destination:
                return {
                    "routeTableId": table,
                    "destinationCidrBlock": destination,
                    "gatewayId": route.get("GatewayId"),
                    "origin": route["Origin"],
                    "state": route["State"],
                }
        return None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        table, destination = object_id.split("_", 1)
        cloud.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)


class RouteTableAssociation(ResourceType):
    """Which route table a subnet uses."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    label = "Route Table Association"
    inputs: ClassVar = {"routeTableId": Property(required=True), "subnetId": FIXED, "region": REGION}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )
        return str(made["AssociationId"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.ec2.replace_route_table_association(AssociationId=object_id, RouteTableId=new["routeTableId"])

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_route_tables(
            Filters=[{"Name": "association.route-table-association-id", "Values": [object_id]}]
        )
        for table in found["RouteTables"]:
            for one in table["Associations"]:
                if one["RouteTableAssociationId"] == object_id:
                    return {"routeTableId": table["RouteTableId"], "subnetId": one.get("SubnetId")}
        return None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.disassociate_route_table(AssociationId=object_id)
