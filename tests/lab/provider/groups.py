"""Security groups and their rules."""

from __future__ import annotations

from typing import ClassVar

from .cloud import Cloud, retry_while, tag_map, tag_specification
from .network import IN_USE, REQUIRED_FIXED
from .schema import REGION, TAGS, Property, ResourceType, Values


class SecurityGroup(ResourceType):
    """A security group without rules; those are resources of their own."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    label = "Security Group"
    inputs: ClassVar = {
        "name": Property(computed=True, replaces=True),
        "description": Property(default="Managed by Pulumi", replaces=True),
        "vpcId": Property(computed=True, replaces=True),
        "revokeRulesOnDelete": Property(default=False, unread=True),
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
        # AWS gives every new group a rule that lets everything out; the provider takes it away.
        group = cloud.ec2.describe_security_groups(GroupIds=[object_id])["SecurityGroups"][0]
        if group["IpPermissionsEgress"]:
            cloud.ec2.revoke_security_group_egress(
                GroupId=object_id, IpPermissions=group["IpPermissionsEgress"]
            )

    def update(self, cloud: Cloud, object_id: str, old: Values, new: Values) -> None:
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        group = cloud.ec2.describe_security_groups(GroupIds=[object_id])["SecurityGroups"][0]
        return {
            "arn": cloud.arn("security-group", object_id),
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group["VpcId"],
            "ownerId": group["OwnerId"],
            "tags": tag_map(group.get("Tags")),
        }

    def delete(self, cloud: Cloud, object_id: str, state: Values) -> None:
        # Groups that name this one, and interfaces that wear it, go at the same time.
        retry_while(IN_USE, lambda: cloud.ec2.delete_security_group(GroupId=object_id))


class _SecurityGroupRule(ResourceType):
    inputs: ClassVar = {
        "securityGroupId": REQUIRED_FIXED,
        "ipProtocol": Property(required=True),
        "fromPort": Property(),
        "toPort": Property(),
        "cidrIpv4": Property(),
        "referencedSecurityGroupId": Property(),
        # moto forgets it where the source is a group.
        "description": Property(unread=True),
        "region": REGION,
        "tags": TAGS,
    }
    direction: ClassVar[str]

    def invalid(self, inputs: Values) -> list[tuple[str, str]]:
        sources = [name for name in ("cidrIpv4", "referencedSecurityGroupId") if inputs.get(name)]
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
        cloud.retag(object_id, old.get("tags", {}), new.get("tags", {}))

    def read(self, cloud: Cloud, object_id: str) -> Values | None:
        found = cloud.ec2.describe_security_group_rules(SecurityGroupRuleIds=[object_id])[
            "SecurityGroupRules"
        ]
        if not found:
            return None
        rule = found[0]
        # The API has -1 for the ports of "any protocol", where the provider has nothing.
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
    """One thing that a security group lets in."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    label = "VPC Security Group Rule"
    direction = "ingress"


class SecurityGroupEgressRule(_SecurityGroupRule):
    """One thing that a security group lets out."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    label = "VPC Security Group Rule"
    direction = "egress"
