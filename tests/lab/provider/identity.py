"""Roles, their policies, and instance profiles."""

from __future__ import annotations

import json
from typing import ClassVar
from urllib.parse import unquote

from botocore.exceptions import ClientError

from .cloud import Cloud, code, tag_list, tag_map
from .network import REQUIRED_FIXED
from .schema import TAGS, Property, ResourceType, Values


def _document(value: object) -> str:
    """A policy's text: the API escapes it for a URL, and boto3 may have parsed it."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else unquote(str(value))


class Role(ResourceType):
    """A role."""

    token = "aws:iam/role:Role"
    label = "IAM Role"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "assumeRolePolicy": Property(required=True, kind="json"),
        "description": Property(),
        "forceDetachPolicies": Property(default=False, unread=True),
        "maxSessionDuration": Property(default=3600),
        "path": Property(default="/", replaces=True),
        "permissionsBoundary": Property(),
        "tags": TAGS,
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        optional = {"Description": inputs["description"]} if inputs.get("description") else {}
        if inputs.get("permissionsBoundary"):
            optional["PermissionsBoundary"] = inputs["permissionsBoundary"]
        if inputs.get("tags"):
            optional["Tags"] = tag_list(inputs["tags"])
        cloud.iam.create_role(
            RoleName=inputs["name"],
            Path=inputs["path"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            MaxSessionDuration=inputs["maxSessionDuration"],
            **optional,
        )
        return str(inputs["name"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if old.get("assumeRolePolicy") != new["assumeRolePolicy"]:
            cloud.iam.update_assume_role_policy(RoleName=object_id, PolicyDocument=new["assumeRolePolicy"])
        if old.get("description") != new.get("description"):
            cloud.iam.update_role_description(RoleName=object_id, Description=new.get("description", ""))
        if old.get("maxSessionDuration") != new["maxSessionDuration"]:
            cloud.iam.update_role(RoleName=object_id, MaxSessionDuration=new["maxSessionDuration"])
        if old.get("permissionsBoundary") != (boundary := new.get("permissionsBoundary")):
            if boundary:
                cloud.iam.put_role_permissions_boundary(RoleName=object_id, PermissionsBoundary=boundary)
            else:
                cloud.iam.delete_role_permissions_boundary(RoleName=object_id)
        before, after = old.get("tags", {}), new.get("tags", {})
        if gone := [key for key in before if key not in after]:
            cloud.iam.untag_role(RoleName=object_id, TagKeys=gone)
        if after != before:
            cloud.iam.tag_role(RoleName=object_id, Tags=tag_list(after))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        role = cloud.iam.get_role(RoleName=object_id)["Role"]
        return {
            "arn": role["Arn"],
            "name": role["RoleName"],
            "uniqueId": role["RoleId"],
            "path": role["Path"],
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description"),
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": tag_map(role.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        for profile in cloud.iam.list_instance_profiles_for_role(RoleName=object_id)["InstanceProfiles"]:
            cloud.iam.remove_role_from_instance_profile(
                InstanceProfileName=profile["InstanceProfileName"], RoleName=object_id
            )
        cloud.iam.delete_role(RoleName=object_id)


class RolePolicy(ResourceType):
    """A policy inside a role. Its id is made of the role's name and its own."""

    token = "aws:iam/rolePolicy:RolePolicy"
    label = "IAM Role Policy"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "role": REQUIRED_FIXED,
        "policy": Property(required=True, kind="json"),
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        cloud.iam.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return f"{inputs['role']}:{inputs['name']}"

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        self.create(cloud, new)

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        role, name = object_id.split(":", 1)
        found = cloud.iam.get_role_policy(RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": _document(found["PolicyDocument"])}

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        role, name = object_id.split(":", 1)
        cloud.iam.delete_role_policy(RoleName=role, PolicyName=name)


class RolePolicyAttachment(ResourceType):
    """A managed policy on a role. Its id is made of the role's name and the policy's ARN."""

    token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    label = "IAM Role Policy Attachment"
    inputs: ClassVar = {"role": REQUIRED_FIXED, "policyArn": REQUIRED_FIXED}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        cloud.iam.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        role, arn = object_id.split("/", 1)
        attached = cloud.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        return {"role": role, "policyArn": arn} if any(p["PolicyArn"] == arn for p in attached) else None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        role, arn = object_id.split("/", 1)
        cloud.iam.detach_role_policy(RoleName=role, PolicyArn=arn)


class InstanceProfile(ResourceType):
    """What gives a role to an instance."""

    token = "aws:iam/instanceProfile:InstanceProfile"
    label = "IAM Instance Profile"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "path": Property(default="/", replaces=True),
        "role": Property(),
        "tags": TAGS,
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        tags = {"Tags": tag_list(inputs["tags"])} if inputs.get("tags") else {}
        cloud.iam.create_instance_profile(InstanceProfileName=inputs["name"], Path=inputs["path"], **tags)
        return str(inputs["name"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        if inputs.get("role"):
            cloud.iam.add_role_to_instance_profile(InstanceProfileName=object_id, RoleName=inputs["role"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if old.get("role") != new.get("role"):
            self._take_role(cloud, object_id, old)
            self.finish(cloud, object_id, new)
        before, after = old.get("tags", {}), new.get("tags", {})
        if gone := [key for key in before if key not in after]:
            cloud.iam.untag_instance_profile(InstanceProfileName=object_id, TagKeys=gone)
        if after != before:
            cloud.iam.tag_instance_profile(InstanceProfileName=object_id, Tags=tag_list(after))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.iam.get_instance_profile(InstanceProfileName=object_id)["InstanceProfile"]
        return {
            "arn": found["Arn"],
            "name": found["InstanceProfileName"],
            "uniqueId": found["InstanceProfileId"],
            "path": found["Path"],
            "role": found["Roles"][0]["RoleName"] if found["Roles"] else None,
            "tags": tag_map(found.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        self._take_role(cloud, object_id, state)
        cloud.iam.delete_instance_profile(InstanceProfileName=object_id)

    def _take_role(self, cloud: Cloud, object_id: str, state: Values) -> None:
        if not state.get("role"):
            return
        try:
            cloud.iam.remove_role_from_instance_profile(InstanceProfileName=object_id, RoleName=state["role"])
        except ClientError as e:
            if code(e) != "NoSuchEntity":
                raise
