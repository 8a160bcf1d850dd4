"""Interface endpoints."""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, tag_map, tag_specification, wait_until
from .network import FIXED, REQUIRED_FIXED
from .schema import REGION, TAGS, Property, ResourceType, Values


class VpcEndpoint(ResourceType):
    """An interface endpoint of an AWS service."""

    token = "aws:ec2/vpcEndpoint:VpcEndpoint"
    label = "EC2 VPC Endpoint"
    inputs: ClassVar = {
        "vpcId": REQUIRED_FIXED,
        "serviceName": FIXED,
        "vpcEndpointType": Property(default="Gateway", replaces=True),
        "subnetIds": Property(computed=True, kind="set"),
        "securityGroupIds": Property(computed=True, kind="set"),
        "privateDnsEnabled": Property(computed=True),
        "region": REGION,
        "tags": TAGS,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            SubnetIds=inputs["subnetIds"],
            SecurityGroupIds=inputs["securityGroupIds"],
            PrivateDnsEnabled=inputs["privateDnsEnabled"],
            **tag_specification("vpc-endpoint", inputs.get("tags")),
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        if inputs["vpcEndpointType"] == "Interface":
            return []
        return [("vpcEndpointType", "the lab's provider implements interface endpoints alone")]

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until(
            f"EC2 VPC Endpoint ({object_id}) create",
            lambda: str(self._find(cloud, object_id)["State"]).lower(),
            wanted="available",
            pending=("pending",),
        )

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        changes: Values = {}
        for name, argument in (("subnetIds", "SubnetIds"), ("securityGroupIds", "SecurityGroupIds")):
            before, after = set(old.get(name, [])), set(new.get(name, []))
            if before != after:
                changes |= {
                    f"Add{argument}": sorted(after - before),
                    f"Remove{argument}": sorted(before - after),
                }
        if changes:
            cloud.ec2.modify_vpc_endpoint(VpcEndpointId=object_id, **{k: v for k, v in changes.items() if v})
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = self._find(cloud, object_id)
        if str(found["State"]).lower() == "deleted":
            return None
        return {
            "arn": cloud.arn("vpc-endpoint", object_id),
            "vpcId": found["VpcId"],
            "serviceName": found["ServiceName"],
            "vpcEndpointType": found["VpcEndpointType"],
            "subnetIds": found.get("SubnetIds", []),
            "securityGroupIds": [g["GroupId"] for g in found.get("Groups", [])],
            "privateDnsEnabled": found.get("PrivateDnsEnabled", False),
            "state": found["State"],
            "tags": tag_map(found.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.delete_vpc_endpoints(VpcEndpointIds=[object_id])

    def _find(self, cloud: Cloud, object_id: str) -> Values:
        found: Values = cloud.ec2.describe_vpc_endpoints(VpcEndpointIds=[object_id])["VpcEndpoints"][0]
        return found
