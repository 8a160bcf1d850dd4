"""Roles, their policies, and instance profiles.

Source: internal/service/iam/role.go, role_policy.go, role_policy_attachment.go, instance_profile.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import unquote

from botocore.exceptions import ClientError

from .changes import equal
from .cloud import (
    Cloud,
    ProviderError,
    code,
    found,
    retried,
    tag_changes,
    tag_list,
    tag_map,
    wait_until_there,
)
from .network import REQUIRED_FIXED
from .schema import TAGS, Property, ResourceType, Values


def _document(value: object) -> str:
    """A policy's text. The API escapes it for a URL, and boto3 may have parsed it."""
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
        if inputs.get("tags"):
            optional["Tags"] = tag_list(inputs["tags"])
        if inputs.get("permissionsBoundary"):
            optional["PermissionsBoundary"] = inputs["permissionsBoundary"]
        _when_the_principal_is_known(
            lambda: cloud.iam.create_role(
                RoleName=inputs["name"],
                Path=inputs["path"],
                AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
                MaxSessionDuration=inputs["maxSessionDuration"],
                **optional,
            )
        )
        return str(inputs["name"])

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        gone, changed = tag_changes(old.get("tags", {}), new.get("tags", {}))
        if gone:
            cloud.iam.untag_role(RoleName=object_id, TagKeys=list(gone))
        if changed:
            cloud.iam.tag_role(RoleName=object_id, Tags=tag_list(changed))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        policy, trusted = new["assumeRolePolicy"], Role.inputs["assumeRolePolicy"]
        if not equal(trusted, old.get("assumeRolePolicy"), policy):
            _when_the_principal_is_known(
                lambda: cloud.iam.update_assume_role_policy(RoleName=object_id, PolicyDocument=policy)
            )
        if old.get("description") != new.get("description"):
            cloud.iam.update_role_description(RoleName=object_id, Description=new.get("description", ""))
        if old.get("maxSessionDuration") != new["maxSessionDuration"]:
            cloud.iam.update_role(RoleName=object_id, MaxSessionDuration=new["maxSessionDuration"])
        boundary = new.get("permissionsBoundary")
        if old.get("permissionsBoundary") != boundary:
            if boundary:
                cloud.iam.put_role_permissions_boundary(RoleName=object_id, PermissionsBoundary=boundary)
            else:
                cloud.iam.delete_role_permissions_boundary(RoleName=object_id)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        role = cloud.iam.get_role(RoleName=object_id)["Role"]
        inline = []
        for name in cloud.iam.list_role_policies(RoleName=object_id)["PolicyNames"]:
            policy = cloud.iam.get_role_policy(RoleName=object_id, PolicyName=name)
            inline.append({"name": name, "policy": _document(policy["PolicyDocument"])})
        attached = cloud.iam.list_attached_role_policies(RoleName=object_id)["AttachedPolicies"]
        return {
            "arn": role["Arn"],
            "name": role["RoleName"],
            "uniqueId": role["RoleId"],
            "path": role["Path"],
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description"),
            "inlinePolicies": inline,
            "managedPolicyArns": [one["PolicyArn"] for one in attached],
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": tag_map(role.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        """Take the role out of its instance profiles, then delete it.

        Its policies go too if the last refresh saw any of their kind, or if `forceDetachPolicies` is set.
        """
        forced = state.get("forceDetachPolicies")
        for profile in cloud.iam.list_instance_profiles_for_role(RoleName=object_id)["InstanceProfiles"]:
            _take_role(cloud, profile["InstanceProfileName"], object_id)
        if forced or state.get("managedPolicyArns"):
            for one in cloud.iam.list_attached_role_policies(RoleName=object_id)["AttachedPolicies"]:
                cloud.iam.detach_role_policy(RoleName=object_id, PolicyArn=one["PolicyArn"])
        if forced or state.get("inlinePolicies"):
            for name in cloud.iam.list_role_policies(RoleName=object_id)["PolicyNames"]:
                cloud.iam.delete_role_policy(RoleName=object_id, PolicyName=name)
        retried(("DeleteConflict",), lambda: cloud.iam.delete_role(RoleName=object_id))


def _when_the_principal_is_known(attempt: Callable[[], object]) -> None:
    retried(("MalformedPolicyDocument",), attempt, ("Invalid principal in policy",))


class RolePolicy(ResourceType):
    """An inline policy of a role. Its id consists of the role's name and its own."""

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

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until_there(f"{self.label} ({object_id}) create", lambda: self._find(cloud, object_id))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        self.create(cloud, new)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        role, name = object_id.split(":", 1)
        policy = self._find(cloud, object_id)["PolicyDocument"]
        return {"role": role, "name": name, "policy": _document(policy)}

    def _find(self, cloud: Cloud, object_id: str) -> Values:
        role, name = object_id.split(":", 1)
        policy: Values = cloud.iam.get_role_policy(RoleName=role, PolicyName=name)
        return policy

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        role, name = object_id.split(":", 1)
        cloud.iam.delete_role_policy(RoleName=role, PolicyName=name)


class RolePolicyAttachment(ResourceType):
    """A managed policy on a role. Its id consists of the role's name and the policy's ARN."""

    token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    label = "IAM Role Policy Attachment"
    inputs: ClassVar = {"role": REQUIRED_FIXED, "policyArn": REQUIRED_FIXED}

    def create(self, cloud: Cloud, inputs: Values) -> str:
        cloud.iam.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        role, arn = object_id.split("/", 1)
        attached = cloud.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        return {"role": role, "policyArn": arn} if any(p["PolicyArn"] == arn for p in attached) else None

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        role, arn = object_id.split("/", 1)
        cloud.iam.detach_role_policy(RoleName=role, PolicyArn=arn)


class InstanceProfile(ResourceType):
    """An instance profile, which gives a role to an instance."""

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
        wait_until_there(f"{self.label} ({object_id}) create", lambda: self._find(cloud, object_id))
        if inputs.get("role"):
            self._give_role(cloud, object_id, inputs["role"])
        self._wait(cloud, object_id)

    def retag(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        gone, changed = tag_changes(old.get("tags", {}), new.get("tags", {}))
        if gone:
            cloud.iam.untag_instance_profile(InstanceProfileName=object_id, TagKeys=list(gone))
        if changed:
            cloud.iam.tag_instance_profile(InstanceProfileName=object_id, Tags=tag_list(changed))

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        if old.get("role") != new.get("role"):
            if old.get("role"):
                _take_role(cloud, object_id, old["role"])
            if new.get("role"):
                self._give_role(cloud, object_id, new["role"])
        self._wait(cloud, object_id)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        profile = self._find(cloud, object_id)
        role = profile["Roles"][0]["RoleName"] if profile["Roles"] else None
        if role and not found(lambda: cloud.iam.get_role(RoleName=role)):
            _take_role(cloud, object_id, role)
            raise ProviderError(
                f"reading IAM Role ({role}) attached to IAM Instance Profile ({object_id}): not found"
            )
        return {
            "arn": profile["Arn"],
            "name": profile["InstanceProfileName"],
            "uniqueId": profile["InstanceProfileId"],
            "path": profile["Path"],
            "role": role,
            "tags": tag_map(profile.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        if state.get("role"):
            _take_role(cloud, object_id, state["role"])
        cloud.iam.delete_instance_profile(InstanceProfileName=object_id)

    def _find(self, cloud: Cloud, object_id: str) -> Values:
        profile: Values = cloud.iam.get_instance_profile(InstanceProfileName=object_id)["InstanceProfile"]
        return profile

    def _give_role(self, cloud: Cloud, object_id: str, role: str) -> None:
        retried(
            ("InvalidParameterValue", "NoSuchEntity"),
            lambda: cloud.iam.add_role_to_instance_profile(InstanceProfileName=object_id, RoleName=role),
            ("Invalid IAM Instance Profile name", "The role with name"),
        )

    def _wait(self, cloud: Cloud, object_id: str) -> None:
        wait_until_there(
            f"{self.label} ({object_id}) to be ready", lambda: self._find(cloud, object_id), times=3
        )


def _take_role(cloud: Cloud, profile: str, role: str) -> None:
    try:
        cloud.iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    except ClientError as e:
        if code(e) != "NoSuchEntity":
            raise
