"""EC2's default quotas that a stack comes near.

Sources: Amazon VPC user guide, "Amazon VPC quotas": 60 rules per group and direction, for IPv4 and IPv6 each; a
rule that names a group or a prefix list counts for both; five groups per interface. Codes and the rules' text:
hashicorp/terraform-provider-aws#30289, aws-samples/aws-cloudfront-samples#53; the interface's text is assumed.
"""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .parameters import Given

RULES, GROUPS_PER_INTERFACE = 60, 5
GROUPS = {
    "CreateNetworkInterface": "Groups",
    "CreateVpcEndpoint": "SecurityGroupIds",
    "ModifyInstanceAttribute": "Groups",
    "ModifyNetworkInterfaceAttribute": "Groups",
    "RunInstances": "SecurityGroupIds",
}


def check(action: str, given: Given) -> None:
    """Raise ApiError for more security groups than an interface may have."""
    lists = [given.get(GROUPS.get(action, ""), [])]
    lists += [interface.get("Groups", []) for interface in given.get("NetworkInterfaces", [])]
    if any(isinstance(groups, list) and len(groups) > GROUPS_PER_INTERFACE for groups in lists):
        raise ApiError(
            400,
            "SecurityGroupsPerInterfaceLimitExceeded",
            "The maximum number of security groups per interface has been reached.",
        )


def check_rules(there: list[Any], permissions: list[Given]) -> None:
    """Raise ApiError if the permissions exceed a security group's quota of rules.

    `there` are the group's rules (moto's) in the same direction.
    """
    counts = {"IpRanges": 0, "Ipv6Ranges": 0, "UserIdGroupPairs": 0, "PrefixListIds": 0}
    for rule in there:
        ranges = rule.ip_range or {}
        if ranges.get("CidrIp"):
            counts["IpRanges"] += 1
        elif ranges.get("CidrIpv6"):
            counts["Ipv6Ranges"] += 1
        else:
            counts["UserIdGroupPairs"] += 1
    for permission in permissions:
        for peer in counts:
            counts[peer] += len(permission.get(peer, []))
    for_both = counts["UserIdGroupPairs"] + counts["PrefixListIds"]
    if max(counts["IpRanges"], counts["Ipv6Ranges"]) + for_both > RULES:
        raise ApiError(
            400,
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        )
