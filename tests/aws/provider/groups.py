"""Security groups and their rules.

Source: internal/service/ec2/vpc_security_group.go, vpc_security_group_ingress_rule.go,
vpc_security_group_egress_rule.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from .cloud import Cloud, code, retried, tag_map, tag_specification, wait_until_gone, wait_until_there
from .network import IN_USE, REQUIRED_FIXED, see_lingering_interfaces
from .schema import REGION, TAGS, Property, ResourceType, Values


class SecurityGroup(ResourceType):
    """A security group without rules; those are resources of their own."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    label = "Security Group"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "description": Property(default="Managed by Pulumi", replaces=True),
        "vpcId": Property(computed=True, replaces=True),
        "region": REGION,
        "tags": TAGS,
    }
    autoname = True

    def create(self, cloud: Cloud, inputs: Values) -> str:
        made = cloud.ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            VpcId=inputs["vpcId"],
            **tag_specification("security-group", inputs.get("tags")),
        )
        return str(made["GroupId"])

    def finish(self, cloud: Cloud, object_id: str, inputs: Values) -> None:
        wait_until_there(f"Security Group ({object_id}) create", lambda: _group(cloud, object_id))
        # AWS gives every new group a rule that allows all egress; the provider removes it.
        everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0}
        cloud.ec2.revoke_security_group_egress(
            GroupId=object_id, IpPermissions=[{**everything, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        try:
            cloud.ec2.revoke_security_group_egress(
                GroupId=object_id, IpPermissions=[{**everything, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
            )
        except ClientError as e:
            # A VPC without IPv6 has no such rule.
            if code(e) != "InvalidPermission.NotFound" and "remote-ipv6-range" not in str(e):
                raise
        self.update(cloud, object_id, {}, inputs)

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        """Only read the group. The provider looks for rules in its own block, and here there are none."""
        _group(cloud, object_id)

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        group = _group(cloud, object_id)
        return {
            "arn": cloud.arn("security-group", object_id, group["OwnerId"]),
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group["VpcId"],
            "ownerId": group["OwnerId"],
            "tags": tag_map(group.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        see_lingering_interfaces(cloud, group_id=object_id)
        # Groups that name this one, and interfaces that use it, are deleted at the same time, so we retry.
        retried((*IN_USE, "InvalidGroup.InUse"), lambda: cloud.ec2.delete_security_group(GroupId=object_id))
        wait_until_gone(f"Security Group ({object_id}) delete", lambda: _group(cloud, object_id))


def _group(cloud: Cloud, group_id: str) -> Values:
    group: Values = cloud.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    return group


SOURCES = ("cidrIpv4", "referencedSecurityGroupId")


def _another_kind_of_source(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """A rule cannot change from addresses to a group, or back (ModifyPlan)."""
    return any((name in before) != (name in after) for name in SOURCES)


class _SecurityGroupRule(ResourceType):
    inputs: ClassVar = {
        "securityGroupId": REQUIRED_FIXED,
        "ipProtocol": Property(required=True),
        "fromPort": Property(),
        "toPort": Property(),
        "cidrIpv4": Property(replaces=_another_kind_of_source),
        "referencedSecurityGroupId": Property(replaces=_another_kind_of_source),
        # moto forgets it if the source is a group.
        "description": Property(unread=True),
        "region": REGION,
        "tags": TAGS,
    }
    direction: ClassVar[str]
    framework = True

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        sources = [name for name in SOURCES if inputs.get(name)]
        if len(sources) == 1:
            return []
        return [
            (name, "Exactly one of these attributes must be configured") for name in sources or ["cidrIpv4"]
        ]

    def create(self, cloud: Cloud, inputs: Values) -> str:
        authorize = getattr(cloud.ec2, f"authorize_security_group_{self.direction}")
        made = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[self._permission(inputs)],
            **tag_specification("security-group-rule", inputs.get("tags")),
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        told = [name for name in self.inputs if name not in ("tags", "region", "securityGroupId")]
        if any(old.get(name) != new.get(name) for name in told):
            rule = {
                "IpProtocol": new["ipProtocol"],
                "FromPort": new.get("fromPort", -1),
                "ToPort": new.get("toPort", -1),
                "Description": new.get("description", ""),
            }
            if new.get("cidrIpv4"):
                rule["CidrIpv4"] = new["cidrIpv4"]
            else:
                rule["ReferencedGroupId"] = new["referencedSecurityGroupId"]
            cloud.ec2.modify_security_group_rules(
                GroupId=new["securityGroupId"],
                SecurityGroupRules=[{"SecurityGroupRuleId": object_id, "SecurityGroupRule": rule}],
            )

    def planned(self, cloud: Cloud, object_id: str, inputs: Values) -> Values:
        return {"arn": cloud.arn("security-group-rule", object_id), "securityGroupRuleId": object_id}

    def read(self, cloud: Cloud, object_id: str, known: Values) -> Values | None:
        found = cloud.ec2.describe_security_group_rules(SecurityGroupRuleIds=[object_id])[
            "SecurityGroupRules"
        ]
        if not found:
            return None
        rule = found[0]
        # For the ports of "any protocol" the API has -1 and the provider nothing.
        ports = rule["IpProtocol"] != "-1"
        return {
            "arn": cloud.arn("security-group-rule", object_id),
            "securityGroupRuleId": object_id,
            "securityGroupId": rule["GroupId"],
            "ipProtocol": rule["IpProtocol"],
            "fromPort": rule.get("FromPort") if ports else None,
            "toPort": rule.get("ToPort") if ports else None,
            "cidrIpv4": rule.get("CidrIpv4"),
            "referencedSecurityGroupId": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
            "description": rule.get("Description"),
            "tags": tag_map(rule.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        revoke = getattr(cloud.ec2, f"revoke_security_group_{self.direction}")
        revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[object_id])

    def _permission(self, inputs: Values) -> Values:
        described = {"Description": inputs["description"]} if inputs.get("description") else {}
        permission: Values = {"IpProtocol": inputs["ipProtocol"]}
        for name, argument in (("fromPort", "FromPort"), ("toPort", "ToPort")):
            if name in inputs:
                permission[argument] = inputs[name]
        if inputs.get("cidrIpv4"):
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
        else:
            permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **described}]
        return permission


class SecurityGroupIngressRule(_SecurityGroupRule):
    """A rule for what a security group lets in."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    label = "VPC Security Group Rule"
    direction = "ingress"


class SecurityGroupEgressRule(_SecurityGroupRule):
    """A rule for what a security group lets out."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    label = "VPC Security Group Rule"
    direction = "egress"
