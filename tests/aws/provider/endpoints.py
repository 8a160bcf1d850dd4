"""Interface endpoints: internal/service/ec2/vpc_endpoint.go."""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, by, tag_map, tag_specification, wait_until, wait_until_gone
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
        self._wait(cloud, object_id, "create")

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        changes: Values = {}
        if "privateDnsEnabled" in new and new["privateDnsEnabled"] != old.get("privateDnsEnabled"):
            changes["PrivateDnsEnabled"] = new["privateDnsEnabled"]
        for name, argument in (("securityGroupIds", "SecurityGroupIds"), ("subnetIds", "SubnetIds")):
            before, after = set(old.get(name, [])), set({**old, **new}.get(name, []))
            changes |= {f"Add{argument}": sorted(after - before), f"Remove{argument}": sorted(before - after)}
        changes = {name: value for name, value in changes.items() if value != []}
        if changes:
            cloud.ec2.modify_vpc_endpoint(VpcEndpointId=object_id, **changes)
            self._wait(cloud, object_id, "update")

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        endpoint = self._find(cloud, object_id)
        if endpoint is None:
            return None
        # Only gateway endpoints have a prefix list, but the provider looks for one of any endpoint.
        cloud.ec2.describe_prefix_lists(Filters=by(prefix_list_name=endpoint["ServiceName"]))
        for interface in endpoint.get("NetworkInterfaceIds", []):
            cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])
        return {
            "arn": cloud.arn("vpc-endpoint", object_id, endpoint.get("OwnerId")),
            "vpcId": endpoint["VpcId"],
            "serviceName": endpoint["ServiceName"],
            "vpcEndpointType": endpoint["VpcEndpointType"],
            "subnetIds": endpoint.get("SubnetIds", []),
            "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups", [])],
            "privateDnsEnabled": endpoint.get("PrivateDnsEnabled", False),
            "state": endpoint["State"],
            "tags": tag_map(endpoint.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.delete_vpc_endpoints(VpcEndpointIds=[object_id])
        wait_until_gone(f"{self.label} ({object_id}) delete", lambda: self._find(cloud, object_id))

    def _wait(self, cloud: Cloud, object_id: str, doing: str) -> None:
        def state() -> str:
            endpoint = self._find(cloud, object_id)
            return str(endpoint["State"]).lower() if endpoint else "absent"

        wait_until(f"{self.label} ({object_id}) {doing}", state, wanted="available", pending=("pending",))

    def _find(self, cloud: Cloud, object_id: str) -> Values | None:
        endpoint: Values = cloud.ec2.describe_vpc_endpoints(VpcEndpointIds=[object_id])["VpcEndpoints"][0]
        return None if str(endpoint["State"]).lower() == "deleted" else endpoint
