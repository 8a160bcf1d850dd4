"""Placement groups: internal/service/ec2/ec2_placement_group.go."""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, tag_map, tag_specification, wait_until, wait_until_gone
from .schema import REGION, TAGS, Property, ResourceType, Values


class PlacementGroup(ResourceType):
    """A placement group: how far apart, or how close together, instances are."""

    token = "aws:ec2/placementGroup:PlacementGroup"
    label = "EC2 Placement Group"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "strategy": Property(required=True, replaces=True),
        "region": REGION,
        "tags": TAGS,
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        cloud.ec2.create_placement_group(
            GroupName=inputs["name"],
            Strategy=inputs["strategy"],
            **tag_specification("placement-group", inputs.get("tags")),
        )
        return str(inputs["name"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until(
            f"EC2 Placement Group ({object_id}) create",
            lambda: str(_find(cloud, object_id)["State"]),
            wanted="available",
            pending=("pending",),
        )

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.retag(old["placementGroupId"], old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        group = _find(cloud, object_id)
        return {
            "arn": cloud.arn("placement-group", object_id),
            "name": group["GroupName"],
            "strategy": group["Strategy"],
            "placementGroupId": group["GroupId"],
            "tags": tag_map(group.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ec2.delete_placement_group(GroupName=object_id)
        wait_until_gone(f"EC2 Placement Group ({object_id}) delete", lambda: _find(cloud, object_id))


def _find(cloud: Cloud, name: str) -> Values:
    group: Values = cloud.ec2.describe_placement_groups(GroupNames=[name])["PlacementGroups"][0]
    return group
