"""Internet gateways and routes.

Source: internal/service/ec2/vpc_internet_gateway.go, vpc_route_table.go, vpc_route.go,
vpc_route_table_association.go.
"""

from __future__ import annotations

import zlib
from typing import ClassVar

from botocore.exceptions import ClientError

from .cloud import (
    Cloud,
    by,
    code,
    is_gone,
    retried,
    tag_map,
    tag_specification,
    wait_until,
    wait_until_gone,
    wait_until_there,
)
from .network import FIXED, IN_USE, REQUIRED_FIXED
from .schema import REGION, TAGS, Property, ResourceType, Values

SETTLED = 2
"""How many times in a row the provider must find a new route or table before it goes on."""


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
            self._attach(cloud, object_id, inputs["vpcId"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if new.get("vpcId") and new["vpcId"] != old.get("vpcId"):
            if old.get("vpcId"):
                self._detach(cloud, object_id, old["vpcId"])
            self._attach(cloud, object_id, new["vpcId"])

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        gateway = self._find(cloud, object_id)
        attached = gateway.get("Attachments") or [{}]
        owner = gateway.get("OwnerId") or cloud.account
        return {
            "arn": cloud.arn("internet-gateway", object_id, owner),
            "vpcId": attached[0].get("VpcId", ""),
            "ownerId": owner,
            "tags": tag_map(gateway.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        if state.get("vpcId"):
            self._detach(cloud, object_id, state["vpcId"])
        retried(IN_USE, lambda: cloud.ec2.delete_internet_gateway(InternetGatewayId=object_id))

    def _attach(self, cloud: Cloud, object_id: str, vpc: str) -> None:
        retried(
            ("InvalidInternetGatewayID.NotFound",),
            lambda: cloud.ec2.attach_internet_gateway(InternetGatewayId=object_id, VpcId=vpc),
        )
        wait_until_there(f"{self.label} ({object_id}) attach", lambda: self._attached(cloud, object_id, vpc))

    def _detach(self, cloud: Cloud, object_id: str, vpc: str) -> None:
        try:
            # This fails as long as the VPC has public addresses.
            retried(
                IN_USE,
                lambda: cloud.ec2.detach_internet_gateway(InternetGatewayId=object_id, VpcId=vpc),
            )
        except ClientError as e:
            if code(e) == "Gateway.NotAttached":
                return
            raise
        wait_until_gone(f"{self.label} ({object_id}) detach", lambda: self._attached(cloud, object_id, vpc))

    def _find(self, cloud: Cloud, object_id: str) -> Values:
        gateway: Values = cloud.ec2.describe_internet_gateways(InternetGatewayIds=[object_id])[
            "InternetGateways"
        ][0]
        return gateway

    def _attached(self, cloud: Cloud, object_id: str, vpc: str) -> bool:
        attachments = self._find(cloud, object_id).get("Attachments", [])
        return any(one["VpcId"] == vpc and one["State"] in ("available", "attached") for one in attachments)


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

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until_there(f"Route Table ({object_id}) create", lambda: _table(cloud, object_id), times=SETTLED)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        table = _table(cloud, object_id)
        return {
            "arn": cloud.arn("route-table", object_id, table["OwnerId"]),
            "vpcId": table["VpcId"],
            "ownerId": table["OwnerId"],
            "tags": tag_map(table.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        for association in _table(cloud, object_id).get("Associations", []):
            _disassociate(cloud, association["RouteTableAssociationId"])
        cloud.ec2.delete_route_table(RouteTableId=object_id)
        wait_until_gone(f"Route Table ({object_id}) delete", lambda: _table(cloud, object_id))


def _table(cloud: Cloud, table_id: str) -> Values:
    table: Values = cloud.ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"][0]
    return table


class Route(ResourceType):
    """A route to an internet gateway. Its id for an import is TABLE_DESTINATION."""

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
        retried(
            ("InvalidParameterException",),
            lambda: cloud.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=destination, GatewayId=inputs["gatewayId"]
            ),
        )
        return f"r-{table}{zlib.crc32(destination.encode())}"

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until_there(
            f"Route ({object_id}) to become available", lambda: self._find(cloud, inputs), times=SETTLED
        )

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.ec2.replace_route(
            RouteTableId=new["routeTableId"],
            DestinationCidrBlock=new["destinationCidrBlock"],
            GatewayId=new["gatewayId"],
        )
        self.finish(cloud, object_id, new)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        if "_" in object_id:
            known = dict(zip(("routeTableId", "destinationCidrBlock"), object_id.split("_", 1), strict=True))
        route = self._find(cloud, known)
        return route and {
            "routeTableId": known["routeTableId"],
            "destinationCidrBlock": known["destinationCidrBlock"],
            "gatewayId": route.get("GatewayId"),
            "origin": route["Origin"],
            "state": route["State"],
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        retried(
            ("InvalidParameterException",),
            lambda: cloud.ec2.delete_route(
                RouteTableId=state["routeTableId"], DestinationCidrBlock=state["destinationCidrBlock"]
            ),
        )
        wait_until_gone(f"Route ({object_id}) to delete", lambda: self._find(cloud, state))

    def _find(self, cloud: Cloud, values: Values) -> Values | None:
        for route in _table(cloud, values["routeTableId"])["Routes"]:
            if route.get("DestinationCidrBlock") == values["destinationCidrBlock"]:
                of_table: Values = route
                return of_table
        return None


class RouteTableAssociation(ResourceType):
    """Which route table a subnet uses."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    label = "Route Table Association"
    inputs: ClassVar = {"routeTableId": Property(required=True), "subnetId": FIXED, "region": REGION}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = retried(
            ("InvalidRouteTableID.NotFound",),
            lambda: cloud.ec2.associate_route_table(
                RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
            ),
        )
        return str(made["AssociationId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until(
            f"{self.label} ({object_id}) create",
            lambda: _association_state(cloud, object_id),
            wanted="associated",
            pending=("associating", "absent"),
        )

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Replace the association. EC2 gives it a new id; Pulumi keeps the old one.

        A refresh no longer finds the old id.
        """
        try:
            object_id = cloud.ec2.replace_route_table_association(
                AssociationId=object_id, RouteTableId=new["routeTableId"]
            )["NewAssociationId"]
        except ClientError as e:
            if code(e) != "InvalidAssociationID.NotFound":
                raise
            object_id = self.create(cloud, new)
        self.finish(cloud, object_id, new)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        one = _association(cloud, object_id)
        return one and {"routeTableId": one["RouteTableId"], "subnetId": one.get("SubnetId")}

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        _disassociate(cloud, object_id)


def _association(cloud: Cloud, association_id: str) -> Values | None:
    filters = by(association__route_table_association_id=association_id)
    for table in cloud.ec2.describe_route_tables(Filters=filters)["RouteTables"]:
        for one in table["Associations"]:
            if one["RouteTableAssociationId"] == association_id:
                return {"RouteTableId": table["RouteTableId"], **one}
    return None


def _association_state(cloud: Cloud, association_id: str) -> str:
    one = _association(cloud, association_id)
    # moto returns no state.
    return str(one.get("AssociationState", {}).get("State", "associated")) if one else "absent"


def _disassociate(cloud: Cloud, association_id: str) -> None:
    try:
        cloud.ec2.disassociate_route_table(AssociationId=association_id)
    except ClientError as e:
        if is_gone(e):
            return
        raise
    wait_until_gone(
        f"Route Table Association ({association_id}) delete", lambda: _association(cloud, association_id)
    )
