"""A single tag of an object that is not ours.

It makes the calls of terraform-provider-aws, internal/service/ec2/tag_gen.go: CreateTags, DescribeTags for every
read, DeleteTags. If the tag is gone, so is the resource. Its removal fails if DeleteTags fails.
"""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, tag_list
from .schema import REGION, Property, ResourceType, Values


class Tag(ResourceType):
    """A tag of an EC2 object. Its id consists of the object's id and the tag's key."""

    token = "aws:ec2/tag:Tag"
    label = "EC2 Tag"
    inputs: ClassVar = {
        "resourceId": Property(required=True, replaces=True),
        "key": Property(required=True, replaces=True),
        "value": Property(required=True),
        "region": REGION,
    }

    def create(self, cloud: Cloud, inputs: Values) -> str:
        self._put(cloud, inputs["resourceId"], inputs["key"], inputs["value"])
        return f"{inputs['resourceId']},{inputs['key']}"

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        resource_id, key = object_id.split(",", 1)
        self._put(cloud, resource_id, key, new["value"])

    def read(self, cloud: Cloud, object_id: str, known: Values | None = None) -> Values | None:
        resource_id, key = object_id.split(",", 1)
        by_both = {"resource-id": resource_id, "key": key}
        filters = [{"Name": name, "Values": [value]} for name, value in by_both.items()]
        found = cloud.ec2.describe_tags(Filters=filters)["Tags"]
        return {"resourceId": resource_id, "key": key, "value": found[0]["Value"]} if found else None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        resource_id, key = object_id.split(",", 1)
        cloud.ec2.delete_tags(Resources=[resource_id], Tags=tag_list({key: state["value"]}))

    def _put(self, cloud: Cloud, resource_id: str, key: str, value: str) -> None:
        cloud.ec2.create_tags(Resources=[resource_id], Tags=tag_list({key: value}))
