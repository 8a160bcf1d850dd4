"""Systems Manager parameters: internal/service/ssm/parameter.go."""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, tag_changes, tag_list, tag_map
from .schema import REGION, TAGS, Property, ResourceType, Values

TYPES = ("String", "StringList", "SecureString")


class Parameter(ResourceType):
    """A parameter. Its id is its name."""

    token = "aws:ssm/parameter:Parameter"
    label = "SSM Parameter"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "type": Property(required=True),
        "value": Property(),
        "description": Property(),
        "tags": TAGS,
        "region": REGION,
    }
    autoname = True

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        if inputs["type"] not in TYPES:
            return [("type", f"expected type to be one of {list(TYPES)}, got {inputs['type']}")]
        if "value" not in inputs:
            return [("value", "one of `insecure_value,value,value_wo` must be specified")]
        return []

    def create(self, cloud: Cloud, inputs: Values) -> str:
        optional = {"Tags": tag_list(inputs["tags"])} if inputs.get("tags") else {}
        if inputs.get("description"):
            optional["Description"] = inputs["description"]
        cloud.ssm.put_parameter(
            Name=inputs["name"], Type=inputs["type"], Value=inputs["value"], Overwrite=False, **optional
        )
        return str(inputs["name"])

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        kind = {"ResourceType": "Parameter", "ResourceId": object_id}
        gone, changed = tag_changes(old.get("tags", {}), new.get("tags", {}))
        if gone:
            cloud.ssm.remove_tags_from_resource(**kind, TagKeys=list(gone))
        if changed:
            cloud.ssm.add_tags_to_resource(**kind, Tags=tag_list(changed))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if any(old.get(name) != new.get(name) for name in ("type", "value", "description")):
            described = {"Description": new.get("description", "")}
            cloud.ssm.put_parameter(
                Name=object_id,
                Type=new["type"],
                Value=new["value"],
                Overwrite=True,
                **(described if old.get("description") != new.get("description") else {}),
            )

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        found = cloud.ssm.get_parameter(Name=object_id, WithDecryption=True)["Parameter"]
        by_name = {"Key": "Name", "Option": "Equals", "Values": [object_id]}
        (described,) = cloud.ssm.describe_parameters(ParameterFilters=[by_name])["Parameters"]
        tags = cloud.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=object_id)["TagList"]
        return {
            "arn": found["ARN"],
            "name": found["Name"],
            "type": found["Type"],
            "value": found["Value"],
            "version": found["Version"],
            "description": described.get("Description") or None,
            "tags": tag_map(tags),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        cloud.ssm.delete_parameter(Name=object_id)
